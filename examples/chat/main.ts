/**
 * A chat: each line goes to all other members. Try it with two terminals and `nc 127.0.0.1 8848`.
 *
 *   npm run example -- chat --address tcp://127.0.0.1:8848
 */
import { parseArgs } from 'node:util';
import { lines, type Session, serve } from 'getty-ts';

const { values } = parseArgs({
  options: { address: { type: 'string', default: 'tcp://127.0.0.1:8848' } },
});
/** The names of the sessions that have given one. */
const members = new Map<Session<string>, string>();

function sendToAll(text: string, except?: Session<string>): void {
  for (const session of members.keys()) {
    if (session === except || session.closed) continue;
    // The queue of a slow member must not grow without limit.
    if (!session.write(text)) session.destroy(new Error('too slow for this chat'));
  }
}

const server = await serve(values.address, {
  codec: lines(),
  maxMessageBytes: 4096,
  highWaterMark: 64 * 1024,
  listener: {
    onOpen: (session) => void session.write('Who are you?'),
    onMessage(session, line) {
      const name = members.get(session);
      if (name !== undefined) return sendToAll(`${name}: ${line}`, session);
      const newName = line.trim();
      if (newName === '' || [...members.values()].includes(newName)) {
        session.write('Another name, please.');
        return;
      }
      members.set(session, newName);
      session.write(`Welcome, ${newName}. Here are: ${[...members.values()].join(', ')}`);
      sendToAll(`${newName} came in`, session);
    },
    onClose(session) {
      const name = members.get(session);
      members.delete(session);
      if (name !== undefined) sendToAll(`${name} left`);
    },
  },
});
console.log(`chat at ${server.address}`);
process.once('SIGINT', () => void server.close());
