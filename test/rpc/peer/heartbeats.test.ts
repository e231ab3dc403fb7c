/** Heartbeats: what they detect, and what they count for. */
import { describe, expect, test } from 'vitest';
import { connect, type RpcClient, serve } from '../../../src/rpc/index.js';
import { connect as connectTransport, raw } from '../../../src/transport/index.js';
import { runningWheels } from '../../../src/transport/session/timer-wheel.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { RawPeer, RawServer } from '../../fixtures/raw-peer.js';
import {
  connectOnce,
  LONG_TIMEOUT,
  outcome,
  pendingOf,
  rig,
  TCP,
  TestService,
  testService,
} from '../../fixtures/rpc.js';
import { frameBytes } from '../../fixtures/rpc-frames.js';
import { rejection } from '../../fixtures/transports.js';
import { turns, until, within } from '../../fixtures/waiting.js';

noLeaks();

/**
 * A server that answers no heartbeat. `delay` ms after one, it sends an answer to an unknown call
 * instead.
 */
function serveUnrelatedAnswers(delay: number): Promise<RawServer> {
  return RawServer.serve({}, (frame, { session }) => {
    const answer = (): void => {
      if (!session.closed) session.write(frameBytes({ command: 4, sequence: 99n }));
    };
    if (frame.command === 1) setTimeout(answer, delay);
    return true;
  });
}

describe('a session whose peer does not answer', () => {
  /** Milliseconds. */
  const HEARTBEATS = { heartbeatPeriod: 40, heartbeatTimeout: 40 };

  test('closes when a heartbeat gets no answer, and its calls fail with UNAVAILABLE', async () => {
    await using server = await RawServer.serve({}, () => true);
    await using client = await connectOnce(server.address, {
      timeout: LONG_TIMEOUT,
      ...HEARTBEATS,
    });
    expect(await rejection(client.stub(TestService).add({ A: 1 }))).toMatchObject({
      code: 'UNAVAILABLE',
    });
    expect(client.channels.size).toBe(0);
  });

  test('closes when the peer has ended its side, also with allowHalfOpen', async () => {
    await using server = await serve(TCP, [testService()], { session: { allowHalfOpen: true } });
    const setup = { codec: raw(), waitTime: LONG_TIMEOUT, listener: { onMessage() {} } };
    const client = await connectTransport(server.address, setup, { reconnect: false });
    await until(() => server.channels.size === 1, 'the server has the channel');
    await within(client.close(), 'the server to end its side too');
  });

  test('is replaced, but not when only a call has timed out', async () => {
    let isSilent = false;
    await using server = await RawServer.serve({}, () => isSilent);
    await using client = await connect(server.address, {
      connections: 1,
      reconnect: { initialDelay: 1, maxDelay: 1 },
      timeout: 20,
      ...HEARTBEATS,
    });
    const peer = await server.peers.next();
    for (let i = 0; i < 3; i++)
      expect(await outcome(client.stub(TestService).add({ A: 1 }))).toBe('DEADLINE_EXCEEDED');
    expect([peer.session.closed, client.channels.size]).toEqual([false, 1]);
    isSilent = true;
    await peer.end();
    isSilent = false;
    await server.peers.next();
  });

  test.each([
    [
      'the peer does not read, and the queue is full',
      { session: { maxQueuedBytes: 2_000, highWaterMark: 1_000 } },
      1_000,
    ],
    ['the peer does not answer, and maxPendingCalls is reached', { maxPendingCalls: 3 }, 10],
  ])('closes when %s', async (_, options, size) => {
    let answers = true;
    await using server = await RawServer.serve({}, (_frame, { session }) => {
      if (answers) return false;
      session.pause();
      return true;
    });
    await using client = await connectOnce(server.address, {
      timeout: LONG_TIMEOUT,
      ...HEARTBEATS,
      ...options,
    });
    await until(
      () => [...client.channels][0]?.extended === false,
      'the first heartbeat is answered',
    );
    answers = false;
    const stub = client.stub(TestService, { codec: 'json' });
    const calls = Array.from({ length: 10 }, () => outcome(stub.test({ A: 'x'.repeat(size) })));
    await turns(2);
    calls.push(...Array.from({ length: 10 }, () => outcome(stub.test({ A: 'x'.repeat(size) }))));
    const codes = new Set(await within(Promise.all(calls), 'all calls to settle'));
    expect(codes).toEqual(new Set(['RESOURCE_EXHAUSTED', 'UNAVAILABLE']));
    expect(client.channels.size).toBe(0);
  });

  test('stays open while the peer sends other frames', async () => {
    await using server = await serveUnrelatedAnswers(20);
    await using client = await connectOnce(server.address, {
      heartbeatPeriod: 200,
      heartbeatTimeout: 1_000,
    });
    const peer = await server.peers.next();
    // The first heartbeat expires long before the seventh is sent.
    await until(() => peer.frames.all.length >= 7, 'the peer has seven heartbeats');
    expect([peer.session.closed, client.channels.size]).toEqual([false, 1]);
  });

  test('stays open with heartbeatPeriod 0', async () => {
    await using server = await RawServer.serve({}, () => true);
    await using client = await connectOnce(server.address, {
      heartbeatPeriod: 0,
      heartbeatTimeout: 20,
    });
    const peer = await server.peers.next();
    expect(await outcome(client.stub(TestService).add({ A: 1 }, { timeout: 100 }))).toBe(
      'DEADLINE_EXCEEDED',
    );
    expect([peer.session.closed, client.channels.size]).toEqual([false, 1]);
  });
});

