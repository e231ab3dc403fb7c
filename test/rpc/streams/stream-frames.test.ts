/** The frames of streams, and peers that send invalid ones. */
import { describe, expect, test } from 'vitest';
import {
  clientStream,
  contract,
  duplex,
  implement,
  type RpcServer,
  serve,
  serverStream,
  unary,
} from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { RawPeer, RawServer } from '../../fixtures/raw-peer.js';
import { connectOnce, freeMemoryAddress, Log } from '../../fixtures/rpc.js';
import { type Fields, frameBytes, jsonRequest } from '../../fixtures/rpc-frames.js';
import { gate, Inbox, turns, until } from '../../fixtures/waiting.js';

const CALL = 0xabcdef1234567n;
const Feed = contract('Feed', {
  echo: unary<string, string>(),
  count: serverStream<number, number>(),
  sum: clientStream<number, number>(),
  chat: duplex<string, string>(),
});

noLeaks();

const request = (method: string, argument?: unknown, sequence = CALL): Buffer =>
  jsonRequest('Feed', method, argument, { sequence, serviceId: 1 });
const item = (value: unknown, sequence = CALL): Buffer =>
  frameBytes({ command: 5, sequence, serviceId: 1, body: JSON.stringify(value) });
const end = (sequence = CALL): Buffer => frameBytes({ command: 6, sequence, serviceId: 1 });
const cancel = (sequence = CALL): Buffer => frameBytes({ command: 7, sequence, serviceId: 1 });
function credit(bytes: number, sequence = CALL): Buffer {
  const body = Buffer.alloc(4);
  body.writeUInt32LE(bytes);
  return frameBytes({ command: 8, sequence, serviceId: 1, body });
}

interface StreamRig extends AsyncDisposable {
  readonly server: RpcServer;
  readonly peer: RawPeer;
  readonly log: Log;
  /** The sum that a handler of sum() has computed, or its error. */
  readonly sums: Inbox<unknown>;
}

/** A server with an extended raw peer. Handlers read nothing before `hold` settles. */
async function streamRig(
  hold: Promise<void> = Promise.resolve(),
  options: { maxPendingCalls?: number } = {},
): Promise<StreamRig> {
  const log = new Log('the server');
  const sums = new Inbox<unknown>('a sum');
  const service = implement(Feed, {
    echo: (text) => text,
    async *count(to) {
      for (let n = 1; n <= to; n++) yield n;
    },
    async sum(numbers) {
      await hold;
      let sum = 0;
      try {
        for await (const n of numbers) sum += n;
      } catch (error) {
        sums.push(error);
        throw error;
      }
      sums.push(sum);
      return sum;
    },
    async *chat(texts) {
      await hold;
      for await (const text of texts) yield text;
    },
  });
  const server = await serve(freeMemoryAddress(), [service], {
    logger: log,
    ...options,
    session: { maxMessageBytes: 100_000 },
  });
  const peer = await RawPeer.connect(server.address);
  return {
    server,
    peer,
    log,
    sums,
    async [Symbol.asyncDispose]() {
      await peer[Symbol.asyncDispose]();
      server.destroy();
      await server.close();
    },
  };
}

const summaryOf = ({ command, code, body, head }: Fields): unknown[] => [
  command,
  code,
  body.toString() || head.toString(),
];
const waitUntilIdle = (server: RpcServer): Promise<void> =>
  until(() => [...server.channels].every(({ serving }) => serving === 0), 'no call is in flight');

describe('the frames', () => {
  test('of a stream of replies are items and an end, with the sequence of the request', async () => {
    await using s = await streamRig();
    await s.peer.send(request('count', 2));
    const frames = await s.peer.frames.take(3);
    expect(frames.map(summaryOf)).toEqual([
      [5, 0, '1'],
      [5, 0, '2'],
      [6, 0, '{"Error":""}'],
    ]);
    expect(frames.every(({ sequence, codec }) => sequence === CALL && codec === 1)).toBe(true);
  });

  test('of a stream of arguments are a request without body, items and an end; the server sends a credit and a response', async () => {
    await using s = await streamRig();
    await s.peer.send(request('sum'), item(1), item(41), end());
    const [granted, response] = await s.peer.frames.take(2);
    expect([granted?.command, granted?.packageLength, granted?.bytes.readUInt32LE(32)]).toEqual([
      8,
      4,
      256 * 1024 - 64 * 1024,
    ]);
    expect(summaryOf(response as Fields)).toEqual([4, 0, '42']);
  });

  test('of a failed stream end with the header of an error', async () => {
    await using s = await streamRig();
    await s.peer.send(
      request('chat'),
      frameBytes({ command: 5, sequence: CALL, serviceId: 1, body: '{no JSON' }),
    );
    const frames = await s.peer.frames.take(2);
    expect(frames.map(({ command, code }) => [command, code])).toEqual([
      [8, 0],
      [6, 1],
    ]);
    expect(frames[1]?.head.toString()).toContain('does not parse');
    await waitUntilIdle(s.server);
  });

  test('of a client are the same', async () => {
    await using server = await RawServer.serve({}, (frame, peer) => {
      if (frame.command !== 1) return false;
      void peer.send(frameBytes({ command: 2, serviceId: 2, sequence: frame.sequence }));
      return true;
    });
    await using client = await connectOnce(server.address);
    const { sum, count } = client.stub(Feed);
    const call = sum([1, 2]);
    const { peer, sequence } = await server.requests.next();
    const frames = (await peer.frames.take(5)).filter(({ command }) => command > 2);
    expect(frames.map(summaryOf)).toEqual([
      [3, 0, '{"Service":"Feed","Method":"sum","CallType":"CT_TwoWay"}'],
      [5, 0, '1'],
      [5, 0, '2'],
      [6, 0, ''],
    ]);
    expect(new Set(frames.map((frame) => frame.sequence))).toEqual(new Set([sequence]));
    await peer.send(
      frameBytes({ command: 4, sequence, serviceId: 2, head: '{"Error":""}', body: '3' }),
    );
    expect(await call).toBe(3);
    const replies = count(9)[Symbol.asyncIterator]();
    const first = replies.next();
    const countRequest = await server.requests.next();
    await peer.send(item(7, countRequest.sequence));
    expect((await first).value).toBe(7);
    await replies.return?.();
    await peer.frames.next();
    const [creditFrame, cancelFrame] = await peer.frames.take(2);
    expect([creditFrame?.command, cancelFrame?.command, cancelFrame?.packageLength]).toEqual([
      8, 7, 0,
    ]);
    client.destroy();
  });
});

