/**
 * Buffers are reused, but not while a connection owns them: the peer receives the bytes that were
 * written.
 */
import { describe, expect, it } from 'vitest';
import { type Codec, lengthPrefixed, lines } from '../../../src/transport/index.js';
import { TransportSession } from '../../../src/transport/session/session.js';
import { resolveSetup } from '../../../src/transport/session/session-options.js';
import { HoldingConnection } from '../../fixtures/holding-connection.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { fc } from '../../fixtures/property.js';
import { pair, TRANSPORTS } from '../../fixtures/transports.js';
import { turns, within } from '../../fixtures/waiting.js';

/** Mulberry32: random numbers from 0 to 1 that are the same in every run. */
function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const bytesCodec: Codec<Buffer, Uint8Array> = {
  read: (input) => input.take(input.length),
  write: (output, bytes) => output.append(bytes),
};

type Step =
  | { write: number; size: number }
  | { take: number; count: number; tells: boolean }
  | { quick: number }
  | { tick: true };
const which = fc.nat({ max: 2 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      write: which,
      size: fc.oneof(
        fc.nat({ max: 300 }),
        fc.integer({ min: 3_000, max: 9_000 }),
        fc.integer({ min: 60_000, max: 70_000 }),
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ take: which, count: fc.nat({ max: 3 }), tells: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ quick: which }) },
  { weight: 2, arbitrary: fc.constant({ tick: true as const }) },
);

describe('a session over a connection that keeps buffers', () => {
  noLeaks();

  it('does not overwrite bytes that a connection owns, also with several sessions', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const owner = { onSessionClosed() {}, type: 'client' } as never;
        const sides = await Promise.all(
          [0, 1, 2].map(async () => {
            const connection = new HoldingConnection();
            const setup = resolveSetup<Buffer, Uint8Array>({
              codec: bytesCodec,
              listener: { onMessage() {} },
              maxQueuedBytes: Number.POSITIVE_INFINITY,
            });
            const session = new TransportSession<Buffer, Uint8Array>(owner, connection, setup);
            await session.open();
            return { connection, session, expected: [] as Buffer[] };
          }),
        );
        let fill = 0;
        for (const step of steps) {
          if ('write' in step) {
            const { session, expected } = sides[step.write] as (typeof sides)[0];
            const message = Buffer.alloc(step.size, ++fill);
            session.write(message);
            expected.push(message);
          } else if ('take' in step) sides[step.take]?.connection.take(step.count, step.tells);
          else if ('quick' in step) {
            const { connection } = sides[step.quick] as (typeof sides)[0];
            connection.quick = !connection.quick;
          } else await turns();
        }
        await turns();
        for (const { connection, session, expected } of sides) {
          connection.take(Number.POSITIVE_INFINITY);
          // The session sends the rest when the connection has taken all bytes.
          connection.take(Number.POSITIVE_INFINITY);
          expect(Buffer.concat(connection.taken).equals(Buffer.concat(expected))).toBe(true);
          expect(session.queuedBytes).toBe(0);
          session.destroy();
        }
      }),
      { numRuns: 200 },
    );
  });

  it('sends all bytes when the connection has taken them without an event', async () => {
    const connection = new HoldingConnection();
    const setup = resolveSetup<Buffer, Uint8Array>({
      codec: bytesCodec,
      listener: { onMessage() {} },
    });
    const session = new TransportSession<Buffer, Uint8Array>(
      { onSessionClosed() {}, type: 'client' } as never,
      connection,
      setup,
    );
    await session.open();
    connection.quick = false;
    session.write(Buffer.alloc(1_000));
    await turns();
    connection.take(1, false);
    connection.quick = true;
    session.write(Buffer.alloc(9_000));
    await turns();
    expect(session.queuedBytes).toBe(0);
    expect(Buffer.concat(connection.taken).length).toBe(10_000);
    session.destroy();
  });

  it.each([
    ['lines of 16.5 KB', 16_500],
    ['lines of 30 KB', 30_000],
    ['lines of 41 KB', 41_000],
    ['lines of 66 KB', 66_000],
    ['lines of 3 KB', 3_000],
  ])('keeps queued bytes in at most twice their memory: %s', async (_, size) => {
    const connection = new HoldingConnection();
    const setup = resolveSetup<string, string>({
      codec: lines(),
      listener: { onMessage() {} },
      maxQueuedBytes: 4 * 1024 * 1024,
    });
    const session = new TransportSession<string, string>(
      { onSessionClosed() {}, type: 'client' } as never,
      connection,
      setup,
    );
    await session.open();
    connection.quick = false;
    const expected: string[] = [];
    for (let i = 0; session.queuedBytes < 4 * 1024 * 1024; i++) {
      const line = String.fromCharCode(0x61 + (i % 26)).repeat(size);
      expected.push(`${line}\n`);
      session.write(line);
      await turns();
    }
    // The first chunk and the last buffer may be larger than their content.
    expect(connection.keptBytes).toBeLessThan(2 * session.queuedBytes + 256 * 1024);
    connection.take(Number.POSITIVE_INFINITY);
    connection.take(Number.POSITIVE_INFINITY);
    expect(Buffer.concat(connection.taken).equals(Buffer.from(expected.join('')))).toBe(true);
    session.destroy();
  });

  it('sends only complete messages when a codec throws in the middle of some', async () => {
    const connection = new HoldingConnection();
    const failingCodec: Codec<Buffer, Uint8Array> = {
      read: bytesCodec.read,
      write(output, bytes) {
        output.append(bytes);
        if (bytes[0] === 1) throw new Error('in the middle of a message');
      },
    };
    const session = new TransportSession(
      { onSessionClosed() {}, type: 'client' } as never,
      connection,
      resolveSetup({ codec: failingCodec, listener: { onMessage() {} } }),
    );
    await session.open();
    const expected: Buffer[] = [];
    const random = seededRandom(3);
    for (let i = 0; i < 300; i++) {
      const message = Buffer.alloc(1 + Math.floor(random() * 90_000), random() < 0.5 ? 1 : 2);
      if (message[0] === 1)
        expect(() => session.write(message)).toThrow('in the middle of a message');
      else {
        session.write(message);
        expected.push(message);
      }
      if (random() < 0.2) await turns();
    }
    await turns();
    expect(Buffer.concat(connection.taken).equals(Buffer.concat(expected))).toBe(true);
    session.destroy();
  });
});

