/** Calls that a server refuses before their handlers run: their errors have `unsent: true`. */
import { generateKeyPair, SignJWT } from 'jose';
import { describe, expect, test } from 'vitest';
import { copy, encode } from '../../../src/core/bytes.js';
import {
  auth,
  type CodecName,
  concurrencyLimit,
  connect,
  contract,
  type Interceptor,
  implement,
  jwt,
  noReply,
  RpcError,
  rateLimit,
  retry,
  serve,
  unary,
} from '../../../src/rpc/index.js';
import { readResponseError, writeResponseHeader } from '../../../src/rpc/wire/response-header.js';
import { ByteWriter } from '../../../src/transport/buffers/byte-writer.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { rejection } from '../../fixtures/transports.js';
import { gate, until } from '../../fixtures/waiting.js';

const Shop = contract('Shop', { order: unary<void, string>(), wait: unary<void, void>() });
const ADDRESS = 'tcp://127.0.0.1:0';
noLeaks();

const anyToken = async (): Promise<string> =>
  new SignJWT({})
    .setProtectedHeader({ alg: 'ES256' })
    .sign((await generateKeyPair('ES256')).privateKey);

describe('the error of a refusal', () => {
  test('has the reason in both codecs, and drops an unknown one', () => {
    for (const codec of ['json', 'protobuf'] as readonly CodecName[]) {
      for (const [reason, unsent] of [
        ['refused', true],
        ['not-served', true],
        ['moving', false],
        [undefined, false],
        ['unknown', false],
      ] as const) {
        const output = new ByteWriter();
        const refusal = new RpcError('UNAVAILABLE', 'no', { unsent: true });
        // No program can make an error with an unknown reason; a later version may know more.
        Object.assign(refusal, { reason });
        writeResponseHeader(output, codec, refusal);
        const bytes = copy(output.written);
        const error = readResponseError(codec, bytes, 0, bytes.length);
        expect(error).toMatchObject({ code: 'UNAVAILABLE', message: 'no', unsent });
        expect(error.reason).toBe(reason === 'unknown' ? undefined : reason);
      }
    }
    const json = encode('{"Error":"no","Reason":["refused"]}');
    expect(readResponseError('json', json, 0, json.length)).toMatchObject({
      reason: undefined,
      unsent: false,
    });
  });

  test('is unsent when an interceptor refuses the call', async () => {
    const open = gate();
    let seen = 0;
    const own: Interceptor = (next) => (call) => {
      if (seen++ > 0) throw new RpcError('RESOURCE_EXHAUSTED', 'one call is enough');
      return next(call);
    };
    for (const [interceptor, calls] of [
      [concurrencyLimit({ limit: 1, queue: 0 }), 1],
      [rateLimit({ perSecond: 0.001, burst: 1 }), 1],
      [own, 1],
    ] as const) {
      await using server = await serve(
        ADDRESS,
        [implement(Shop, { order: () => 'done', wait: () => open.promise })],
        {
          interceptors: [interceptor],
        },
      );
      await using client = await connect(server.address);
      const stub = client.stub(Shop);
      const waiting = stub.wait();
      await until(
        () => server.statistics().served.length === calls,
        'the first call has been received',
      );
      expect(await rejection(stub.order())).toMatchObject({
        code: 'RESOURCE_EXHAUSTED',
        unsent: true,
        reason: 'refused',
      });
      open.open();
      await waiting;
    }
  });

  test('is unsent when auth() cannot load its keys, not when it rejects a token', async () => {
    const keysAreMissing = auth({
      authenticate: jwt({
        keys: () => Promise.reject(new Error('no such file')),
        issuer: 'us',
        audience: 'shop',
      }),
    });
    await using server = await serve(
      ADDRESS,
      [implement(Shop, { order: () => 'done', wait: () => {} })],
      { interceptors: [keysAreMissing] },
    );
    await using client = await connect(server.address);
    const stub = client.stub(Shop);
    const metadata = { authorization: `Bearer ${await anyToken()}` };
    expect(await rejection(stub.order(undefined, { metadata }))).toMatchObject({
      code: 'UNAVAILABLE',
      unsent: true,
      reason: 'refused',
    });
    expect(await rejection(stub.order())).toMatchObject({
      code: 'UNAUTHENTICATED',
      unsent: false,
      reason: undefined,
    });
  });

  test('is unsent for an unknown service, version or method', async () => {
    const Newer = contract('Shop', { cancel: unary<void, void>() });
    const Versioned = contract('Shop', { order: unary<void, void>() }, { version: 'v2' });
    await using server = await serve(ADDRESS, [
      implement(contract('Shop', { order: unary<void, void>() }, { version: 'v1' }), {
        order: () => {},
      }),
    ]);
    await using client = await connect(server.address);
    expect(
      await rejection(client.stub(contract('Other', { order: unary<void, void>() })).order()),
    ).toMatchObject({
      code: 'UNIMPLEMENTED',
      reason: 'not-served',
      unsent: true,
    });
    expect(await rejection(client.stub(Versioned).order())).toMatchObject({
      code: 'UNIMPLEMENTED',
      reason: 'not-served',
      unsent: true,
    });
    expect(await rejection(client.stub(Newer).cancel())).toMatchObject({
      code: 'UNIMPLEMENTED',
      reason: 'refused',
      unsent: true,
    });
  });

  test('is that of a unary call for a noReply method', async () => {
    const Notes = contract('Notes', { save: noReply<string>() });
    const save = (text: string): void => {
      if (text === '') throw new RpcError('NOT_FOUND', 'no text', { metadata: { at: '1' } });
    };
    await using server = await serve(ADDRESS, [implement(Notes, { save })], {
      interceptors: [rateLimit({ perSecond: 1e-6, burst: 2, now: () => 0 })],
    });
    await using client = await connect(server.address);
    const stub = client.stub(Notes);
    expect(await stub.save('a')).toBeUndefined();
    expect(await rejection(stub.save(''))).toMatchObject({
      code: 'NOT_FOUND',
      message: 'no text',
      metadata: { at: '1' },
    });
    expect(await rejection(stub.save('b'))).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      reason: 'refused',
      unsent: true,
    });
    const Other = contract('Other', { save: noReply<string>() });
    expect(await rejection(client.stub(Other).save('c'))).toMatchObject({
      code: 'UNIMPLEMENTED',
      reason: 'not-served',
      unsent: true,
    });
  });

  test('is not unsent when a handler passes on the refusal of its own call, with and without interceptors', async () => {
    const pass: Interceptor = (next) => (call) => next(call);
    const other: Interceptor = (next) => (call) =>
      next(
        'channel' in call
          ? (call as never as { with(changes: object): typeof call }).with({})
          : call,
      );
    for (const interceptors of [[], [pass], [other]]) {
      const order = () => {
        throw new RpcError('UNAVAILABLE', 'the store cannot be reached', {
          unsent: true,
          reason: 'refused',
        });
      };
      await using server = await serve(ADDRESS, [implement(Shop, { order, wait: () => {} })], {
        interceptors,
      });
      await using client = await connect(server.address);
      expect(await rejection(client.stub(Shop).order())).toMatchObject({
        code: 'UNAVAILABLE',
        unsent: false,
        reason: undefined,
      });
    }
  });
});

test('retry() repeats a refused call', async () => {
  let refusals = 0;
  const refuse: Interceptor = (next) => (call) =>
    refusals++ < 2 ? Promise.reject(new RpcError('RESOURCE_EXHAUSTED', 'full')) : next(call);
  await using server = await serve(
    ADDRESS,
    [implement(Shop, { order: () => 'done', wait: () => {} })],
    { interceptors: [refuse] },
  );
  await using client = await connect(server.address, {
    interceptors: [retry({ initialDelay: 1 })],
  });
  expect(await client.stub(Shop).order()).toBe('done');
});