describe('a peer that violates the protocol of streams', () => {
  test('sends frames of unknown streams, which are ignored', async () => {
    await using s = await streamRig();
    await s.peer.send(
      item(1),
      end(),
      cancel(),
      credit(5),
      item(1, 2n),
      end(2n),
      cancel(2n),
      credit(9, 2n),
      request('echo', 'still here'),
    );
    expect(summaryOf(await s.peer.frames.next())).toEqual([4, 0, '"still here"']);
  });

  test('sends items beyond the window, which ends that stream only', async () => {
    const hold = gate();
    await using s = await streamRig(hold.promise);
    const large = 'x'.repeat(50_000);
    await s.peer.send(request('chat'));
    for (let n = 0; n < 8; n++) await s.peer.send(item(large));
    await s.peer.send(request('echo', 'other call', 3n));
    const frames = await s.peer.frames.take(3);
    expect(frames.map(({ command, code }) => [command, code])).toEqual([
      [8, 0],
      [6, 1],
      [4, 0],
    ]);
    expect(frames[1]?.head.toString()).toContain('the window is 262144 bytes');
    hold.open();
    await waitUntilIdle(s.server);
  });

  test('sends frames after the end or the answer, which are ignored', async () => {
    await using s = await streamRig();
    await s.peer.send(request('sum'), item(1), end(), item(100), end(), cancel());
    expect(await s.sums.next()).toBe(1);
    expect((await s.peer.frames.take(2)).map(summaryOf).at(-1)).toEqual([4, 0, '1']);
    await s.peer.send(item(1), credit(1), cancel(), request('echo', 'still here', 3n));
    expect(summaryOf(await s.peer.frames.next())).toEqual([4, 0, '"still here"']);
  });

  test('opens streams without using them, which maxPendingCalls limits', async () => {
    await using s = await streamRig(undefined, { maxPendingCalls: 10 });
    for (let n = 0; n < 30; n++) await s.peer.send(request('sum', undefined, BigInt(2 * n + 1)));
    const frames = await s.peer.frames.take(30);
    expect(frames.filter(({ command }) => command === 8)).toHaveLength(10);
    expect(frames.filter(({ command, code }) => command === 4 && code === 1)).toHaveLength(20);
    expect([...s.server.channels][0]?.serving).toBe(10);
  });

  test('repeats the sequence of a stream, which stays usable', async () => {
    await using s = await streamRig(undefined, { maxPendingCalls: 3 });
    await s.peer.send(request('sum'), request('sum'), request('sum'));
    const frames = await s.peer.frames.take(3);
    expect(frames.map(({ command, code }) => [command, code])).toEqual([
      [8, 0],
      [4, 1],
      [4, 1],
    ]);
    await s.peer.send(item(5), end());
    expect(await s.sums.next()).toBe(5);
  });

  test('opens and cancels 500 streams, of which none stays in flight', async () => {
    await using s = await streamRig(undefined, { maxPendingCalls: 20 });
    for (let n = 0; n < 500; n++)
      await s.peer.send(
        request('sum', undefined, BigInt(2 * n + 1)),
        item(1, BigInt(2 * n + 1)),
        cancel(BigInt(2 * n + 1)),
      );
    await s.peer.send(request('echo', 'done', 99_999n));
    let last: Fields;
    do last = await s.peer.frames.next();
    while (last.sequence !== 99_999n);
    await waitUntilIdle(s.server);
    expect(
      s.sums.all.filter((input) => (input as { code?: string }).code === 'CANCELLED').length,
    ).toBeGreaterThan(400);
  });

  test('sends no credit, and gets no more than the first window', async () => {
    await using s = await streamRig();
    await s.peer.send(request('count', 100_000));
    await until(() => s.peer.frames.all.length > 1_500, 'the window is used up');
    await turns(20);
    const bytes = s.peer.frames.all.reduce((sum, frame) => sum + frame.bytes.length, 0);
    expect(bytes).toBeGreaterThanOrEqual(64 * 1024);
    expect(bytes).toBeLessThan(64 * 1024 + 100);
    const before = s.peer.frames.all.length;
    await s.peer.send(credit(1_000));
    await until(() => s.peer.frames.all.length > before, 'the server sends more');
    s.peer.frames.dismiss();
    await s.peer.send(cancel());
    await waitUntilIdle(s.server);
  });

  test.each([
    ['a credit without a number', frameBytes({ command: 8, sequence: CALL })],
    [
      'a credit that is too long',
      frameBytes({ command: 8, sequence: CALL, body: Buffer.alloc(8) }),
    ],
    ['an item without sections', frameBytes({ command: 5, packageLength: 0 })],
    ['an unknown command', frameBytes({ command: 10 })],
  ])('is disconnected with BAD_FRAME: %s', async (_, bytes) => {
    await using s = await streamRig();
    await s.peer.send(bytes);
    await s.peer.end();
    expect(s.log.codes).toEqual(['BAD_FRAME']);
  });
});