describe('a heartbeat', () => {
  /**
   * Waits for a change of the number of wheels. The sweep of pending calls is one wheel. It starts
   * with a heartbeat, and stops when nothing is pending.
   */
  async function waitForSweepToStop(): Promise<void> {
    const seen = new Set<number>();
    await until(() => seen.add(runningWheels()).size > 1, 'the sweep has stopped');
  }

  test('is not pending after its answer', async () => {
    await using server = await RawServer.serve();
    await using client = await connectOnce(server.address, {
      heartbeatPeriod: 30,
    });
    await until(() => server.heartbeats >= 6, 'six heartbeats were answered');
    expect(pendingOf(client)).toBe(0);
    await waitForSweepToStop();
  });

  test('is not pending after heartbeatTimeout', async () => {
    await using server = await serveUnrelatedAnswers(5);
    await using client = await connectOnce(server.address, {
      heartbeatPeriod: 200,
      heartbeatTimeout: 100,
    });
    const peer = await server.peers.next();
    await until(() => peer.frames.all.length >= 3, 'the peer has three heartbeats');
    await waitForSweepToStop();
    expect(pendingOf(client)).toBe(0);
  });

  test('is no call: it does not count in pending or maxPendingCalls, and close() does not wait for it', async () => {
    await using server = await RawServer.serve({}, () => true);
    const client = await connectOnce(server.address, {
      maxPendingCalls: 1,
      heartbeatPeriod: 10,
      heartbeatTimeout: LONG_TIMEOUT,
      timeout: LONG_TIMEOUT,
      drainTimeout: LONG_TIMEOUT,
    });
    const peer = await server.peers.next();
    await until(() => peer.frames.all.length >= 3, 'the peer has three heartbeats');
    expect(pendingOf(client)).toBe(0);
    const call = outcome(client.stub(TestService).add({ A: 1 }, { timeout: 30 }));
    expect(await outcome(client.stub(TestService).add({ A: 1 }))).toBe('RESOURCE_EXHAUSTED');
    expect(await call).toBe('DEADLINE_EXCEEDED');
    await within(client.close(), 'the client to close');
  });

  test('closes the session of a peer that never answers', async () => {
    await using server = await RawServer.serve({}, () => true);
    const [heartbeatPeriod, heartbeatTimeout] = [100, 80];
    await using client: RpcClient = await connectOnce(server.address, {
      heartbeatPeriod,
      heartbeatTimeout,
    });
    await (await server.peers.next()).end();
    await until(() => client.channels.size === 0, 'the client has closed its session');
  });

  test('closes the session of a peer that stops answering', async () => {
    let isFrozen = false;
    await using server = await RawServer.serve({}, () => isFrozen);
    await using client = await connectOnce(server.address, {
      heartbeatPeriod: 150,
      heartbeatTimeout: 150,
    });
    const peer = await server.peers.next();
    await until(() => server.heartbeats >= 4, 'four heartbeats were answered');
    isFrozen = true;
    await peer.end();
    await until(() => client.channels.size === 0, 'the client has closed its session');
  });

  test('keeps a session open beyond idleTimeout of the server, which closes a silent session', async () => {
    await using pair = await rig({
      server: { session: { idleTimeout: 500 } },
      client: { heartbeatPeriod: 20 },
    });
    const start = performance.now();
    await using idle = await RawPeer.connect(pair.server.address);
    await idle.end();
    const elapsed = performance.now() - start;
    expect((await pair.serverLog.warnings.next()).details.code).toBe('IDLE_TIMEOUT');
    // The silence begins with the tick that accepted the connection, which may be a long one.
    expect(elapsed).toBeGreaterThanOrEqual(250);
    expect(pair.server.channels.size).toBe(1);
    expect(await pair.stub.add({ A: 1, B: 2 })).toMatchObject({ Sum: 3 });
  });
});
