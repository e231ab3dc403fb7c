/** Frames that arrive in parts, and invalid lengths of frames. */
import { describe, expect, test } from 'vitest';
import { serve } from '../../../src/rpc/index.js';
import { SESSION_DEFAULTS } from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { RawPeer } from '../../fixtures/raw-peer.js';
import { freeMemoryAddress, rig, testService } from '../../fixtures/rpc.js';
import { frameBytes, jsonRequest, recordedFrames } from '../../fixtures/rpc-frames.js';

noLeaks();

// vectors.test.ts splits every recorded frame at every byte.
describe('a frame that is split over reads', () => {
  test('is handled when its last byte has arrived, with a part of the next frame behind it', async () => {
    await using server = await serve(freeMemoryAddress(), [testService()]);
    await using peer = await RawPeer.connect(server.address);
    const stream = Buffer.concat(
      [1n, 2n, 3n].map((sequence) =>
        jsonRequest('TestService', 'Add', { A: 1, B: Number(sequence) }, { sequence }),
      ),
    );
    await peer.send(
      stream.subarray(0, 40),
      stream.subarray(40, 41),
      stream.subarray(41, 200),
      stream.subarray(200),
    );
    expect(
      (await peer.frames.take(3)).map(({ sequence, body }) => [sequence, body.toString()]),
    ).toEqual([1n, 2n, 3n].map((n) => [n, `{"Sum":${n + 1n}}`]));
  });

  test('does not delay the calls of other sessions', async () => {
    await using pair = await rig();
    await using peer = await RawPeer.connect(pair.server.address);
    await peer.send(recordedFrames(0, 'client-to-server')[1]?.subarray(0, 50) as Buffer);
    expect(await pair.stub.add({ A: 1, B: 2 })).toMatchObject({ Sum: 3 });
  });
});

describe('the length of a frame', () => {
  test.each([
    ['negative', -1, 'BAD_FRAME'],
    ['the most negative', -(2 ** 31), 'BAD_FRAME'],
    ['overflowing with the header', 2 ** 31 - 1, 'MESSAGE_TOO_LARGE'],
    // With the header of 32 bytes, one byte more than the default of maxMessageBytes.
    ['just too large', SESSION_DEFAULTS.maxMessageBytes - 31, 'MESSAGE_TOO_LARGE'],
  ])(
    'that is %s closes the session before the rest of the frame arrives',
    async (_, packageLength, code) => {
      await using pair = await rig();
      await using peer = await RawPeer.connect(pair.server.address);
      await peer.send(frameBytes({ packageLength }).subarray(0, 32));
      await peer.end();
      expect((await pair.serverLog.warnings.next()).details.code).toBe(code);
      expect(await pair.stub.add({ A: 1, B: 2 })).toMatchObject({ Sum: 3 });
    },
  );

  test('allocates no memory before its bytes arrive', async () => {
    await using server = await serve(freeMemoryAddress(), [testService()]);
    const before = process.memoryUsage().arrayBuffers;
    const peers = await Promise.all(
      Array.from({ length: 50 }, () => RawPeer.connect(server.address)),
    );
    const announced = Buffer.concat([
      frameBytes({ packageLength: SESSION_DEFAULTS.maxMessageBytes - 32 }).subarray(0, 32),
      Buffer.alloc(100),
    ]);
    for (const peer of peers) await peer.send(announced.subarray(0, 60), announced.subarray(60));
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(20 * 1024 * 1024);
    for (const peer of peers) await peer[Symbol.asyncDispose]();
  });
});
