/** What only Go peers do; see docs/from-go.md. */
import { describe, expect, test } from 'vitest';
import {
  contract,
  implement,
  noReply,
  oneway,
  RpcError,
  serve,
  unary,
} from '../../src/rpc/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { RawPeer, RawServer } from '../fixtures/raw-peer.js';
import { connectOnce, freeMemoryAddress, outcome } from '../fixtures/rpc.js';
import { type Fields, frameBytes, jsonRequest } from '../fixtures/rpc-frames.js';
import { rejection } from '../fixtures/transports.js';
import { elapse } from '../fixtures/waiting.js';

noLeaks();

const Service = contract('TestService', {
  Mark: noReply<unknown>(),
  Add: unary<{ A: number; B: number }, { Sum: number }>(),
  Ping: unary<void, unknown>(),
  Note: oneway<void>(),
});

/** A Go server's answer to a call without a reply: the header of the request, with its length. */
function headerOf(request: Fields): Buffer {
  const header = Buffer.from(request.bytes.subarray(0, 32));
  header.writeInt16LE(4, 4);
  return header;
}

function answerTo(request: Fields, body: string): Buffer {
  return frameBytes({
    command: 4,
    serviceId: request.serviceId,
    sequence: request.sequence,
    head: '{"Error":""}',
    body,
  });
}

const isNoReply = ({ head }: Fields): boolean => head.includes('CT_TwoWayNoReply');

describe('a client of a Go server, which announces bytes without sending them', () => {
  test('settles a call without a reply, and reads later answers', async () => {
    await using server = await RawServer.serve({}, (frame, peer) => {
      if (frame.command === 3)
        peer.session.write(isNoReply(frame) ? headerOf(frame) : answerTo(frame, '{"Sum":3}'));
    });
    await using client = await connectOnce(server.address);
    const stub = client.stub(Service);
    await Promise.all([stub.Mark({ A: 1 }), stub.Add({ A: 1, B: 2 }), stub.Mark({ A: 2 })]);
    expect(await stub.Add({ A: 1, B: 2 })).toEqual({ Sum: 3 });
  });

  test('reads later answers when a call without a reply has timed out', async () => {
    let late: (() => void) | undefined;
    await using server = await RawServer.serve({}, (frame, peer) => {
      if (frame.command !== 3) return;
      if (isNoReply(frame)) late = () => void peer.session.write(headerOf(frame));
      else peer.session.write(answerTo(frame, '{"Sum":3}'));
    });
    await using client = await connectOnce(server.address);
    const stub = client.stub(Service);
    expect(await outcome(stub.Mark({ A: 1 }, { timeout: 30 }))).toBe('DEADLINE_EXCEEDED');
    late?.();
    expect(await stub.Add({ A: 1, B: 2 })).toEqual({ Sum: 3 });
  });

  test('reads the announced bytes of a reply', async () => {
    await using server = await RawServer.serve({}, (frame, peer) => {
      if (frame.command === 3)
        for (const byte of answerTo(frame, '{"Sum":3}')) peer.session.writeBytes(Buffer.of(byte));
    });
    await using client = await connectOnce(server.address);
    expect(await client.stub(Service).Add({ A: 1, B: 2 })).toEqual({ Sum: 3 });
  });
});

