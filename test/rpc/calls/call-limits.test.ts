/**
 * The limits of calls that a server handles: maxPendingCalls and maxStreams while a handler runs
 * after its caller was answered, and maxPendingBytes.
 */
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { describe, expect, test } from 'vitest';
import { protobufCodec } from '../../../src/rpc/codecs/protobuf/codec.js';
import { protobufJsonCodec } from '../../../src/rpc/codecs/protobuf/json/json-codec.js';
import {
  type CodecName,
  contract,
  type Interceptor,
  implement,
  type MessageCodec,
  type Metadata,
  type RpcServerOptions,
  serve,
  serverStream,
  timeout,
  unary,
} from '../../../src/rpc/index.js';
import type { MessageCodecs } from '../../../src/rpc/types.js';
import { collect } from '../../fixtures/calls.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { connectOnce, freeMemoryAddress, rig as testRig, withCodecs } from '../../fixtures/rpc.js';
import { gate, turns } from '../../fixtures/waiting.js';

noLeaks();

const Work = contract('Work', {
  work: unary<string, string>(),
  list: serverStream<string, string>(),
});

async function rig(options: RpcServerOptions) {
  const hold = gate();
  const work = implement(Work, {
    async work(text) {
      if (text === 'slow') await hold.promise;
      return text;
    },
    async *list(text) {
      yield 'first';
      if (text === 'slow') await hold.promise;
      yield 'last';
    },
  });
  const server = await serve(freeMemoryAddress(), [work], options);
  const client = await connectOnce(server.address);
  return {
    stub: client.stub(Work),
    server,
    hold,
    async [Symbol.asyncDispose]() {
      hold.open();
      await client.close();
      await server.close();
    },
  };
}

/** Answers at once while the handler runs. */
const answersEarly: Interceptor = (next) => async (call) => {
  const answer = next(call);
  answer.catch(() => {});
  return call.input === 'slow' ? 'early' : answer;
};

/** Answers at once, and calls the handler afterwards. */
const callsLate: Interceptor = (next) => async (call) => {
  if (call.input !== 'slow') return next(call);
  setImmediate(() => void next(call));
  return 'late';
};

describe('a handler that runs on after its caller was answered', () => {
  test.each<[string, Interceptor, string]>([
    ['by timeout()', timeout(5), 'DEADLINE_EXCEEDED'],
    ['by an interceptor that does not wait for it', answersEarly, 'early'],
    ['by an interceptor that calls it afterwards', callsLate, 'late'],
  ])('counts against maxPendingCalls: %s', async (_, interceptor, answer) => {
    await using s = await rig({ interceptors: [interceptor], maxPendingCalls: 2 });
    const slow = (): Promise<string> => s.stub.work('slow').catch(({ code }) => code);
    expect([await slow(), await slow()]).toEqual([answer, answer]);
    await turns(5);
    await expect(s.stub.work('more')).rejects.toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      reason: 'refused',
      unsent: true,
    });
    s.hold.open();
    await turns(5);
    expect(await Promise.all([s.stub.work('a'), s.stub.work('b')])).toEqual(['a', 'b']);
  });

  const closesStream: Interceptor = (next) => async (call) => {
    const replies = (await next(call)) as AsyncGenerator<string>;
    if (call.input !== 'slow') return replies;
    await replies.next();
    void replies.next();
    void replies.return(undefined);
    return ['closed'];
  };
  const readsLate: Interceptor = (next) => async (call) => {
    const replies = (await next(call)) as AsyncGenerator<string>;
    if (call.input !== 'slow') return replies;
    setImmediate(() => void replies.next().then(() => replies.next()));
    return ['read later'];
  };
  test.each<[string, Interceptor, string]>([
    ['by timeout()', timeout(20), 'DEADLINE_EXCEEDED'],
    ['by an interceptor that closes it', closesStream, 'closed'],
    ['by an interceptor that reads it afterwards', readsLate, 'read later'],
  ])('counts against maxStreams: %s', async (_, interceptor, answer) => {
    await using s = await rig({ interceptors: [interceptor], maxStreams: 1 });
    expect(await collect(s.stub.list('slow')).catch(({ code }) => code)).toEqual(
      answer === 'DEADLINE_EXCEEDED' ? answer : [answer],
    );
    await turns(5);
    await expect(collect(s.stub.list('more'))).rejects.toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      message: expect.stringContaining('maxStreams is 1'),
    });
    s.hold.open();
    await turns(5);
    expect(await collect(s.stub.list('more'))).toEqual(['first', 'last']);
  });

  test('does not delay close(), and does not count in `serving`', async () => {
    const s = await rig({ interceptors: [timeout(5)], drainTimeout: 60_000 });
    await expect(s.stub.work('slow')).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    await expect(collect(s.stub.list('slow'))).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    expect([...s.server.channels].map(({ serving }) => serving)).toEqual([0]);
    await s.server.close();
    await s[Symbol.asyncDispose]();
  });
});

