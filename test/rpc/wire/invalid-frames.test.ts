/** Frames that a peer must not send. */
import { constants, deflateRawSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { connect } from '../../../src/rpc/index.js';
import { Frame, readFrame } from '../../../src/rpc/wire/frame.js';
import { serve as listen, SESSION_DEFAULTS } from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { RawPeer, RawServer } from '../../fixtures/raw-peer.js';
import { Recorder } from '../../fixtures/recorder.js';
import { freeMemoryAddress, Log, outcome, rig, TCP, TestService } from '../../fixtures/rpc.js';
import {
  type Draft,
  frameBytes,
  jsonRequest,
  PROTOBUF_CODEC,
  recordedFrames,
} from '../../fixtures/rpc-frames.js';
import { gate, within } from '../../fixtures/waiting.js';

noLeaks();

const MAX_MESSAGE_BYTES = SESSION_DEFAULTS.maxMessageBytes;
/** Name, bytes, and the code of the error. */
const INVALID_FRAMES: readonly [string, Buffer, string][] = [
  ...(
    [
      ['a wrong magic', { magic: 0x20160904 }, 'BAD_FRAME'],
      ['the magic in the other byte order', { magic: 0x05091620 }, 'BAD_FRAME'],
      ['command 0', { command: 0 }, 'BAD_FRAME'],
      ['an unknown command', { command: 77 }, 'BAD_FRAME'],
      ['a credit without its number', { command: 8 }, 'BAD_FRAME'],
      ['a negative command', { command: -3 }, 'BAD_FRAME'],
      ['codec 0', { codec: 0 }, 'BAD_FRAME'],
      ['an unknown codec', { codec: 3 }, 'BAD_FRAME'],
      ['a negative codec', { codec: -1 }, 'BAD_FRAME'],
      ['a negative length', { packageLength: -1 }, 'BAD_FRAME'],
      ['the most negative length', { packageLength: -(2 ** 31) }, 'BAD_FRAME'],
      [
        'a length just beyond the limit',
        { packageLength: MAX_MESSAGE_BYTES - 31 },
        'MESSAGE_TOO_LARGE',
      ],
      ['the greatest length', { packageLength: 2 ** 31 - 1 }, 'MESSAGE_TOO_LARGE'],
      [
        'a heartbeat of the greatest length',
        { command: 1, packageLength: 2 ** 31 - 1 },
        'MESSAGE_TOO_LARGE',
      ],
      ['a goaway of a negative length', { command: 9, packageLength: -2 }, 'BAD_FRAME'],
      ['a request of 0 bytes', { packageLength: 0 }, 'BAD_FRAME'],
      ['a request of 1 byte', { packageLength: 1 }, 'BAD_FRAME'],
      ['a request of 2 bytes', { packageLength: 2 }, 'BAD_FRAME'],
      ['a request of 3 bytes', { packageLength: 3 }, 'BAD_FRAME'],
      ['a response of 3 bytes', { command: 4, packageLength: 3 }, 'BAD_FRAME'],
      ['a header that is longer than the frame', { head: 'ab', headLength: 3 }, 'BAD_FRAME'],
      ['a header of 65,535 bytes in a frame of 6', { head: 'ab', headLength: 0xffff }, 'BAD_FRAME'],
      ['a body that is shorter than its length', { body: 'ab', bodyLength: 3 }, 'BAD_FRAME'],
      ['a body that is longer than its length', { body: 'ab', bodyLength: 1 }, 'BAD_FRAME'],
      ['a length without a body', { bodyLength: 1 }, 'BAD_FRAME'],
    ] as [string, Draft, string][]
  ).map(([name, draft, code]): [string, Buffer, string] => [name, frameBytes(draft), code]),
  ['a request of HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: here\r\n\r\n'), 'BAD_FRAME'],
];

describe.each([
  ['memory', freeMemoryAddress, {}],
  ['tcp', (): string => TCP, {}],
  ['tcp+deflate', (): string => TCP, { compression: 'deflate' }],
] as const)(
  'an invalid frame that a server receives closes its session only, over %s',
  (_, address, session) => {
    test.each(INVALID_FRAMES)('%s', async (_name, bytes, code) => {
      const answer = gate<{ A: string }>();
      await using pair = await rig({
        address: address(),
        session,
        handlers: { test: () => answer.promise },
      });
      const inFlight = pair.stub.test({});
      await using peer = await RawPeer.connect(pair.server.address, session);
      // The valid request that follows in the same read is not handled.
      await peer.send(Buffer.concat([bytes, jsonRequest('TestService', 'Add', { A: 1 })]));
      await peer.end();
      const { details, message } = await pair.serverLog.warnings.next();
      expect(details.code).toBe(code);
      expect(message.length).toBeGreaterThan(20);
      expect(peer.frames.all).toEqual([]);
      expect(await pair.stub.add({ A: 1, B: 2 })).toMatchObject({ Sum: 3 });
      answer.open({ A: 'alive' });
      expect(await inFlight).toMatchObject({ A: 'alive' });
      expect([pair.server.channels.size, pair.serverLog.warnings.all.length]).toEqual([1, 1]);
    });
  },
);

