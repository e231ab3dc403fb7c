/** Calls and connect() while the server cannot be reached. */
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { connect, type RpcError, serve } from '../../../src/rpc/index.js';
import { memory } from '../../../src/transport/stream/memory.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { RawServer } from '../../fixtures/raw-peer.js';
import { LONG_TIMEOUT, outcome, rig, TCP, TestService, testService } from '../../fixtures/rpc.js';
import { frameBytes } from '../../fixtures/rpc-frames.js';
import { rejection } from '../../fixtures/transports.js';
import { gate, turns, until } from '../../fixtures/waiting.js';

noLeaks();

describe('a server that cannot be reached', () => {
  test('rejects connect() with the cause when the connection is refused', async () => {
    const server = await serve(TCP, [testService()]);
    const { address } = server;
    await server.close();
    expect(await rejection(connect(address, { connectTimeout: LONG_TIMEOUT }))).toMatchObject({
      code: 'CONNECT_FAILED',
      cause: { code: 'ECONNREFUSED' },
    });
  });

  test('rejects connect() when no memory server has the name', async () => {
    expect(await rejection(connect('memory://none'))).toMatchObject({ code: 'CONNECT_FAILED' });
  });

  test('fails a call at once with UNAVAILABLE, unsent, and the cause', async () => {
    await using pair = await rig({
      address: TCP,
      client: { reconnect: { initialDelay: 1, maxDelay: 5 }, timeout: LONG_TIMEOUT },
    });
    pair.server.destroy();
    await until(() => pair.client.channels.size === 0, 'the client has lost its session');
    const causes = new Set<unknown>();
    await until(() => {
      void rejection<RpcError>(pair.stub.add({ A: 1 })).then((error) =>
        causes.add(`${error.code} ${error.unsent} ${(error.cause as { code: string }).code}`),
      );
      return causes.has('UNAVAILABLE true CONNECT_FAILED');
    }, 'a call fails with the cause');
    expect(
      [...causes].filter(
        (cause) => !/^UNAVAILABLE true CONNECT(ION_LOST|_FAILED)$/.test(`${cause}`),
      ),
    ).toEqual([]);
  });

  test('gets the rest of the timeout of a call that has waited for the connection', async () => {
    await using server = await RawServer.serve();
    await using client = await connect(server.address, {
      connections: 1,
      reconnect: { initialDelay: 1, maxDelay: 1 },
    });
    const { dial } = memory;
    const [dialing, proceed] = [gate(), gate()];
    vi.spyOn(memory, 'dial').mockImplementation(async (...given) => {
      dialing.open();
      await proceed.promise;
      return dial.apply(memory, given);
    });
    onTestFinished(() => void vi.restoreAllMocks());
    (await server.peers.next()).session.destroy();
    await dialing.promise;
    const start = performance.now();
    const call = outcome(
      client.stub(TestService, { codec: 'json' }).add({}, { timeout: LONG_TIMEOUT }),
    );
    await until(() => performance.now() - start > 30, '30 ms have passed');
    proceed.open();
    const { sequence, head, peer } = await server.requests.next();
    expect(JSON.parse(`${head}`).Timeout).toBeLessThanOrEqual(LONG_TIMEOUT - 29);
    peer.session.write(frameBytes({ command: 4, sequence, body: '{}' }));
    expect(await call).toBe('ok');
  });

  test('does not delay a waiting call beyond its signal or its timeout', async () => {
    await using pair = await rig({
      client: { reconnect: { initialDelay: 1, maxDelay: 1 }, timeout: Number.POSITIVE_INFINITY },
    });
    const { client } = pair;
    let dials = 0;
    // An attempt ends only when its signal aborts.
    vi.spyOn(memory, 'dial').mockImplementation((_address, _options, signal) => {
      dials++;
      return new Promise((_resolve, reject) =>
        signal.addEventListener('abort', () => reject(signal.reason), { once: true }),
      );
    });
    onTestFinished(() => void vi.restoreAllMocks());
    pair.server.destroy();
    await until(() => client.channels.size === 0, 'the client has lost its session');
    expect(await rejection(pair.stub.add({ A: 1 }, { signal: AbortSignal.abort() }))).toMatchObject(
      { code: 'CANCELLED', unsent: true },
    );
    await until(() => dials > 0, 'an attempt has begun');
    const abort = new AbortController();
    const [cancelled, late] = [
      rejection(pair.stub.add({ A: 1 }, { signal: abort.signal })),
      rejection(pair.stub.add({ A: 1 }, { timeout: 20 })),
    ];
    abort.abort();
    expect(await cancelled).toMatchObject({ code: 'CANCELLED', unsent: true });
    expect(await late).toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      unsent: true,
      message: expect.stringContaining(`no session with ${client.address}`),
    });
    // Without a timeout, the call waits until the attempt ends.
    const patient = rejection(pair.stub.add({ A: 1 }, { timeout: Number.POSITIVE_INFINITY }));
    await turns(5);
    client.destroy();
    expect(await patient).toMatchObject({ code: 'UNAVAILABLE', unsent: true });
  });
});
