/**
 * Buffers are used again, and never while somebody holds them: what arrives is what was written,
 * byte for byte.
 */
import { describe, expect, it } from 'vitest';
import { type Codec, lengthPrefixed, lines } from '../../../src/transport/index.js';
import { StreamSession } from '../../../src/transport/session/session.js';
import { resolveSetup } from '../../../src/transport/session/session-options.js';
import { HoldingConnection } from '../../fixtures/holding-connection.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { fc } from '../../fixtures/property.js';
import { pair, TRANSPORTS } from '../../fixtures/transports.js';
import { turns, within } from '../../fixtures/waiting.js';

/** Mulberry32: the same noise in every run. */
function noise(seed: number): () => number {
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

describe('a session over a connection that holds what it is given', () => {
  noLeaks();

  it('bytes in the hands of a connection are never written over, by this session or another', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const owner = { forget() {}, type: 'client' } as never;
        const sides = await Promise.all(
          [0, 1, 2].map(async () => {
            const connection = new HoldingConnection();
            const setup = resolveSetup<Buffer, Uint8Array>({
              codec: bytesCodec,
              listener: { onMessage() {} },
              maxQueuedBytes: Number.POSITIVE_INFINITY,
            });
            const session = new StreamSession<Buffer, Uint8Array>(owner, connection, setup);
            await session.open();
            return { connection, session, expected: [] as Buffer[] };
          }),
        );
        let fill = 0;
        for (const doing of steps) {
          if ('write' in doing) {
            const { session, expected } = sides[doing.write] as (typeof sides)[0];
            const message = Buffer.alloc(doing.size, ++fill);
            session.write(message);
            expected.push(message);
          } else if ('take' in doing) sides[doing.take]?.connection.take(doing.count, doing.tells);
          else if ('quick' in doing) {
            const { connection } = sides[doing.quick] as (typeof sides)[0];
            connection.quick = !connection.quick;
          } else await turns();
        }
        await turns();
        for (const { connection, session, expected } of sides) {
          connection.take(Number.POSITIVE_INFINITY);
          // What was held back meanwhile comes when the connection has nothing left.
          connection.take(Number.POSITIVE_INFINITY);
          expect(Buffer.concat(connection.taken).equals(Buffer.concat(expected))).toBe(true);
          expect(session.queuedBytes).toBe(0);
          session.destroy();
        }
      }),
      { numRuns: 200 },
    );
  });

  it('nothing stays behind with a connection that took all, before it says so', async () => {
    const connection = new HoldingConnection();
    const setup = resolveSetup<Buffer, Uint8Array>({
      codec: bytesCodec,
      listener: { onMessage() {} },
    });
    const session = new StreamSession<Buffer, Uint8Array>(
      { forget() {}, type: 'client' } as never,
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
  ])('what waits takes at most twice its bytes in memory: %s', async (_, size) => {
    const connection = new HoldingConnection();
    const setup = resolveSetup<string, string>({
      codec: lines(),
      listener: { onMessage() {} },
      maxQueuedBytes: 4 * 1024 * 1024,
    });
    const session = new StreamSession<string, string>(
      { forget() {}, type: 'client' } as never,
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
    // The first chunk and the last buffer may have more room.
    expect(connection.keptBytes).toBeLessThan(2 * session.queuedBytes + 256 * 1024);
    connection.take(Number.POSITIVE_INFINITY);
    connection.take(Number.POSITIVE_INFINITY);
    expect(Buffer.concat(connection.taken).equals(Buffer.from(expected.join('')))).toBe(true);
    session.destroy();
  });

  it('a codec that throws, at any place, leaves only whole messages behind', async () => {
    const connection = new HoldingConnection();
    const careless: Codec<Buffer, Uint8Array> = {
      read: bytesCodec.read,
      write(output, bytes) {
        output.append(bytes);
        if (bytes[0] === 1) throw new Error('half-way');
      },
    };
    const session = new StreamSession(
      { forget() {}, type: 'client' } as never,
      connection,
      resolveSetup({ codec: careless, listener: { onMessage() {} } }),
    );
    await session.open();
    const expected: Buffer[] = [];
    const random = noise(3);
    for (let i = 0; i < 300; i++) {
      const message = Buffer.alloc(1 + Math.floor(random() * 90_000), random() < 0.5 ? 1 : 2);
      if (message[0] === 1) expect(() => session.write(message)).toThrow('half-way');
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
  // It compresses at once, so less of it is ever queued.
  { name: 'tcp+snappy', total: 20_000_000, highWaterMark: 16 * 1024 },
])('$name: $total bytes to a reader that pauses at random', ({ name, total, highWaterMark }) => {
  noLeaks();

  it('arrive as they were written', async () => {
    const row = TRANSPORTS.find((each) => each.name === name);
    if (row === undefined) throw new Error(`no row ${name}`);
    // One pattern, of which each message is a piece: cheap to make, and any byte out of place
    // shows.
    const random = noise(1);
    const pattern = Buffer.alloc(1_000_003);
    for (let i = 0; i < pattern.length; i++) pattern[i] = random() * 256;
    let sent = 0;
    let got = 0;
    let wrong = 0;
    let messages = 0;
    const pausing = noise(2);
    await using p = await pair<Buffer, Uint8Array, Buffer, Uint8Array>(row, {
      near: { codec: lengthPrefixed(), highWaterMark },
      far: {
        codec: lengthPrefixed(),
        on: {
          onMessage(session, message) {
            const from = got % (pattern.length - 200_000);
            if (pattern.compare(message, 0, message.length, from, from + message.length) !== 0)
              wrong++;
            got += message.length;
            messages++;
            // Bounded memory for the recorder: it need not keep what was compared.
            p.farEvents.messages.all.length = 0;
            if (pausing() < 0.05) {
              session.pause();
              setTimeout(() => session.resume(), pausing() < 0.1 ? 2 : 0);
            }
          },
        },
      },
    });
    const sizes = noise(4);
    let slowed = 0;
    while (sent < total) {
      const size = Math.floor(sizes() < 0.8 ? sizes() * 2_000 : sizes() * 200_000);
      const from = sent % (pattern.length - 200_000);
      sent += size;
      if (!p.near.write(pattern.subarray(from, from + size))) {
        slowed++;
        await within(p.near.drained(), 'drained()');
      } else if (sizes() < 0.05) await turns();
    }
    await within(p.near.close(), 'the close');
    expect({ got, wrong }).toEqual({ got: sent, wrong: 0 });
    expect(messages).toBe(p.near.stats.messagesWritten);
    expect(slowed).toBeGreaterThan(0);
  });
});
