/**
 * A chat: every line goes to everybody else. Try it with two terminals and `nc 127.0.0.1 8848`.
 *
 *   npm run example -- chat --address tcp://127.0.0.1:8848
 */
import { parseArgs } from 'node:util';
import { lines, type Session, serve } from 'getty-ts';

const { values } = parseArgs({
  options: { address: { type: 'string', default: 'tcp://127.0.0.1:8848' } },
});
/** Who has said a name is in the room. */
const room = new Map<Session<string>, string>();

function tell(text: string, except?: Session<string>): void {
  for (const session of room.keys()) {
    if (session === except || session.closed) continue;
    // Whoever cannot keep up is let go, so that the others' chat does not pile up for him.
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
      const name = room.get(session);
      if (name !== undefined) return tell(`${name}: ${line}`, session);
      const wanted = line.trim();
      if (wanted === '' || [...room.values()].includes(wanted)) {
        session.write('Another name, please.');
        return;
      }
      room.set(session, wanted);
      session.write(`Welcome, ${wanted}. Here are: ${[...room.values()].join(', ')}`);
      tell(`${wanted} came in`, session);
    },
    onClose(session) {
      const name = room.get(session);
      room.delete(session);
      if (name !== undefined) tell(`${name} left`);
    },
  },
});
console.log(`chat at ${server.address}`);
process.once('SIGINT', () => void server.close());