describe('undefined', () => {
  test('is null in an argument, unless the peer is known to be extended', async () => {
    await using server = await RawServer.serve({}, (frame, peer) => {
      if (frame.head.includes('Ping')) peer.session.write(answerTo(frame, 'null'));
    });
    await using client = await connectOnce(server.address);
    const stub = client.stub(Service);
    await stub.Ping();
    await stub.Ping();
    await stub.Note();
    const bodies = (await server.requests.take(3)).map(({ body }) => body.toString());
    expect(bodies.map((body) => JSON.parse(body))).toEqual([null, null, null]);
    expect(bodies[2]).toBe('null');
  });

  test('is null in a reply to a plain peer', async () => {
    await using server = await serve(freeMemoryAddress(), [
      implement(Service, { Mark() {}, Add: () => undefined as never, Ping() {}, Note() {} }),
    ]);
    await using peer = await RawPeer.connect(server.address);
    await peer.send(
      jsonRequest('TestService', 'Ping', {}, { sequence: 1n }),
      jsonRequest('TestService', 'Mark', {}, { sequence: 3n, callType: 'CT_TwoWayNoReply' }),
    );
    expect((await peer.frames.next()).body.toString()).toBe('null');
    expect((await peer.frames.next()).packageLength).toBe(0);
  });

  test('is missing in the failed answer to a noReply call of a plain peer', async () => {
    const fail = (): never => {
      throw new Error('it failed');
    };
    await using server = await serve(freeMemoryAddress(), [
      implement(Service, { Mark: fail, Add: fail, Ping: fail, Note: fail }),
    ]);
    await using peer = await RawPeer.connect(server.address);
    await peer.send(
      jsonRequest('TestService', 'Mark', {}, { sequence: 3n, callType: 'CT_TwoWayNoReply' }),
    );
    expect(await peer.frames.next()).toMatchObject({ code: 1, sequence: 3n, packageLength: 0 });
  });

  test('stays undefined between extended peers, from the first call on', async () => {
    const inputs: unknown[] = [];
    const handlers = {
      Mark() {},
      Add: () => ({ Sum: 0 }),
      Ping: (...[input]: unknown[]) => void inputs.push(input),
      Note() {},
    };
    await using server = await serve(freeMemoryAddress(), [implement(Service, handlers as never)]);
    await using client = await connectOnce(server.address);
    const stub = client.stub(Service);
    const early = stub.Ping();
    expect([await early, await stub.Ping()]).toEqual([undefined, undefined]);
    await stub.Ping(null as never);
    expect(inputs).toEqual([undefined, undefined, null]);
  });

  test('is an empty body in an error', async () => {
    const fail = (): never => {
      throw new RpcError('INTERNAL', 'no');
    };
    await using server = await serve(freeMemoryAddress(), [
      implement(Service, { Mark() {}, Add: fail, Ping: fail, Note() {} }),
    ]);
    await using peer = await RawPeer.connect(server.address);
    await peer.send(jsonRequest('TestService', 'Ping', {}, { sequence: 1n }));
    const answer = await peer.frames.next();
    expect([answer.code, answer.body.length]).toEqual([1, 0]);
  });
});

describe('the first call over a compressed session', () => {
  const DEFLATE = { compression: 'deflate' } as const;

  test('is sent after the answer to the first heartbeat', async () => {
    let answerHeartbeat: (() => void) | undefined;
    let calls = 0;
    await using server = await RawServer.serve(
      { address: 'tcp://127.0.0.1:0', session: DEFLATE },
      (frame, peer) => {
        if (frame.command === 1) {
          const answer = Buffer.from(frame.bytes);
          answer.writeInt16LE(2, 4);
          answerHeartbeat = () => void peer.session.write(answer);
          return true;
        }
        calls++;
        peer.session.write(answerTo(frame, '{"Sum":3}'));
        return true;
      },
    );
    await using client = await connectOnce(server.address, {
      session: DEFLATE,
    });
    const call = client.stub(Service).Add({ A: 1, B: 2 });
    const peer = await server.peers.next();
    await peer.frames.next();
    await elapse(20);
    expect(calls).toBe(0);
    answerHeartbeat?.();
    expect(await call).toEqual({ Sum: 3 });
  });

  test('fails at its deadline when the heartbeat gets no answer', async () => {
    await using server = await RawServer.serve(
      { address: 'tcp://127.0.0.1:0', session: DEFLATE },
      () => true,
    );
    await using client = await connectOnce(server.address, {
      session: DEFLATE,
    });
    const error = await rejection<RpcError>(
      client.stub(Service).Add({ A: 1, B: 2 }, { timeout: 30 }),
    );
    expect([error.code, error.unsent]).toEqual(['DEADLINE_EXCEEDED', true]);
  });
});
