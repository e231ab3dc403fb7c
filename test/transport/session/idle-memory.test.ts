/** A session that waits for its next message keeps no buffer of the last message. */
import { describe, expect, it, test } from 'vitest';
import { lines } from '../../../src/transport/index.js';
import { TransportSession } from '../../../src/transport/session/session.js';
import { resolveSetup } from '../../../src/transport/session/session-options.js';
import { bufferBytes } from '../../fixtures/garbage.js';
import { HoldingConnection } from '../../fixtures/holding-connection.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { Recorder } from '../../fixtures/recorder.js';
import { SERVER_TRANSPORTS } from '../../fixtures/session-probes.js';
import { connectAs, serveAs } from '../../fixtures/transports.js';
import { until } from '../../fixtures/waiting.js';

const SESSIONS = 10;
const MESSAGE_BYTES = 900_000;

describe('an idle session', () => {
  noLeaks();

  it.each(SERVER_TRANSPORTS)('releases the buffer of its last message: $name', async (row) => {
    const echo = new Recorder<string>('the server', {
      onMessage: (session, message) => session.write(message),
    });
    const server = await serveAs(row, { codec: lines(), listener: echo, ...row.options });
    const far = new Recorder<string>('the clients');
    const clients = await Promise.all(
      Array.from({ length: SESSIONS }, () =>
        connectAs(
          row,
          server.address,
          { codec: lines(), listener: far, ...row.options },
          { reconnect: false },
        ),
      ),
    );
    const message = 'x'.repeat(MESSAGE_BYTES);
    const before = bufferBytes();
    for (const client of clients) {
      (await client.session()).write(message);
      expect((await far.messages.next()).length).toBe(MESSAGE_BYTES);
    }
    let keptBytes = 0;
    const isFreed = (): boolean => {
      keptBytes = bufferBytes() - before;
      return keptBytes < (SESSIONS * MESSAGE_BYTES) / 3;
    };
    await until(isFreed, () => `the sessions keep ${keptBytes} bytes`);
    await Promise.all([...clients.map((client) => client.close()), server.close()]);
  });
});

test('a session that waits for the rest of a message keeps no chunk that is mostly read', async () => {
  const received: string[] = [];
  const setup = resolveSetup<string, string>({
    codec: lines(),
    listener: { onMessage: (_, line) => void received.push(line) },
  });
  const before = bufferBytes();
  const sides = [];
  for (let i = 0; i < 100; i++) {
    const connection = new HoldingConnection();
    const session = new TransportSession<string, string>(
      { onSessionClosed() {}, type: 'client' } as never,
      connection,
      setup,
    );
    await session.open();
    const chunk = Buffer.allocUnsafeSlow(65_536).fill(0x61);
    chunk.write('\nhalf ', 65_530);
    connection.receive(chunk);
    await until(() => received.length > i, 'the line');
    sides.push({ connection, session });
  }
  expect(bufferBytes() - before).toBeLessThan(1024 * 1024);
  for (const { connection, session } of sides) {
    connection.receive(Buffer.from('a line\n'));
    await until(() => received.at(-1) === 'half a line', 'the rest of the line');
    received.length = 0;
    session.destroy();
  }
});
