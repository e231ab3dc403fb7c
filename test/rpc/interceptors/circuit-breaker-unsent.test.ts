/** circuitBreaker(): calls that did not reach the service. */
import { expect, test } from 'vitest';
import {
  circuitBreaker,
  contract,
  type Interceptor,
  implement,
  RpcError,
  retry,
  serve,
  unary,
} from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { connectOnce, freeMemoryAddress, outcome } from '../../fixtures/rpc.js';
import { TestBreaker } from './test-breaker.js';

noLeaks();

test.each(['RESOURCE_EXHAUSTED', 'DEADLINE_EXCEEDED', 'INVALID_ARGUMENT'] as const)(
  'neither opens nor closes the circuit for %s of this side',
  async (code) => {
    const breaker = new TestBreaker({ ratio: 1 });
    const unsent = new RpcError(code, 'refused here', { unsent: true });
    for (let n = 0; n < 5; n++) await breaker.do(unsent);
    expect(breaker.states).toEqual([]);
    await breaker.fail(3);
    expect(breaker.states).toEqual(['A open']);
    breaker.now += 500;
    expect([await breaker.do(unsent), breaker.states.at(-1)]).toEqual([code, 'A half-open']);
    expect([await breaker.do(), breaker.states.at(-1)]).toEqual(['ok', 'A closed']);
  },
);

const refused = { unsent: true, reason: 'refused' } as const;

test.each([
  ['there is no connection', {}, new RpcError('UNAVAILABLE', 'none', { unsent: true })],
  ['the server refused it', {}, new RpcError('RESOURCE_EXHAUSTED', 'there', refused)],
  [
    'isFailure says so',
    { isFailure: () => true },
    new RpcError('RESOURCE_EXHAUSTED', 'here', { unsent: true }),
  ],
])('counts a call that was not sent if %s', async (_, options, error) => {
  const breaker = new TestBreaker(options);
  for (let n = 0; n < 3; n++) await breaker.do(error);
  expect(breaker.states).toEqual(['A open']);
});

test('does not count a call that a later interceptor of the server refuses', async () => {
  const refuse: Interceptor = () => () =>
    Promise.reject(new RpcError('RESOURCE_EXHAUSTED', 'refused', { unsent: true }));
  const Store = contract('Store', { ask: unary<void, void>() });
  // The handler passes on the error of a call that it made.
  const ask = (): never => {
    throw new RpcError('RESOURCE_EXHAUSTED', 'the store is full', { unsent: true });
  };
  for (const [others, expected] of [
    [[refuse], []],
    [[], ['Store open']],
  ] as const) {
    const states: string[] = [];
    const breaker = circuitBreaker({
      failures: 3,
      onState: (key, state) => states.push(`${key} ${state}`),
    });
    await using server = await serve(freeMemoryAddress(), [implement(Store, { ask })], {
      interceptors: [breaker, ...others],
    });
    await using client = await connectOnce(server.address);
    for (let n = 0; n < 3; n++)
      expect(await outcome(client.stub(Store).ask())).toBe('RESOURCE_EXHAUSTED');
    expect(states).toEqual(expected);
  }
});

test('does not count the refusals of another circuitBreaker() behind it', async () => {
  const Two = contract('Two', { bad: unary<void, void>(), good: unary<void, string>() });
  const service = implement(Two, {
    bad() {
      throw new RpcError('INTERNAL', 'broken');
    },
    good: () => 'ok',
  });
  await using server = await serve(freeMemoryAddress(), [service]);
  await using client = await connectOnce(server.address, {
    interceptors: [
      circuitBreaker({ failures: 3 }),
      // It throws copies of the refusals.
      retry({ attempts: 2, initialDelay: 1 }),
      circuitBreaker({ key: ({ method }) => method.name, failures: 2 }),
    ],
  });
  const stub = client.stub(Two);
  const codes: string[] = [];
  for (let n = 0; n < 5; n++) codes.push(await outcome(stub.bad()));
  expect(codes).toEqual(['INTERNAL', 'INTERNAL', 'UNAVAILABLE', 'UNAVAILABLE', 'UNAVAILABLE']);
  expect(await outcome(stub.good())).toBe('ok');
});
