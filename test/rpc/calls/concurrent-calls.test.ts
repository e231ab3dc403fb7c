/** Many calls at once over one connection or two. */
import { describe, expect, test } from 'vitest';
import { connect, contract, serve, unary } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { RawServer } from '../../fixtures/raw-peer.js';
import {
  connectOnce,
  freeMemoryAddress,
  outcome,
  rig,
  TCP,
  TestService,
  testService,
  watchSessions,
} from '../../fixtures/rpc.js';
import { frameBytes } from '../../fixtures/rpc-frames.js';
import { gate, turns, until, within } from '../../fixtures/waiting.js';

noLeaks();

const Echo = contract('Echo', { echo: unary<unknown, unknown>() });

describe('concurrent calls', () => {
  test('share one connection, and can be answered in any order', async () => {
    await using server = await RawServer.serve();
    await using client = await connectOnce(server.address);
    const stub = client.stub(Echo);
    const calls = Array.from({ length: 1_000 }, (_, n) => stub.echo(n));
    const requests = await server.requests.take(1_000);
    expect(new Set(requests.map(({ peer }) => peer)).size).toBe(1);
    for (const { sequence, body, peer } of requests.reverse())
      peer.session.write(frameBytes({ command: 4, sequence, body }));
    expect(await Promise.all(calls)).toEqual(Array.from({ length: 1_000 }, (_, n) => n));
    expect(server.peers.all).toHaveLength(1);
  });

  test('do not wait for a slow one', async () => {
    const answer = gate<{ A: string }>();
    await using pair = await rig({ handlers: { test: () => answer.promise } });
    const slow = pair.stub.test({});
    expect(await pair.stub.add({ A: 1, B: 2 })).toMatchObject({ Sum: 3 });
    answer.open({ A: 'at last' });
    expect(await slow).toMatchObject({ A: 'at last' });
  });

  test.each([TCP, 'memory'])('share one dial when there is no session: %s', async (address) => {
    using watched = watchSessions();
    await using server = await RawServer.serve({ ...(address === TCP && { address }) });
    await using client = await connect(server.address, {
      connections: 1,
      reconnect: { initialDelay: 500, maxDelay: 500 },
    });
    await server.peers.next();
    for (const session of watched.open) session.destroy();
    await until(() => client.channels.size === 0, 'the client has lost its session');
    const calls: Promise<string>[] = [];
    while (server.peers.all.length < 2) {
      for (let i = 0; i < 3; i++) calls.push(outcome(client.stub(Echo).echo(i)));
      await turns();
    }
    calls.push(outcome(client.stub(Echo).echo(0)));
    const peer = await server.peers.next();
    for (;;) {
      const request = await server.requests.next();
      peer.session.write(frameBytes({ command: 4, sequence: request.sequence, body: 'true' }));
      if (server.requests.unread.length === 0) {
        await turns(3);
        if (server.requests.unread.length === 0) break;
      }
    }
    const codes = await within(Promise.all(calls), 'all calls to settle');
    expect(codes.at(-1)).toBe('ok');
    // A call that was made before the attempt began fails at once with UNAVAILABLE.
    expect(new Set([...codes, 'UNAVAILABLE'])).toEqual(new Set(['ok', 'UNAVAILABLE']));
    expect(server.peers.all).toHaveLength(2);
  });
});

test('a client has two connections by default, and alternates between them', async () => {
  const peers = new Set<string>();
  await using server = await serve(freeMemoryAddress(), [
    testService({ add: (_, { peer }) => ({ Sum: peers.add(peer).size }) }),
  ]);
  await using client = await connect(server.address, { reconnect: false });
  await until(() => client.channels.size === 2, 'both sessions are open');
  const stub = client.stub(TestService);
  await Promise.all(Array.from({ length: 10 }, () => stub.add({})));
  expect(peers.size).toBe(2);
  expect(client.statistics().peers.map(({ calls }) => calls.started)).toEqual([5, 5]);
  client.destroy();
  server.destroy();
});
