/** Random bytes and damaged frames. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { noLeaks } from '../../fixtures/leaks.js';
import { RawPeer, RawServer } from '../../fixtures/raw-peer.js';
import {
  connectOnce,
  outcome,
  pendingOf,
  rig,
  TestService,
  testService,
} from '../../fixtures/rpc.js';
import { frameBytes, RECORDED } from '../../fixtures/rpc-frames.js';
import { until, within } from '../../fixtures/waiting.js';

noLeaks();

describe('random bytes from a peer', () => {
  const valid = RECORDED.map(({ frameHex }) => Buffer.from(frameHex, 'hex'));
  /** A recorded frame with a few wrong bytes. Most of these frames have a valid frame header. */
  const mutated = fc
    .tuple(
      fc.nat({ max: valid.length - 1 }),
      fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 4 }),
      fc.boolean(),
    )
    .map(([which, changes, keepsHeader]) => {
      const bytes = Buffer.from(valid[which] as Buffer);
      const from = keepsHeader && bytes.length > 32 ? 32 : 0;
      for (const [at, value] of changes) bytes[from + (at % (bytes.length - from))] = value;
      return bytes;
    });
  const streams: Record<string, fc.Arbitrary<Buffer>> = {
    'no frame': fc.uint8Array({ minLength: 1, maxLength: 200 }).map((array) => Buffer.from(array)),
    'a frame with a valid header and random content': fc
      .uint8Array({ maxLength: 100 })
      .map((array) =>
        Buffer.concat([
          frameBytes({ packageLength: array.length }).subarray(0, 32),
          Buffer.from(array),
        ]),
      ),
    'a frame with random sections': fc
      .record({
        command: fc.constantFrom(3, 4),
        codec: fc.constantFrom(1, 2),
        head: fc.uint8Array({ maxLength: 60 }),
        body: fc.uint8Array({ maxLength: 60 }),
      })
      .map(({ head, body, ...draft }) =>
        frameBytes({ ...draft, head: Buffer.from(head), body: Buffer.from(body) }),
      ),
    'recorded frames with a few wrong bytes': fc
      .array(mutated, { minLength: 1, maxLength: 5 })
      .map((frames) => Buffer.concat(frames)),
    'recorded frames without some bytes': fc
      .tuple(fc.nat({ max: valid.length - 1 }), fc.nat(), fc.nat({ max: 40 }))
      .map(([which, at, count]) => {
        const bytes = Buffer.concat([valid[which] as Buffer, valid[0] as Buffer]);
        const from = at % bytes.length;
        return Buffer.concat([bytes.subarray(0, from), bytes.subarray(from + count)]);
      }),
  };

  test.each(Object.keys(streams))('do not disturb other sessions of a server: %s', async (name) => {
    await using pair = await rig();
    await fc.assert(
      fc.asyncProperty(streams[name] as fc.Arbitrary<Buffer>, async (bytes) => {
        await using peer = await RawPeer.connect(pair.server.address);
        await peer.send(bytes);
        expect(await pair.stub.add({ A: 1, B: 2 })).toMatchObject({ Sum: 3 });
      }),
      { seed: 5, numRuns: 300 },
    );
    await until(() => pair.server.channels.size === 1, 'the sessions of the raw peers are closed');
  });

  test.each(Object.keys(streams))('let each call of a client settle: %s', async (name) => {
    await using server = await RawServer.serve();
    await fc.assert(
      fc.asyncProperty(streams[name] as fc.Arbitrary<Buffer>, async (bytes) => {
        await using client = await connectOnce(server.address, {
          services: [testService()],
          timeout: 60_000,
        });
        const call = outcome(client.stub(TestService).add({ A: 1 }));
        const { peer } = await server.requests.next();
        await peer.send(bytes).catch(() => {});
        peer.session.destroy();
        expect(await within(call, 'the call to settle')).toMatch(/^[A-Z_]+$|^ok$/);
        expect(pendingOf(client)).toBe(0);
      }),
      { seed: 6, numRuns: 100 },
    );
  });
});
