/** The messages that a session of the transport receives at once are handled in many turns. */
import { constants, deflateRawSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import {
  chunksOf,
  STREAM_IDENTIFIER,
} from '../../../../src/transport/compression/snappy-format.js';
import {
  type Codec,
  connect as dial,
  lines,
  serve as listen,
  raw,
  type Session,
  type SessionOptions,
  type SessionSetup,
} from '../../../../src/transport/index.js';
import { noLeaks } from '../../../fixtures/leaks.js';
import { freeMemoryAddress } from '../../../fixtures/rpc.js';
import { until } from '../../../fixtures/waiting.js';
import { block, expectShortTurns, LIMIT, mostPerTurn } from './turn-budget.js';

noLeaks();

/** A server, and the session of a client that is connected to it. `close` closes both. */
async function pair<In>(
  address: string,
  setup: SessionSetup<In>,
): Promise<{ session: Session<Buffer, Uint8Array>; close(): Promise<unknown> }> {
  const server = await listen(address, setup);
  const client = await dial(
    server.address,
    { codec: raw(), listener: { onMessage() {} }, maxQueuedBytes: 2 ** 30 },
    { reconnect: false },
  );
  return {
    session: await client.session(),
    close: () => {
      client.destroy();
      server.destroy();
      return Promise.all([client.close(), server.close()]);
    },
  };
}

describe('the transport divides into many turns', () => {
  const count = 1_500_000;
  const newlines = Buffer.alloc(count, '\n');

  test.each<[string, SessionOptions, () => Buffer]>([
    ['plain', {}, () => newlines],
    [
      'inflated by DEFLATE',
      { compression: 'deflate' },
      () => deflateRawSync(newlines, { finishFlush: constants.Z_SYNC_FLUSH }),
    ],
    [
      'inflated by snappy',
      { compression: 'snappy' },
      () => Buffer.concat([STREAM_IDENTIFIER, ...chunksOf(newlines)]),
    ],
  ])(
    'the small messages of one chunk, %s',
    async (_, options, bytes) => {
      let received = 0;
      const listener = { onMessage: () => void received++ };
      const { session, close } = await pair(freeMemoryAddress(), {
        ...options,
        codec: lines(),
        listener,
      });
      const chunk = bytes();
      await expectShortTurns(async () => {
        session.writeBytes(chunk);
        await until(() => received === count, 'all messages have been received', LIMIT);
      });
      await close();
    },
    2 * LIMIT,
  );

  test(
    'small messages over WebSocket',
    async () => {
      let received = 0;
      const { session, close } = await pair('ws://127.0.0.1:0', {
        codec: raw(),
        listener: { onMessage: () => void received++ },
      });
      const sent = 200_000;
      await expectShortTurns(async () => {
        for (let i = 0; i < sent; i += 100) {
          for (let n = 0; n < 100; n++) session.writeBytes(Buffer.of(1));
          if (i % 1_000 === 0) await new Promise((resolve) => setImmediate(resolve));
        }
        await until(() => received === sent, 'all messages have been received', LIMIT);
      });
      await close();
    },
    2 * LIMIT,
  );

  test(
    'small messages with large answers',
    async () => {
      const count = 200;
      let answered = 0;
      const answer = Buffer.alloc(64 * 1024);
      const onMessage = (session: Session<string>): void => {
        block(1);
        session.writeBytes(answer);
        answered++;
      };
      const { session, close } = await pair(freeMemoryAddress(), {
        codec: lines(),
        listener: { onMessage },
        maxQueuedBytes: 2 ** 30,
      });
      const most = await mostPerTurn(
        () => answered,
        async () => {
          session.writeBytes(Buffer.alloc(count, '\n'));
          await until(() => answered === count, 'all messages are answered', LIMIT);
        },
      );
      expect(most).toBeLessThan(count / 4);
      await close();
    },
    2 * LIMIT,
  );

  test(
    'messages of 4 KiB that take long to decode',
    async () => {
      const count = 100;
      const size = 4_096;
      let received = 0;
      const slow: Codec<Buffer> = {
        ...raw(),
        read(input) {
          if (input.length < size) return undefined;
          block(2);
          return input.take(size) as Buffer;
        },
      };
      const { session, close } = await pair(freeMemoryAddress(), {
        codec: slow,
        listener: { onMessage: () => void received++ },
      });
      const most = await mostPerTurn(
        () => received,
        async () => {
          session.writeBytes(Buffer.alloc(count * size));
          await until(() => received === count, 'all messages have been received', LIMIT);
        },
      );
      // A turn ends with the first message after 10 ms.
      expect(most).toBeLessThan(12);
      await close();
    },
    2 * LIMIT,
  );
});
