/** Bytes recorded from real Go programs: decoded, encoded back, answered, and asked for again. */
import { constants, inflateRawSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { type CodecName, connect, type Method, serve } from '../../../src/rpc/index.js';
import {
  beginFrame,
  beginSection,
  CODE,
  endFrame,
  endSection,
  Frame,
  readFrame,
} from '../../../src/rpc/wire/frame.js';
import {
  readRequestHeader,
  writeConstantRequestHeader,
  writeVariableRequestHeader,
} from '../../../src/rpc/wire/request-header.js';
import { Reply } from '../../../src/rpc/wire/response.js';
import { isPlainSuccess, readResponseError } from '../../../src/rpc/wire/response-header.js';
import { ByteReader } from '../../../src/transport/buffers/byte-reader.js';
import { ByteWriter } from '../../../src/transport/buffers/byte-writer.js';
import { noLeaks } from '../../fixtures/leaks.js';
import {
  freeMemory,
  outcome,
  RawPeer,
  RawServer,
  rig,
  TestService,
  type TestStub,
  testService,
} from '../../fixtures/rpc.js';
import {
  CHUNKINGS,
  CONNECTIONS,
  type Fields,
  parseFrame,
  parseFrames,
  RECORDED,
  type Recorded,
  recordedChunks,
  recordedFrames,
  withTags,
} from '../../fixtures/rpc-frames.js';
import { within } from '../../fixtures/waiting.js';

const LARGEST = 4 * 1024 * 1024;
const TO_SERVER = 'client-to-server';
const TO_CLIENT = 'server-to-client';
const methodNamed = (name: string): Method =>
  [...TestService.methods.values()].find((method) => method.name === name) as Method;
const join = (low: number, high: number): bigint => (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
const codecName = (number: number): CodecName => (number === 1 ? 'json' : 'protobuf');
const inflate = (bytes: Buffer): Buffer =>
  inflateRawSync(bytes, { finishFlush: constants.Z_SYNC_FLUSH });

function decode(bytes: Buffer): Frame {
  const input = new ByteReader();
  input.feed(bytes);
  const frame = new Frame();
  expect(readFrame(input, frame, LARGEST)).toBe(true);
  expect(input.length).toBe(0);
  return frame;
}

/** What the package means, written anew by the library. */
function encodeAgain(frame: Frame, methods: ReadonlyMap<string, Method>): Buffer {
  const output = new ByteWriter();
  const codec = codecName(frame.codec);
  if (frame.command === 3) {
    const head = readRequestHeader(codec, frame.bytes, frame.headerStart, frame.headerEnd);
    const body = methodNamed(head.method).input[codec];
    const at = beginFrame(output, frame.command, frame.code, frame.codec, frame);
    const headAt = beginSection(output);
    writeConstantRequestHeader(
      output,
      codec,
      head.service,
      head.method,
      head.version,
      head.callType,
    );
    writeVariableRequestHeader(output, codec, head.timeout, head.metadata);
    endSection(output, headAt);
    const bodyAt = beginSection(output);
    body?.encode(output, body.decode(frame.bytes, frame.bodyStart, frame.bodyEnd));
    endSection(output, bodyAt);
    endFrame(output, at);
  } else if (frame.command === 4) {
    const reply = new Reply();
    reply.setResponse(frame, frame.serviceId, codec, false);
    const body = methods.get(`${join(frame.sequenceLow, frame.sequenceHigh)}`)?.output[codec];
    const failed =
      frame.code !== CODE.ok || !isPlainSuccess(codec, frame.headerEnd - frame.headerStart);
    if (failed)
      reply.setError(readResponseError(codec, frame.bytes, frame.headerStart, frame.headerEnd));
    else reply.setSuccess(body, body?.decode(frame.bytes, frame.bodyStart, frame.bodyEnd), LARGEST);
    reply.write(output);
  } else if (frame.command === 2) {
    const reply = new Reply();
    reply.setHeartbeat(frame, frame.serviceId);
    reply.write(output);
  } else beginFrame(output, frame.command, frame.code, frame.codec, frame);
  return output.bytes.subarray(0, output.length);
}

/** The method of each recorded call, by sequence. */
function methodsOf(frames: readonly Buffer[]): Map<string, Method> {
  const calls = frames.map(decode).filter(({ command }) => command === 3);
  return new Map(
    calls.map((frame) => [
      `${join(frame.sequenceLow, frame.sequenceHigh)}`,
      methodNamed(
        readRequestHeader(codecName(frame.codec), frame.bytes, frame.headerStart, frame.headerEnd)
          .method,
      ),
    ]),
  );
}

describe('each recorded package', () => {
  const methods = methodsOf(
    RECORDED.filter(({ direction }) => direction === TO_SERVER).map(({ frameHex }) =>
      Buffer.from(frameHex, 'hex'),
    ),
  );
  const rows = RECORDED.map((recorded, line) => ({ ...recorded, line: line + 1 }));

  test('all are there', () => {
    expect(RECORDED).toHaveLength(54);
    expect(
      new Set(RECORDED.map(({ command, codec, code }) => `${command} ${codec} ${code}`)),
    ).toEqual(new Set(['3 1 0', '4 1 0', '4 1 1', '3 2 0', '4 2 0', '4 2 1', '1 1 0', '2 1 0']));
  });

  test.each(rows)(
    'line $line decodes to the fields beside it, and encodes to the same bytes',
    (recorded) => {
      const frame = decode(Buffer.from(recorded.frameHex, 'hex'));
      const { command, serviceId, code, codec } = frame;
      expect({ command, serviceId, code, codec }).toEqual({
        command: recorded.command,
        serviceId: recorded.serviceId,
        code: recorded.code,
        codec: recorded.codec,
      });
      expect(join(frame.sequenceLow, frame.sequenceHigh)).toBe(BigInt(recorded.sequence));
      expect(BigInt.asIntN(64, join(frame.logIdLow, frame.logIdHigh))).toBe(BigInt(recorded.logId));
      const head = frame.bytes.subarray(frame.headerStart, frame.headerEnd);
      const body = frame.bytes.subarray(frame.bodyStart, frame.bodyEnd);
      expect(head.toString('hex')).toBe(recorded.headerHex ?? '');
      expect(body.toString('hex')).toBe(recorded.bodyHex ?? '');
      if (recorded.header !== undefined) expect(head.toString()).toBe(recorded.header);
      if (recorded.body !== undefined) expect(body.toString()).toBe(recorded.body);
      expect(encodeAgain(frame, methods).toString('hex')).toBe(recorded.frameHex);
    },
  );
});

/** Wait until `peer` has received `expected`, and compare. */
async function expectBytes(
  peer: RawPeer,
  expected: readonly Buffer[],
  hint: string,
): Promise<void> {
  for (const [index, bytes] of expected.entries()) {
    const frame = await within(
      peer.frames.next(),
      `answer ${index + 1} of ${expected.length}: ${hint}`,
    );
    if (!frame.bytes.equals(bytes))
      expect(frame.bytes.toString('hex'), `answer ${index + 1}: ${hint}`).toBe(
        bytes.toString('hex'),
      );
  }
}

describe('a server of ours, fed what a Go client sent, answers as the Go server did', () => {
  noLeaks();
  const rows = Object.keys(CHUNKINGS).flatMap((chunking) =>
    CONNECTIONS.map((connection) => ({ chunking, connection })),
  );

  test.each(rows)('connection $connection, $chunking', async ({ chunking, connection }) => {
    await using server = await serve(freeMemory(), [testService()]);
    await using peer = await RawPeer.connect(server.address);
    const sent = recordedFrames(connection, TO_SERVER);
    const answers = recordedFrames(connection, TO_CLIENT);
    for (const [index, chunks] of CHUNKINGS[chunking]?.(sent).entries() ?? []) {
      expect(Buffer.concat(chunks).equals(Buffer.concat(sent))).toBe(true);
      await peer.send(...chunks);
      await expectBytes(peer, answers, `conversation ${index + 1}`);
    }
    expect(peer.frames.unread).toEqual([]);
  });

  test.each(['each frame whole', 'byte by byte', 'all at once'])(
    'over a socket, %s',
    async (chunking) => {
      await using server = await serve('tcp://127.0.0.1:0', [testService()]);
      for (const connection of CONNECTIONS) {
        await using peer = await RawPeer.connect(server.address);
        for (const chunks of CHUNKINGS[chunking]?.(recordedFrames(connection, TO_SERVER)) ?? [])
          await peer.send(...chunks);
        await expectBytes(peer, recordedFrames(connection, TO_CLIENT), `connection ${connection}`);
        expect(peer.frames.unread).toEqual([]);
      }
    },
  );
});

/** Do the call that a recorded request is, and answer what became of it. */
function callAgain(stub: TestStub, frame: Fields): Promise<unknown> {
  const codec = codecName(frame.codec);
  const { method } = readRequestHeader(codec, frame.head, 0, frame.head.length);
  const input = methodNamed(method).input[codec]?.decode(frame.body, 0, frame.body.length);
  const call = stub[method.toLowerCase() as keyof TestStub] as (input: unknown) => Promise<unknown>;
  return call(input).catch((error: Error & { code: string }) => ({
    code: error.code,
    message: error.message,
  }));
}

/**
 * What our request may have that the recorded one has not: other numbers, and fields of the header
 * that Go skips.
 */
function expectSameRequest(ours: Fields, recorded: Fields): void {
  const pick = ({ magic, command, code, codec }: Fields): object => ({
    magic,
    command,
    code,
    codec,
  });
  expect(pick(ours)).toEqual(pick(recorded));
  expect(ours.body.toString('hex')).toBe(recorded.body.toString('hex'));
  expect(ours.packageLength).toBe(ours.head.length + ours.body.length + 4);
  expect(ours.serviceId).toBe(1);
  expect(ours.sequence & 1n).toBe(1n);
  if (recorded.codec === 1) {
    const { Timeout, Metadata, Version, ...rest } = JSON.parse(ours.head.toString()) as Record<
      string,
      unknown
    >;
    expect(JSON.stringify(rest)).toBe(recorded.head.toString());
    expect(Version).toBe('v1.0');
  } else {
    expect(ours.head.subarray(0, recorded.head.length).toString('hex')).toBe(
      recorded.head.toString('hex'),
    );
    const rest = readRequestHeader('protobuf', ours.head, recorded.head.length, ours.head.length);
    expect(rest).toMatchObject({ service: '', method: '', callType: 0, version: 'v1.0' });
  }
}

const EXPECTED: Record<string, object | undefined> = {
  Test: { A: 'aaa, bbb, ccc' },
  Add: { Sum: 11 },
  Err: { code: 'UNKNOWN', message: 'this is a error test' },
  Event: undefined,
};

describe('a client of ours asks what the Go client asked, and takes what the Go server answered', () => {
  noLeaks();
  const conversations = CONNECTIONS.filter((connection) =>
    recordedFrames(connection, TO_SERVER).some((bytes) => parseFrame(bytes)?.command === 3),
  );
  const rows = Object.keys(CHUNKINGS).flatMap((chunking) =>
    conversations.map((connection) => ({ chunking, connection })),
  );

  test.each(rows)('connection $connection, $chunking', async ({ chunking, connection }) => {
    const asked = parseFrames(Buffer.concat(recordedFrames(connection, TO_SERVER))).filter(
      ({ command }) => command === 3,
    );
    const answers = parseFrames(Buffer.concat(recordedFrames(connection, TO_CLIENT))).filter(
      ({ command }) => command === 4,
    );
    await using server = await RawServer.serve();
    await using client = await connect(server.address, { connections: 1, reconnect: false });
    const stubs = {
      json: client.stub(TestService, { codec: 'json' }),
      protobuf: client.stub(TestService, { codec: 'protobuf' }),
    };
    for (const plan of CHUNKINGS[chunking]?.(answers.map(({ bytes }) => bytes)) ?? []) {
      const outcomes = asked.map((frame) => callAgain(stubs[codecName(frame.codec)], frame));
      const requests = await server.requests.take(asked.length);
      for (const [index, request] of requests.entries())
        expectSameRequest(request, asked[index] as Fields);
      // The same cuts, with the numbers of our requests in the answers.
      const patched = Buffer.concat(
        answers.map((answer) => {
          const { sequence, logId } = requests[
            asked.findIndex((one) => one.sequence === answer.sequence)
          ] as Fields;
          return withTags(answer.bytes, { sequence, logId });
        }),
      );
      let at = 0;
      for (const { length } of plan) {
        await requests[0]?.peer.send(patched.subarray(at, at + length));
        at += length;
      }
      const results = await within(Promise.all(outcomes), 'every call to settle');
      for (const [index, frame] of asked.entries()) {
        const { method } = readRequestHeader(
          codecName(frame.codec),
          frame.head,
          0,
          frame.head.length,
        );
        const result = results[index];
        if (EXPECTED[method] === undefined) expect(result).toBeUndefined();
        else expect(result).toMatchObject(EXPECTED[method]);
      }
    }
    expect([...client.channels].map(({ extended, pending }) => ({ extended, pending }))).toEqual([
      { extended: false, pending: 0 },
    ]);
  });

  test('a heartbeat of ours is the recorded one, with other numbers', async () => {
    await using server = await RawServer.serve();
    await using _client = await connect(server.address, { connections: 1, reconnect: false });
    const peer = await server.peers.next();
    const heartbeat = await peer.frames.next();
    const recorded = recordedFrames(3, TO_SERVER)[0] as Buffer;
    expect(heartbeat.serviceId).toBe(1);
    expect(
      withTags(heartbeat.bytes, { sequence: 0n, logId: 0n, serviceId: 0 }).toString('hex'),
    ).toBe(withTags(recorded, { sequence: 0n, logId: 0n }).toString('hex'));
  });

  test('a conversation of ours, packages whole, is the recorded one', async () => {
    await using pair = await rig({ codec: 'protobuf' });
    expect(await outcome(pair.stub.err({ A: 1 }))).toBe('UNKNOWN');
    expect(await pair.stub.test({ A: 'aaa', B: 'bbb', C: 'ccc' })).toMatchObject(
      EXPECTED.Test as object,
    );
  });
});

describe('with raw DEFLATE', () => {
  noLeaks();
  const DEFLATE = { compression: 'deflate' } as const;
  const inflated = (connection: number, direction: Recorded['direction']): Buffer =>
    inflate(Buffer.concat(recordedChunks(connection, direction)));
  const meaning = ({ command, serviceId, code, codec, head, body }: Fields): string =>
    [command, serviceId, code, codec, head.toString('hex'), body.toString('hex')].join(' ');

  test.each(CONNECTIONS)(
    'the chunks of connection %d inflate to packages that decode and encode to the same bytes',
    (connection) => {
      const methods = methodsOf(
        parseFrames(inflated(connection, TO_SERVER)).map(({ bytes }) => bytes),
      );
      for (const direction of [TO_SERVER, TO_CLIENT] as const) {
        const frames = parseFrames(inflated(connection, direction));
        const plain = recordedFrames(connection, direction).map(
          (bytes) => parseFrame(bytes) as Fields,
        );
        expect(frames.length).toBeGreaterThan(0);
        // How many heartbeats there are depends on when the recording ended.
        const calls = (list: readonly Fields[]): string[] =>
          list.filter(({ command }) => command > 2).map(meaning);
        expect(calls(frames)).toEqual(calls(plain));
        for (const { bytes } of frames)
          expect(encodeAgain(decode(bytes), methods).toString('hex')).toBe(bytes.toString('hex'));
      }
    },
  );

  const rows = ['each frame whole', 'byte by byte', 'all at once'].flatMap((chunking) =>
    CONNECTIONS.flatMap((connection) =>
      ['memory', 'tcp'].map((transport) => ({ chunking, connection, transport })),
    ),
  );

  test.each(rows)(
    'a server of ours answers connection $connection over $transport, $chunking, every write flushed',
    async ({ chunking, connection, transport }) => {
      await using server = await serve(
        transport === 'tcp' ? 'tcp://127.0.0.1:0' : freeMemory(),
        [testService()],
        { session: DEFLATE },
      );
      // The peer itself is without compression: it sends and receives the bytes of the wire.
      await using peer = await RawPeer.connect(server.address);
      const expected = inflated(connection, TO_CLIENT);
      for (const chunks of CHUNKINGS[chunking]?.(recordedChunks(connection, TO_SERVER)) ?? [])
        await peer.send(...chunks);
      const soFar = (): Buffer => inflate(Buffer.concat(peer.chunks));
      await within(
        (async () => {
          while (soFar().length < expected.length)
            await new Promise((resolve) => setImmediate(resolve));
        })(),
        'all answers',
      );
      expect(soFar().toString('hex')).toBe(expected.toString('hex'));
      if (transport === 'memory')
        for (const chunk of peer.chunks)
          expect(chunk.subarray(-4).toString('hex')).toBe('0000ffff');
      else expect(Buffer.concat(peer.chunks).subarray(-4).toString('hex')).toBe('0000ffff');
    },
  );

  test.each(CONNECTIONS.slice(0, 3))(
    'a client of ours, with compression, asks what connection %d asked',
    async (connection) => {
      const asked = parseFrames(inflated(connection, TO_SERVER)).filter(
        ({ command }) => command === 3,
      );
      const answers = parseFrames(inflated(connection, TO_CLIENT)).filter(
        ({ command }) => command === 4,
      );
      await using server = await RawServer.serve({ session: DEFLATE });
      await using client = await connect(server.address, {
        connections: 1,
        reconnect: false,
        session: DEFLATE,
      });
      const stubs = {
        json: client.stub(TestService, { codec: 'json' }),
        protobuf: client.stub(TestService, { codec: 'protobuf' }),
      };
      const outcomes = asked.map((frame) => callAgain(stubs[codecName(frame.codec)], frame));
      const requests = await server.requests.take(asked.length);
      for (const [index, request] of requests.entries())
        expectSameRequest(request, asked[index] as Fields);
      for (const answer of answers) {
        const { sequence, logId, peer } = requests[
          asked.findIndex((one) => one.sequence === answer.sequence)
        ] as Fields & { peer: RawPeer };
        peer.session.write(withTags(answer.bytes, { sequence, logId }));
      }
      const results = await within(Promise.all(outcomes), 'every call to settle');
      expect(results.filter((result) => result !== undefined)).toHaveLength(answers.length);
    },
  );
});
