/** Each call settles exactly once. */
import { describe, expect, test } from 'vitest';
import {
  connect,
  contract,
  implement,
  oneway,
  type RpcError,
  serve,
  serverStream,
  unary,
} from '../../../src/rpc/index.js';
import { collect } from '../../fixtures/calls.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { RawServer } from '../../fixtures/raw-peer.js';
import {
  connectOnce,
  freeMemoryAddress,
  LONG_TIMEOUT,
  outcome,
  pendingOf,
  rig,
  TestService,
  watchSessions,
} from '../../fixtures/rpc.js';
import { frameBytes } from '../../fixtures/rpc-frames.js';
import { Inbox, turns, until, within } from '../../fixtures/waiting.js';

noLeaks();

const Echo = contract('Echo', {
  echo: unary<unknown, unknown>(),
  repeat: serverStream<unknown, unknown>(),
});

describe('a call settles once', () => {
  test('when its session is lost, before its timeout', async () => {
    using watched = watchSessions();
    await using pair = await rig({
      handlers: { test: () => new Promise(() => {}) },
      client: { timeout: LONG_TIMEOUT },
    });
    const settled = new Inbox<Error | null>('a callback');
    const calls = Array.from({ length: 100 }, () => outcome(pair.stub.test({})));
    pair.stub.test({}, (error) => settled.push(error));
    await until(() => pendingOf(pair.client) === 101, 'all calls wait');
    for (const session of watched.open) if (session.endpoint.type === 'server') session.destroy();
    expect(new Set(await Promise.all(calls))).toEqual(new Set(['UNAVAILABLE']));
    expect(await settled.next()).toMatchObject({ code: 'UNAVAILABLE', unsent: false });
    expect(pendingOf(pair.client)).toBe(0);
  });

  test.each([undefined, null, 0, '', false])(
    'with an error in the callback form if an interceptor throws %j',
    async (thrown) => {
      const fails = () => (): never => {
        throw thrown;
      };
      await using pair = await rig({ client: { interceptors: [fails] } });
      const settled = new Inbox<unknown>('a callback');
      pair.stub.test({}, (error) => settled.push(error));
      expect(await settled.next()).toMatchObject({ code: 'UNKNOWN' });
    },
  );

  test('when its signal aborts while its argument is encoded', async () => {
    await using server = await serve(freeMemoryAddress(), [
      implement(Echo, { echo: () => new Promise(() => {}), repeat: () => [] }),
    ]);
    await using client = await connectOnce(server.address, {
      timeout: LONG_TIMEOUT,
      drainTimeout: 0,
    });
    const stub = client.stub(Echo);
    const aborting = () => {
      const abort = new AbortController();
      const toJSON = (): number => {
        abort.abort();
        return 1;
      };
      return [{ toJSON }, { signal: abort.signal }] as const;
    };
    expect(await outcome(stub.echo(...aborting()))).toBe('CANCELLED');
    expect(await outcome(collect(stub.repeat(...aborting())))).toBe('CANCELLED');
    expect(pendingOf(client)).toBe(0);
  });

  test('when its timeout passes, also in the callback form', async () => {
    await using server = await RawServer.serve();
    await using client = await connectOnce(server.address, {
      timeout: 30,
    });
    const settled = new Inbox<Error | null>('a callback');
    client.stub(TestService).add({ A: 1 }, (error) => settled.push(error));
    client.stub(TestService).add({ A: 1 }, { timeout: 40 }, (error) => settled.push(error));
    expect((await settled.take(2)).map((error) => (error as RpcError).code)).toEqual([
      'DEADLINE_EXCEEDED',
      'DEADLINE_EXCEEDED',
    ]);
    // Each answer arrives after the timeout, twice.
    for (const { sequence, peer } of await server.requests.take(2)) {
      const answer = frameBytes({ command: 4, sequence, head: '{"Error":""}', body: '{}' });
      await peer.send(answer, answer);
    }
    await turns(5);
    expect(settled.all).toHaveLength(2);
    expect(pendingOf(client)).toBe(0);
  });

  test('when a peer sends its answer twice, or the answer to an unknown call', async () => {
    await using server = await RawServer.serve();
    await using client = await connectOnce(server.address);
    const first = client.stub(TestService).test({ A: 'x' });
    const { sequence, peer } = await server.requests.next();
    const answer = (to: bigint, text: string) =>
      frameBytes({ command: 4, sequence: to, codec: 2, body: Buffer.from(`\n\x01${text}`) });
    const second = client.stub(TestService).test({ A: 'y' });
    const other = await server.requests.next();
    await peer.send(
      answer(sequence, 'a'),
      answer(sequence, 'b'),
      answer(12_345n, 'c'),
      answer(other.sequence, 'd'),
    );
    expect([(await first).A, (await second).A]).toEqual(['a', 'd']);
    expect(pendingOf(client)).toBe(0);
  });

  test.each([
    ['no JSON', frameBytes({ command: 4, head: '{"Error":""}', body: '{' }), 'INTERNAL'],
    ['no header', frameBytes({ command: 4, head: '{"Error', code: 1 }), 'INTERNAL'],
    ['a heartbeat', frameBytes({ command: 2 }), 'INTERNAL'],
    ['failed without a header', frameBytes({ command: 4, code: 1 }), 'UNKNOWN'],
    [
      'failed without sections',
      frameBytes({ command: 4, code: 1, packageLength: 0 }).subarray(0, 32),
      'UNKNOWN',
    ],
    ['an error with code 0', frameBytes({ command: 4, head: '{"Error":"no"}' }), 'UNKNOWN'],
    [
      'a codec that the method does not have',
      frameBytes({ command: 4, codec: 2, body: 'xx' }),
      'INTERNAL',
    ],
  ])('when its answer is invalid: %s', async (_, bytes, code) => {
    await using server = await RawServer.serve();
    await using client = await connectOnce(server.address);
    const call = outcome(client.stub(Echo).echo(1));
    const { sequence, peer } = await server.requests.next();
    const answer = Buffer.from(bytes);
    answer.writeBigUInt64LE(sequence, 8);
    peer.session.write(answer);
    expect(await call).toBe(code);
    expect(pendingOf(client)).toBe(0);
  });

  test('when its callback throws, which becomes a process warning', async () => {
    await using pair = await rig();
    const warnings = new Inbox<Error & { code?: string }>('a warning of the process');
    const onWarning = (warning: Error): void => warnings.push(warning);
    process.on('warning', onWarning);
    try {
      pair.stub.add({ A: 1, B: 2 }, () => {
        throw new Error('mine');
      });
      expect((await warnings.next()).code).toBe('HANDLER_FAILED');
    } finally {
      process.off('warning', onWarning);
    }
    expect(await pair.stub.add({ A: 1, B: 2 })).toMatchObject({ Sum: 3 });
  });

  test('in 10,000 calls with random cancellations, timeouts and lost sessions, and none stays pending', async () => {
    using watched = watchSessions();
    let seed = 12_345;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fff_ffff;
      return Math.floor((seed / 0x8000_0000) * below);
    };
    const Nested = contract('Nested', { answer: unary<number, number>() });
    const Mixed = contract('Mixed', {
      now: unary<number, number>(),
      soon: unary<number, number>(),
      never: unary<number, number>(),
      back: unary<number, number>(),
      tell: oneway<number>(),
    });
    const rejectOnAbort = (signal: AbortSignal): Promise<never> =>
      new Promise((_, reject) =>
        signal.addEventListener('abort', () => reject(signal.reason), { once: true }),
      );
    const services = [
      implement(Mixed, {
        now: (n) => n,
        soon: async (n) => {
          await turns(1 + (n % 5));
          return n;
        },
        never: (_, { signal }) => rejectOnAbort(signal),
        back: (n, { channel }) => channel.stub(Nested).answer(n, { timeout: 1 + (n % 20) }),
        tell: () => {},
      }),
    ];
    const offeredServices = [
      implement(Nested, {
        answer: async (n, { signal }) => {
          if (n % 3 === 0) return rejectOnAbort(signal);
          await turns(n % 3);
          return n;
        },
      }),
    ];
    const address = freeMemoryAddress();
    await using server = await serve(address, services);
    await using client = await connect(address, {
      connections: 3,
      reconnect: { initialDelay: 1, maxDelay: 2 },
      services: offeredServices,
      timeout: 200,
    });
    const stub = client.stub(Mixed);
    const methods = ['now', 'soon', 'never', 'back', 'tell'] as const;
    const settled: number[] = [];
    const results = new Map<string, number>();
    const count = (n: number, result: string): void => {
      settled[n] = (settled[n] ?? 0) + 1;
      results.set(result, (results.get(result) ?? 0) + 1);
    };
    const CALLS = 10_000;
    const promises: Promise<unknown>[] = [];
    for (let n = 0; n < CALLS; n++) {
      const method = methods[random(methods.length)] as (typeof methods)[number];
      const abort = random(4) === 0 ? new AbortController() : undefined;
      const options = {
        ...(random(2) === 0 && { timeout: 1 + random(30) }),
        ...(abort && { signal: abort.signal }),
      };
      const finish = (error: unknown, value?: unknown): void =>
        count(
          n,
          error
            ? (error as RpcError).code
            : value === n || method === 'tell'
              ? 'ok'
              : 'wrong value',
        );
      if (random(3) === 0) {
        promises.push(
          new Promise<void>((resolve) => {
            stub[method](n, options, (error: Error | null, value?: unknown) => {
              finish(error, value);
              resolve();
            });
          }),
        );
      } else
        promises.push(
          stub[method](n, options).then((value: unknown) => finish(null, value), finish),
        );
      if (abort) {
        if (random(4) === 0) abort.abort();
        else void turns(random(4)).then(() => abort.abort());
      }
      if (random(200) === 0) [...watched.open][random(watched.open.size)]?.destroy();
      if (random(20) === 0) await turns(random(3));
    }
    await within(
      Promise.all(promises),
      () => `all calls to settle; ${settled.filter((times) => times > 0).length} of ${CALLS} have`,
      240_000,
    );
    expect([...settled].map((times) => times ?? 0).filter((times) => times !== 1)).toEqual([]);
    expect(settled).toHaveLength(CALLS);
    expect([...results.keys()].sort()).toEqual([
      'CANCELLED',
      'DEADLINE_EXCEEDED',
      'UNAVAILABLE',
      'ok',
    ]);
    await until(() => pendingOf(client, server) === 0, 'nothing is pending');
  }, 300_000);
});