const Hold = contract('Hold', { hold: unary<unknown, string>() });

/** A server with maxPendingBytes of 1 MiB whose handlers wait, and a client. */
async function openHold(codecs?: MessageCodecs) {
  const hold = gate();
  const used = codecs === undefined ? Hold : withCodecs(Hold, codecs, codecs);
  const service = implement(used, {
    async hold() {
      await hold.promise;
      return {} as never;
    },
  });
  const server = await serve(freeMemoryAddress(), [service], {
    maxPendingBytes: 1024 * 1024,
    session: { maxMessageBytes: 4 * 1024 * 1024 },
  });
  const client = await connectOnce(server.address);
  return {
    stub: client.stub(used),
    hold,
    async [Symbol.asyncDispose]() {
      hold.open();
      await client.close();
      await server.close();
    },
  };
}

const isRefused = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => false,
    ({ code, unsent }) => code === 'RESOURCE_EXHAUSTED' && unsent,
  );

describe('maxPendingBytes counts the objects of a request:', () => {
  const file = (count: number): object => ({
    messageType: Array.from({ length: count }, () => ({})),
  });
  const metadata = (count: number): Metadata =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, '']));
  test.each<[string, unknown, Metadata | undefined, MessageCodecs | undefined]>([
    ['empty arrays of JSON', Array.from({ length: 5_000 }, () => []), undefined, undefined],
    [
      'empty objects of JSON',
      Object.fromEntries(Array.from({ length: 5_000 }, (_, i) => [`k${i}`, {}])),
      undefined,
      undefined,
    ],
    ['keys of metadata', 1, metadata(256), undefined],
    [
      'Protobuf messages',
      file(1_200),
      undefined,
      { protobuf: protobufCodec(FileDescriptorProtoSchema) as MessageCodec },
    ],
    [
      'Protobuf messages in JSON',
      file(1_200),
      undefined,
      { json: protobufJsonCodec(FileDescriptorProtoSchema) as MessageCodec },
    ],
  ])('%s', async (_, input, metadata, codecs) => {
    await using s = await openHold(codecs);
    const options = metadata === undefined ? {} : { metadata };
    const held = s.stub.hold(input as never, options);
    // A metadata has at most 256 keys.
    const count = metadata === undefined ? 4 : 40;
    const calls = Array.from({ length: count }, () =>
      isRefused(s.stub.hold(input as never, options)),
    );
    // Refusals are answered while the handlers wait.
    expect(await calls.at(-1)).toBe(true);
    s.hold.open();
    await held;
    await Promise.all(calls);
    // The settled calls do not count any more.
    expect(await isRefused(s.stub.hold(input as never, options))).toBe(false);
  });

  test('a long text of JSON as little more than its bytes', async () => {
    await using s = await openHold();
    const calls = Array.from({ length: 9 }, () => isRefused(s.stub.hold('x'.repeat(100_000))));
    await turns(20);
    s.hold.open();
    expect(await Promise.all(calls)).toEqual(calls.map(() => false));
  });
});

describe('maxPendingBytes', () => {
  test.each<CodecName>(['json', 'protobuf'])(
    'limits the requests of a session that are being handled, in %s',
    async (codec) => {
      const hold = gate();
      await using pair = await testRig({
        handlers: {
          async test({ A }) {
            await hold.promise;
            return { A };
          },
        },
        server: { maxPendingBytes: 100_000 },
        codec,
      });
      const request = { A: 'x'.repeat(30_000), B: '', C: '' };
      const calls = [pair.stub.test(request), pair.stub.test(request), pair.stub.test(request)];
      await expect(pair.stub.test(request)).rejects.toMatchObject({
        code: 'RESOURCE_EXHAUSTED',
        reason: 'refused',
        unsent: true,
        message: expect.stringMatching(
          /^a request that counts 3\d{4} bytes has arrived while 9\d{4} bytes of requests of this session are being handled; maxPendingBytes is 100000$/,
        ),
      });
      hold.open();
      await Promise.all(calls);
      expect(await pair.stub.test(request)).toBeDefined();
    },
  );

  test('admits a request of any size while there is no other', async () => {
    await using s = await rig({ maxPendingBytes: 1_000 });
    const large = 'x'.repeat(10_000);
    expect(await s.stub.work(large)).toBe(large);
    const slow = s.stub.work('slow');
    await expect(s.stub.work(large)).rejects.toMatchObject({ code: 'RESOURCE_EXHAUSTED' });
    expect(await s.stub.work('small')).toBe('small');
    s.hold.open();
    await slow;
    expect(await s.stub.work(large)).toBe(large);
  });
});
