/**
 * A chat with rooms: each line goes to all other members of the room. Everyone begins in the room
 * `lobby`; `/join ROOM` changes the room. Try it with two terminals and `nc 127.0.0.1 8848`.
 *
 *   npm run example -- chat --address tcp://127.0.0.1:8848
 */
import { parseArgs } from 'node:util';
import { GettyError, lines, type Session, serve, topics } from 'getty-ts';

interface Member {
  readonly name: string;
  room: string;
}

const { values } = parseArgs({
  options: { address: { type: 'string', default: 'tcp://127.0.0.1:8848' } },
});
const LOBBY = 'lobby';
/** Characters. A line with its name, or a list of names, must fit into maxMessageBytes. */
const MAX_NAME = 40;
const MAX_LINE = 1_000;
/** The names of a room that a member is told. */
const MAX_NAMES = 20;
/** The sessions that have given a name. */
const members = new Map<Session<string>, Member>();
const rooms = topics<string>({ maxTopics: 1_000, maxTopicsPerSession: 1, maxNameLength: 40 });

/** The queue of a slow member must not grow without limit. */
function sendToRoom(room: string, text: string, except?: Session<string>): void {
  rooms.publish(room, text, { except, slow: 'close' });
}

function namesIn(room: string): string {
  const names = rooms.subscribers(room).map((session) => members.get(session)?.name);
  const others = names.length - MAX_NAMES;
  return names.slice(0, MAX_NAMES).join(', ') + (others > 0 ? ` and ${others} more` : '');
}

function enter(session: Session<string>, newName: string): void {
  const isTaken = [...members.values()].some(({ name }) => name === newName);
  if (newName === '' || newName.length > MAX_NAME || isTaken) {
    session.write('Another name, please.');
    return;
  }
  rooms.subscribe(session, LOBBY);
  members.set(session, { name: newName, room: LOBBY });
  session.write(`Welcome, ${newName}. Here are: ${namesIn(LOBBY)}`);
  sendToRoom(LOBBY, `${newName} came in`, session);
}

function changeRoom(session: Session<string>, member: Member, room: string): void {
  const { name, room: former } = member;
  rooms.unsubscribe(session, former);
  try {
    rooms.subscribe(session, room);
  } catch (error) {
    rooms.subscribe(session, former);
    if (!(error instanceof GettyError)) throw error;
    session.write('Another room, please.');
    return;
  }
  member.room = room;
  session.write(`In ${room} are: ${namesIn(room)}`);
  if (room === former) return;
  sendToRoom(former, `${name} left`);
  sendToRoom(room, `${name} came in`, session);
}

const server = await serve(values.address, {
  codec: lines(),
  maxMessageBytes: 4096,
  highWaterMark: 64 * 1024,
  listener: {
    onOpen: (session) => void session.write('Who are you?'),
    onMessage(session, line) {
      const member = members.get(session);
      if (member === undefined) enter(session, line.trim());
      else if (line.startsWith('/join ')) changeRoom(session, member, line.slice(6).trim());
      else if (line.length > MAX_LINE) session.write('A shorter line, please.');
      else sendToRoom(member.room, `${member.name}: ${line}`, session);
    },
    onClose(session) {
      const member = members.get(session);
      members.delete(session);
      if (member !== undefined) sendToRoom(member.room, `${member.name} left`);
    },
  },
});
console.log(`chat at ${server.address}`);
process.once('SIGINT', () => void server.close());
