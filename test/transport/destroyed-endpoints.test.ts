/** destroy() of an endpoint delivers nothing that paused sessions hold. */
import { expect, it } from 'vitest';
import { type Client, connect, lines, type Session, serve } from '../../src/transport/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { turns, until } from '../fixtures/waiting.js';

noLeaks();

/** More than close() closes at once. */
const SESSIONS = 20;

it.each(['tcp', 'ws', 'udp', 'memory'])(
  'over %s, paused sessions get no message',
  async (scheme) => {
    let delivered = 0;
    const address = scheme === 'memory' ? 'memory://destroyed' : `${scheme}://127.0.0.1:0`;
    const server = await serve(address, {
      codec: lines(),
      listener: {
        onMessage(session: Session<string>) {
          delivered++;
          session.pause();
        },
      },
    });
    const clients: Client<string>[] = [];
    for (let i = 0; i < SESSIONS; i++) {
      const setup = { codec: lines(), listener: { onMessage() {} } };
      const client = await connect(server.address, setup, { reconnect: false });
      clients.push(client);
      const session = await client.session();
      for (let message = 0; message < 10; message++) session.write('hello');
    }
    await until(() => delivered === SESSIONS, 'all sessions are paused');
    await turns(20);
    server.destroy();
    expect([...server.sessions].every(({ closed }) => closed)).toBe(true);
    await server.close();
    expect(delivered).toBe(SESSIONS);
    for (const client of clients) await client.close();
  },
);