describe.each([
  { name: 'tcp', total: 50_000_000 },
  { name: 'memory', total: 10_000_000 },
  { name: 'tls', total: 10_000_000 },
  { name: 'tcp+deflate', total: 5_000_000 },
  // Snappy compresses at once, so fewer bytes are queued.
  { name: 'tcp+snappy', total: 20_000_000, highWaterMark: 16 * 1024 },
])('$name: $total bytes to a reader that pauses at random', ({ name, total, highWaterMark }) => {
  noLeaks();

  it('arrive as they were written', async () => {
    const row = TRANSPORTS.find((each) => each.name === name);
    if (row === undefined) throw new Error(`no row ${name}`);
    // Each message is a part of one pattern, so that a byte at a wrong place is found.
    const random = seededRandom(1);
    const pattern = Buffer.alloc(1_000_003);
    for (let i = 0; i < pattern.length; i++) pattern[i] = random() * 256;
    let sent = 0;
    let received = 0;
    let wrong = 0;
    let messages = 0;
    const pauseRandom = seededRandom(2);
    await using p = await pair<Buffer, Uint8Array, Buffer, Uint8Array>(row, {
      clientSide: { codec: lengthPrefixed(), highWaterMark },
      serverSide: {
        codec: lengthPrefixed(),
        on: {
          onMessage(session, message) {
            const from = received % (pattern.length - 200_000);
            if (pattern.compare(message, 0, message.length, from, from + message.length) !== 0)
              wrong++;
            received += message.length;
            messages++;
            // The recorder must not keep 50 MB of messages.
            p.serverEvents.messages.all.length = 0;
            if (pauseRandom() < 0.05) {
              session.pause();
              setTimeout(() => session.resume(), pauseRandom() < 0.1 ? 2 : 0);
            }
          },
        },
      },
    });
    const sizeRandom = seededRandom(4);
    let pauses = 0;
    while (sent < total) {
      const size = Math.floor(sizeRandom() < 0.8 ? sizeRandom() * 2_000 : sizeRandom() * 200_000);
      const from = sent % (pattern.length - 200_000);
      sent += size;
      if (!p.clientSession.write(pattern.subarray(from, from + size))) {
        pauses++;
        await within(p.clientSession.drained(), 'drained()');
      } else if (sizeRandom() < 0.05) await turns();
    }
    await within(p.clientSession.close(), 'the close');
    expect({ received, wrong }).toEqual({ received: sent, wrong: 0 });
    expect(messages).toBe(p.clientSession.stats.messagesWritten);
    expect(pauses).toBeGreaterThan(0);
  });
});