test.each(INVALID_FRAMES)(
  'a client that receives an invalid frame fails its calls at once, and reconnects: %s',
  async (_, bytes, code) => {
    await using server = await RawServer.serve();
    const logger = new Log('the client');
    await using client = await connect(server.address, {
      connections: 1,
      reconnect: { initialDelay: 1, maxDelay: 1 },
      logger,
      timeout: 60_000,
    });
    const call = outcome(client.stub(TestService).add({ A: 1 }));
    const { peer } = await server.requests.next();
    await peer.send(bytes);
    expect(await within(call, 'the call to fail')).toBe('UNAVAILABLE');
    expect((await logger.warnings.next()).details.code).toBe(code);
    await server.peers.take(2);
  },
);

test('onError of the transport gets the same code', async () => {
  for (const [, bytes, code] of INVALID_FRAMES) {
    const events = new Recorder<Frame>('the server');
    const server = await listen<Frame>(freeMemoryAddress(), {
      codec: {
        read(input, session) {
          const frame = new Frame();
          return readFrame(input, frame, session.maxMessageBytes) ? frame : undefined;
        },
        write() {},
      },
      listener: events,
    });
    await using peer = await RawPeer.connect(server.address);
    await peer.send(bytes);
    expect((await events.errors.next()).code).toBe(code);
    expect(events.log).toEqual(['open', `error ${code}`]);
    await peer.end();
    await events.closed.next();
    await server.close();
  }
});

test('a stream that ends within a frame is a BAD_FRAME of its session', async () => {
  await using pair = await rig();
  await using peer = await RawPeer.connect(pair.server.address);
  await peer.send(frameBytes({ head: 'head' }).subarray(0, 35));
  void peer.session.close();
  expect((await pair.serverLog.warnings.next()).details.code).toBe('BAD_FRAME');
  expect(await outcome(pair.stub.add({}))).toBe('ok');
});

test('a compressed stream that is invalid, or too large when it is inflated, closes its session', async () => {
  await using pair = await rig({ session: { compression: 'deflate', maxInflatedBytes: 100_000 } });
  await using invalid = await RawPeer.connect(pair.server.address);
  await invalid.send(Buffer.from([0xff, 0xff, 0xff, 0xff]));
  expect((await pair.serverLog.warnings.next()).details.code).toBe('BAD_FRAME');
  await using bomb = await RawPeer.connect(pair.server.address);
  await bomb.send(
    deflateRawSync(Buffer.alloc(10_000_000), { finishFlush: constants.Z_SYNC_FLUSH }),
  );
  expect((await pair.serverLog.warnings.next()).details.code).toMatch(
    /^(INFLATE_LIMIT|BAD_FRAME)$/,
  );
  await Promise.all([invalid.end(), bomb.end()]);
  expect(await outcome(pair.stub.add({}))).toBe('ok');
});

test('unknown fields of a message are ignored', async () => {
  await using pair = await rig();
  await using peer = await RawPeer.connect(pair.server.address);
  const head = Buffer.from('\x0a\x0bTestService\x12\x03Add\x18\x02', 'latin1');
  await peer.send(
    jsonRequest('TestService', 'Add', {
      A: 1,
      Z: { deep: [1] },
      B: 2,
      __proto__: null,
      constructor: 1,
    }),
    frameBytes({ codec: PROTOBUF_CODEC, head, body: Buffer.from('080110027a0161', 'hex') }),
  );
  expect(
    (await peer.frames.take(2)).map(({ code, body }) => [code, body.toString('latin1')]),
  ).toEqual([
    [0, '{"Sum":3}'],
    [0, '\b\x03'],
  ]);
});

test('unexpected frames are ignored', async () => {
  await using pair = await rig();
  await using peer = await RawPeer.connect(pair.server.address);
  // An answer to no call, an answer to no heartbeat, a heartbeat with a body, and requests with
  // unknown call types.
  await peer.send(
    frameBytes({ command: 4, sequence: 5n }),
    frameBytes({ command: 2, sequence: 5n }),
    Buffer.concat([frameBytes({ command: 1, packageLength: 3 }), Buffer.from('abc')]),
  );
  expect((await peer.frames.next()).packageLength).toBe(0);
  for (const callType of ['CT_UNKNOWN', 'CT_Bogus', '']) {
    await peer.send(jsonRequest('TestService', 'Add', { A: 1, B: 1 }, { callType }));
    expect((await peer.frames.next()).body.toString()).toBe('{"Sum":2}');
  }
  await peer.send(recordedFrames(0, 'client-to-server')[1] as Buffer);
  expect((await peer.frames.next()).code).toBe(0);
});
