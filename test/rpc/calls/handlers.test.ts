/** Handlers, and calls that fail before they are sent. */
import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import { contract, implement, RpcError, serve, unary } from '../../../src/rpc/index.js';
import { receivedCall } from '../../fixtures/calls.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { RawPeer } from '../../fixtures/raw-peer.js';
import {
  CODECS,
  channelOf,
  connectOnce,
  freeMemoryAddress,
  outcome,
  pendingOf,
  rig,
  TestService,
  testService,
} from '../../fixtures/rpc.js';
import { rejection } from '../../fixtures/transports.js';
import { gate, turns } from '../../fixtures/waiting.js';

noLeaks();

describe('a handler', () => {
  test('can return a thenable of another library', async () => {
    const thenable = (value: unknown, error?: Error) => ({
      // biome-ignore lint/suspicious/noThenProperty: a thenable is tested
      then(fulfil: (value: unknown) => void, reject: (error: Error) => void) {
        setImmediate(() => (error === undefined ? fulfil(value) : reject(error)));
      },
    });
    await using pair = await rig({
      handlers: {
        add: () => thenable({ Sum: 8 }) as never,
        err: () => thenable(undefined, new RpcError('ABORTED', 'x')) as never,
      },
    });
    expect(await pair.stub.add({})).toMatchObject({ Sum: 8 });
    expect(await outcome(pair.stub.err({}))).toBe('ABORTED');
  });

  test('can be a method that uses this', async () => {
    class Counter {
      count = 0;
      hit(by: number): number {
        this.count += by;
        return this.count;
      }
    }
    const Counting = contract('Counting', { hit: unary<number, number>() });
    await using server = await serve(freeMemoryAddress(), [implement(Counting, new Counter())]);
    await using client = await connectOnce(server.address);
    expect([await client.stub(Counting).hit(2), await client.stub(Counting).hit(3)]).toEqual([
      2, 5,
    ]);
  });

  test('receives and returns any JSON value, and undefined', async () => {
    const Any = contract('Any', { echo: unary<unknown, unknown>() });
    await using server = await serve(freeMemoryAddress(), [
      implement(Any, { echo: (value) => value }),
    ]);
    await using client = await connectOnce(server.address);
    for (const value of [
      undefined,
      null,
      0,
      '',
      false,
      [],
      {},
      [null],
      { a: { b: [1, '漢'] } },
      'x'.repeat(70_000),
    ])
      expect(await client.stub(Any).echo(value)).toEqual(value);
  });
});

describe('a call that is not sent', () => {
  test('fails with INVALID_ARGUMENT when the codec cannot encode its argument', async () => {
    const Any = contract('Any', { echo: unary<unknown, unknown>() });
    await using pair = await rig({
      services: [implement(Any, { echo: (value) => value }), testService()],
    });
    for (const value of [1n, Symbol('s'), () => {}])
      expect(await rejection(pair.client.stub(Any).echo(value))).toMatchObject({
        code: 'INVALID_ARGUMENT',
        unsent: true,
      });
    for (const codec of CODECS)
      expect(
        await rejection(
          pair.client.stub(TestService, { codec }).add({ A: 'text' as unknown as number }),
        ),
      ).toMatchObject({
        code: 'INVALID_ARGUMENT',
        unsent: true,
      });
    expect(pendingOf(pair.client)).toBe(0);
    expect(await pair.client.stub(Any).echo('fine')).toBe('fine');
  });

  test('fails with INVALID_ARGUMENT when its header is too large', async () => {
    await using pair = await rig();
    for (const codec of CODECS) {
      const stub = pair.client.stub(TestService, { codec });
      expect(await rejection(stub.add({}, { metadata: { a: 'x'.repeat(66_000) } }))).toMatchObject({
        code: 'INVALID_ARGUMENT',
        unsent: true,
      });
      expect(await outcome(stub.add({}, { metadata: { a: 'x'.repeat(65_000) } }))).toBe('ok');
    }
  });
});

test('a call that is over leaves no listener at its signal', async () => {
  await using pair = await rig();
  const { signal } = new AbortController();
  const calls = [
    pair.stub.add({}, { signal }),
    pair.stub.err({}, { signal }),
    pair.stub.event({}, { signal }),
  ];
  await using server = await serve(freeMemoryAddress(), [testService()]);
  await using _peer = await RawPeer.connect(server.address);
  calls.push((await channelOf(server)).stub(TestService).add({}, { signal, timeout: 1 }));
  await Promise.all(calls.map(outcome));
  await turns();
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});

test('a call whose metadata are refused leaves no listener at its signals', async () => {
  await using pair = await rig();
  const [own, outer] = [new AbortController(), new AbortController()];
  const parent = receivedCall({ signal: outer.signal });
  const metadata = { trace: undefined } as never;
  const call = async () => pair.stub.add({}, { signal: own.signal, parent, metadata });
  expect(await rejection(call())).toMatchObject({ code: 'BAD_OPTION' });
  for (const { signal } of [own, outer]) expect(getEventListeners(signal, 'abort')).toEqual([]);
});

test('a call beyond maxPendingCalls fails with RESOURCE_EXHAUSTED, at the caller and at the server', async () => {
  const answer = gate<{ A: string }>();
  await using pair = await rig({
    handlers: { test: () => answer.promise },
    client: { maxPendingCalls: 5 },
    server: { maxPendingCalls: 7 },
  });
  await using other = await connectOnce(pair.server.address);
  const clientCalls = Array.from({ length: 6 }, () =>
    rejection<RpcError>(pair.stub.test({}).then(() => Promise.reject(new Error('ok')))),
  );
  expect(await clientCalls[5]).toMatchObject({ code: 'RESOURCE_EXHAUSTED', unsent: true });
  const serverCalls = Array.from({ length: 8 }, () =>
    rejection<RpcError>(
      other
        .stub(TestService)
        .test({})
        .then(() => Promise.reject(new Error('ok'))),
    ),
  );
  expect(await serverCalls[7]).toMatchObject({
    code: 'RESOURCE_EXHAUSTED',
    unsent: true,
    reason: 'refused',
  });
  answer.open({ A: '' });
  expect(
    (await Promise.all([...clientCalls.slice(0, 5), ...serverCalls.slice(0, 7)])).map(
      ({ message }) => message,
    ),
  ).toEqual(Array(12).fill('ok'));
});
