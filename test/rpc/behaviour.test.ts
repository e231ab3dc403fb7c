/**
 * What a user of rpc can see: a table of behaviours, run for every transport in both codecs; then
 * what does not depend on them.
 */
import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import type { TestService as descriptor } from '../../demo/test_service_pb.js';
import {
  type Call,
  type CallContext,
  type Channel,
  type CodecName,
  connect,
  contract,
  type Interceptor,
  implement,
  oneway,
  RPC_DEFAULTS,
  RpcError,
  type Service,
  serve,
  unary,
} from '../../src/rpc/index.js';
import type { Session } from '../../src/transport/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import {
  channelOf,
  freeMemory,
  outcome,
  type PageRpc,
  pendingOf,
  RawPeer,
  RawServer,
  type Rig,
  type RigOptions,
  rig,
  type TestHandlers,
  TestService,
  testService,
  watchSessions,
} from '../fixtures/rpc.js';
import { frameBytes, JSON_CODEC, PROTOBUF_CODEC } from '../fixtures/rpc-frames.js';
import { rejection, TRANSPORTS, type TransportRow } from '../fixtures/transports.js';
import { gate, Inbox, turns, until, within } from '../fixtures/waiting.js';
import { bundleWeb, runAsPage, WEB_PROTOBUF, type WebProtobuf } from '../fixtures/web.js';

const CODECS = ['json', 'protobuf'] as const;
/** For timeouts that must not be what ends a call. */
const LONG = 300_000;

class Bench {
  readonly row: TransportRow;
  readonly codec: CodecName;
  readonly page: PageRpc | undefined;

  constructor(row: TransportRow, codec: CodecName, page?: PageRpc) {
    this.row = row;
    this.codec = codec;
    this.page = page;
  }

  rig(options: RigOptions = {}): Promise<Rig> {
    const { row, codec } = this;
    return rig({
      address: row.free(),
      session: row.options,
      codec,
      ...(this.page !== undefined && { page: this.page }),
      ...options,
      server: { ...row.serverOptions, ...options.server },
      client: { ...row.clientOptions, ...options.client },
    });
  }

  /** For the client to offer. */
  testService(handlers: Partial<TestHandlers>): Service {
    return testService(handlers, this.page?.TestService);
  }

  peer(address: string): Promise<RawPeer> {
    return RawPeer.connect(address, this.row.options, this.row.clientOptions);
  }

  /** A request of TestService in the bench's codec. */
  request(
    method: 'Add' | 'Err' | 'Event' | 'Test',
    callType: number,
    draft: { sequence?: bigint; serviceId?: number; body?: Buffer | string } = {},
  ): Buffer {
    const codec = this.codec === 'json' ? JSON_CODEC : PROTOBUF_CODEC;
    const head =
      this.codec === 'json'
        ? JSON.stringify({ Service: 'TestService', Method: method, CallType: callType })
        : Buffer.concat([field(1, 'TestService'), field(2, method), Buffer.from([0x18, callType])]);
    return frameBytes({ codec, head, body: this.codec === 'json' ? '{}' : '', ...draft });
  }
}

/** A text field of a Protobuf message. */
const field = (number: number, text: string): Buffer =>
  Buffer.concat([Buffer.from([number * 8 + 2, Buffer.byteLength(text)]), Buffer.from(text)]);

/** The reasons that `signal` aborted with. */
function watch(signal: AbortSignal, into: Inbox<RpcError>): void {
  signal.addEventListener('abort', () => into.push(signal.reason), { once: true });
}

const BEHAVIOURS: Readonly<Record<string, (bench: Bench) => Promise<void>>> = {
  async 'a unary call is answered'(bench) {
    await using pair = await bench.rig();
    expect(await pair.stub.test({ A: 'a', B: 'é', C: '漢𝒳' })).toMatchObject({ A: 'a, é, 漢𝒳' });
    expect(await pair.stub.add({ A: -5, B: 2 })).toMatchObject({ Sum: -3 });
    expect(await pair.stub.add({})).toMatchObject({ Sum: 0 });
  },

  async 'a oneway call settles when it is queued, and is not answered'(bench) {
    const heard = new Inbox<string>('an event');
    const end = gate();
    await using pair = await bench.rig({
      handlers: {
        event: async ({ A }) => {
          heard.push(A);
          await end.promise;
          return {};
        },
      },
    });
    expect(await pair.stub.event({ A: 'one' })).toBeUndefined();
    await pair.stub.event({ A: 'two' });
    expect(await heard.take(2)).toEqual(['one', 'two']);
    expect(pendingOf(pair.client)).toBe(0);
    end.open();
  },

  async 'a callback gets the reply, or the error, once'(bench) {
    await using pair = await bench.rig();
    const settled = new Inbox<[Error | null, unknown]>('a callback');
    expect(
      pair.stub.add({ A: 1, B: 2 }, (error, reply) => settled.push([error, reply])),
    ).toBeUndefined();
    expect(await settled.next()).toMatchObject([null, { Sum: 3 }]);
    pair.stub.err({ A: 1 }, { timeout: LONG }, (error, reply) => settled.push([error, reply]));
    const [error, reply] = await settled.next();
    expect([(error as RpcError).code, error?.message, reply]).toEqual([
      'UNKNOWN',
      'this is a error test',
      undefined,
    ]);
    pair.stub.event({ A: 'x' }, (failure) => settled.push([failure, 'queued']));
    expect(await settled.next()).toEqual([null, 'queued']);
  },

  async 'an error of the handler is the error of the caller'(bench) {
    await using pair = await bench.rig({
      handlers: {
        add: () =>
          Promise.reject(
            new RpcError('ABORTED', 'not now', {
              metadata: { retry: 'never' },
              details: Uint8Array.of(0, 255),
            }),
          ),
      },
    });
    expect(await rejection(pair.stub.err({ A: 1 }))).toMatchObject({
      name: 'RpcError',
      code: 'UNKNOWN',
      message: 'this is a error test',
    });
    const error = await rejection<RpcError>(pair.stub.add({}));
    expect([error.code, error.message, error.metadata.retry, [...(error.details ?? [])]]).toEqual([
      'ABORTED',
      'not now',
      'never',
      [0, 255],
    ]);
  },

  async 'a call that is not answered in time is DEADLINE_EXCEEDED, and the others go on'(bench) {
    const waiting = gate<{ A: string }>();
    await using pair = await bench.rig({ handlers: { test: () => waiting.promise } });
    const patient = pair.stub.test({ A: 'patient' }, { timeout: LONG });
    let start = 0;
    let late: RpcError | undefined;
    // On a busy machine a short time may be over before the call is sent.
    for (let timeout = 30; late?.unsent !== false && timeout < LONG; timeout *= 10) {
      start = performance.now();
      late = await rejection<RpcError>(pair.stub.test({ A: 'hasty' }, { timeout }));
    }
    expect(late).toMatchObject({ code: 'DEADLINE_EXCEEDED', unsent: false });
    expect(performance.now() - start).toBeGreaterThanOrEqual(29);
    waiting.open({ A: 'done' });
    expect(await patient).toMatchObject({ A: 'done' });
    expect(pendingOf(pair.client)).toBe(0);
  },

  async 'a call whose signal has aborted is not sent'(bench) {
    const heard: unknown[] = [];
    await using pair = await bench.rig({
      handlers: {
        add(input) {
          heard.push(input);
          return { Sum: 0 };
        },
      },
    });
    const reason = new Error('changed my mind');
    expect(
      await rejection(pair.stub.add({ A: 1 }, { signal: AbortSignal.abort(reason) })),
    ).toMatchObject({
      code: 'CANCELLED',
      unsent: true,
      cause: reason,
    });
    await pair.stub.test({});
    expect(heard).toEqual([]);
  },

  async 'a call that is aborted while it waits is CANCELLED at once, and its late answer dropped'(
    bench,
  ) {
    const [arrived, waiting] = [gate(), gate<{ A: string }>()];
    await using pair = await bench.rig({
      handlers: {
        test() {
          arrived.open();
          return waiting.promise;
        },
      },
    });
    const abort = new AbortController();
    const call = rejection(pair.stub.test({}, { signal: abort.signal, timeout: LONG }));
    await arrived.promise;
    abort.abort();
    expect(await call).toMatchObject({ code: 'CANCELLED', unsent: false });
    expect(pendingOf(pair.client)).toBe(0);
    waiting.open({ A: 'too late' });
    expect(await pair.stub.add({ A: 1, B: 2 })).toMatchObject({ Sum: 3 });
  },

  async 'metadata travel, whatever their keys and values'(bench) {
    const heard: CallContext['metadata'][] = [];
    await using pair = await bench.rig({
      handlers: {
        add(_, { metadata }) {
          heard.push(metadata);
          return { Sum: 0 };
        },
      },
    });
    const metadata = {
      trace: '42',
      empty: '',
      '': 'no key',
      漢: '字 "\\\n',
      constructor: 'c',
      long: 'x'.repeat(1_000),
    };
    await pair.stub.add({}, { metadata });
    await pair.stub.add({});
    expect({ ...heard[0] }).toEqual(metadata);
    expect({ ...heard[1] }).toEqual({});
  },

  async 'a server calls its client back, within the call'(bench) {
    const back = bench.testService({ add: ({ A, B }) => ({ Sum: A * B }) });
    await using pair = await bench.rig({
      handlers: {
        add: async (input, { channel }) => ({
          Sum: 1_000 + (await channel.stub(TestService, { codec: bench.codec }).add(input)).Sum,
        }),
      },
      client: { services: [back] },
    });
    expect(
      await Promise.all([2, 3, 4].map(async (n) => (await pair.stub.add({ A: n, B: n })).Sum)),
    ).toEqual([1_004, 1_009, 1_016]);
    // Not only within a call.
    const channel = await channelOf(pair.server);
    expect(
      await channel.stub(TestService, { codec: bench.codec }).add({ A: 6, B: 7 }),
    ).toMatchObject({ Sum: 42 });
    expect(pendingOf(pair.client, pair.server)).toBe(0);
  },

  async 'what a client does not offer is UNIMPLEMENTED to its server'(bench) {
    await using pair = await bench.rig();
    await pair.stub.test({});
    expect(
      await outcome(
        (await channelOf(pair.server)).stub(TestService, { codec: bench.codec }).add({}),
      ),
    ).toBe('UNIMPLEMENTED');
  },

  async 'calls in flight fail at once on both sides when the session is lost'(bench) {
    using watched = watchSessions();
    const lost = new Inbox<string>('a lost nested call');
    await using pair = await bench.rig({
      handlers: {
        test: async (input, { channel }) => {
          const code = await outcome(
            channel.stub(TestService, { codec: bench.codec }).test(input, { timeout: LONG }),
          );
          lost.push(code);
          return {};
        },
      },
      client: {
        timeout: LONG,
        services: [
          bench.testService({
            test: (_, { signal }) =>
              new Promise((_resolve, reject) =>
                signal.addEventListener('abort', () => reject(signal.reason)),
              ),
          }),
        ],
      },
    });
    const call = outcome(pair.stub.test({}));
    await until(() => pendingOf(pair.server) === 1, 'the nested call waits');
    for (const session of watched.open) session.destroy();
    expect([await call, await lost.next()]).toEqual(['UNAVAILABLE', 'UNAVAILABLE']);
    expect(pendingOf(pair.client, pair.server)).toBe(0);
  },

  async 'a call that wants no reply is answered with a header alone, whatever comes of it'(bench) {
    await using pair = await bench.rig();
    await using peer = await bench.peer(pair.server.address);
    await peer.send(
      bench.request('Add', 3, { sequence: 1n }),
      bench.request('Err', 3, { sequence: 3n }),
      bench.request('Add', 3, { sequence: 5n, body: Buffer.from([0xff]) }),
    );
    for (const [sequence, code] of [
      [1n, 0],
      [3n, 1],
      [5n, 1],
    ]) {
      const answer = await peer.frames.next();
      expect([
        answer.command,
        answer.sequence,
        answer.code,
        answer.packageLength,
        answer.bytes.subarray(32).toString('hex'),
      ]).toEqual([4, sequence, code, 0, '']);
    }
  },

  async 'interceptors wrap calls on both sides: the first sees the call first'(bench) {
    const log: string[] = [];
    const tracing =
      (name: string): Interceptor =>
      (next) =>
      async (call) => {
        log.push(`${name} ${call.method.name} ${(call.input as { A: number }).A}`);
        const reply = await next(
          call.with({
            input: { A: (call.input as { A: number }).A + 1, B: 0 },
            metadata: { ...call.metadata, [name]: 'was here' },
          }),
        );
        log.push(`${name} done`);
        return reply;
      };
    const seen: CallContext[] = [];
    await using pair = await bench.rig({
      handlers: {
        add(input, context) {
          log.push(`handler ${input.A}`);
          seen.push(context);
          return { Sum: input.A };
        },
      },
      client: { interceptors: [tracing('c1'), tracing('c2')] },
      server: { interceptors: [tracing('s1'), tracing('s2')] },
    });
    // With compression the first call waits for this, and has less time left then.
    const far = await channelOf(pair.client);
    await until(() => far.extended === true, 'the server has answered');
    expect(await pair.stub.add({ A: 1 })).toMatchObject({ Sum: 5 });
    expect(log).toEqual([
      'c1 Add 1',
      'c2 Add 2',
      's1 Add 3',
      's2 Add 4',
      'handler 5',
      's2 done',
      's1 done',
      'c2 done',
      'c1 done',
    ]);
    const [context] = seen;
    expect({ ...context?.metadata }).toEqual({
      c1: 'was here',
      c2: 'was here',
      s1: 'was here',
      s2: 'was here',
    });
    expect([context?.peer, context?.channel, context?.timeout]).toEqual([
      (await channelOf(pair.server)).peer,
      await channelOf(pair.server),
      RPC_DEFAULTS.timeout,
    ]);
    expect(context?.signal).toBeInstanceOf(AbortSignal);
  },

  async 'an interceptor may answer itself, and may turn errors into others'(bench) {
    const shortCut: Interceptor = (next) => async (call) =>
      call.metadata.cached === undefined ? next(call) : { Sum: 99 };
    const mapping: Interceptor = (next) => (call) =>
      next(call).catch((error: RpcError) =>
        Promise.reject(new RpcError('DATA_LOSS', `mapped ${error.code}: ${error.message}`)),
      );
    const throwing: Interceptor = (next) => (call) => {
      if (call.metadata.throws !== undefined) throw new RpcError('PERMISSION_DENIED', 'not you');
      return next(call);
    };
    for (const interceptors of [
      [shortCut, mapping],
      [mapping, throwing],
    ]) {
      for (const side of ['client', 'server'] as const) {
        await using pair = await bench.rig({ [side]: { interceptors } });
        expect((await pair.stub.add({ A: 1, B: 1 }, { metadata: { cached: 'yes' } })).Sum).toBe(
          interceptors.includes(shortCut) ? 99 : 2,
        );
        expect(await rejection(pair.stub.err({}))).toMatchObject({
          code: 'DATA_LOSS',
          message: 'mapped UNKNOWN: this is a error test',
        });
      }
    }
    for (const side of ['client', 'server'] as const) {
      await using pair = await bench.rig({ [side]: { interceptors: [throwing] } });
      expect(await outcome(pair.stub.add({}, { metadata: { throws: 'yes' } }))).toBe(
        'PERMISSION_DENIED',
      );
      expect(await outcome(pair.stub.add({}))).toBe('ok');
    }
  },

  async 'the deadline travels, and the signal aborts when it passes'(bench) {
    const seen: CallContext[] = [];
    const aborted = new Inbox<RpcError>('an abort');
    await using pair = await bench.rig({
      handlers: {
        test(_, context) {
          seen.push(context);
          watch(context.signal, aborted);
          return new Promise((_resolve, reject) =>
            context.signal.addEventListener('abort', () => reject(context.signal.reason)),
          );
        },
        add(_, context) {
          seen.push(context);
          return { Sum: 0 };
        },
      },
    });
    // With compression the first call waits for this, and has less time left then.
    const channel = await channelOf(pair.client);
    await until(() => channel.extended === true, 'the server has answered');
    const before = performance.now();
    expect(await outcome(pair.stub.test({}, { timeout: 60 }))).toBe('DEADLINE_EXCEEDED');
    expect((await aborted.next()).code).toBe('DEADLINE_EXCEEDED');
    // Less when the machine was busy between the call and its sending.
    expect(seen[0]?.timeout).toBeGreaterThan(0);
    expect(seen[0]?.timeout).toBeLessThanOrEqual(60);
    expect(seen[0]?.deadline).toBeGreaterThanOrEqual(before + 59);
    expect(seen[0]?.deadline).toBeLessThan(performance.now() + 60);
    await pair.stub.add({}, { timeout: Number.POSITIVE_INFINITY });
    await pair.stub.add({}, { timeout: 1.2 * 1_000 + 0.5 });
    expect(seen.slice(1).map(({ timeout, deadline }) => [timeout, typeof deadline])).toEqual([
      [undefined, 'undefined'],
      [1_201, 'number'],
    ]);
  },

  async 'the signal aborts when the session is lost'(bench) {
    const [arrived, aborted] = [gate(), new Inbox<RpcError>('an abort')];
    await using pair = await bench.rig({
      handlers: {
        test(_, { signal }) {
          watch(signal, aborted);
          arrived.open();
          return new Promise((_resolve, reject) =>
            signal.addEventListener('abort', () => reject(signal.reason)),
          );
        },
      },
    });
    const call = outcome(pair.stub.test({}, { timeout: LONG }));
    await arrived.promise;
    for (const channel of pair.client.channels)
      (channel as unknown as { session: Session<never, never> }).session.destroy();
    expect((await aborted.next()).code).toBe('CANCELLED');
    expect(await call).toBe('UNAVAILABLE');
  },

  async 'calls are answered in the order in which they are done'(bench) {
    const gates = Array.from({ length: 20 }, () => gate());
    await using pair = await bench.rig({
      handlers: {
        add: async ({ A }) => {
          await gates[A]?.promise;
          return { Sum: A };
        },
      },
    });
    const order: number[] = [];
    const calls = gates.map(async (_, A) => order.push((await pair.stub.add({ A })).Sum));
    const wanted = gates.map((_, index) => (index * 7) % 20);
    for (const index of wanted) {
      gates[index]?.open();
      await until(() => order.at(-1) === index, `call ${index} is answered`);
    }
    await Promise.all(calls);
    expect(order).toEqual(wanted);
  },

  async 'server.close() lets calls under way finish, and the client sends no new ones'(bench) {
    const [arrived, waiting] = [gate(), gate<{ A: string }>()];
    await using pair = await bench.rig({
      handlers: {
        test() {
          arrived.open();
          return waiting.promise;
        },
      },
    });
    const underWay = pair.stub.test({}, { timeout: LONG });
    await arrived.promise;
    const channel = await channelOf(pair.client);
    let closed = false;
    const closing = pair.server.close().then(() => {
      closed = true;
    });
    // Until the client has heard of it, calls are still served.
    let last: RpcError | undefined;
    await until(() => {
      void pair.stub.add({ A: 1 }).catch((error: RpcError) => {
        last = error;
      });
      return last !== undefined;
    }, 'new calls are refused');
    expect(last).toMatchObject({ code: 'UNAVAILABLE', unsent: true });
    expect([closed, channel.closed]).toEqual([false, false]);
    waiting.open({ A: 'finished' });
    expect(await underWay).toMatchObject({ A: 'finished' });
    await within(closing, 'the server to close');
    await until(() => pair.client.channels.size === 0, 'the client has closed its session');
    expect(pair.server.channels.size).toBe(0);
    expect(
      await outcome(connect(pair.server.address, { ...bench.row.clientOptions, reconnect: false })),
    ).toBe('CONNECT_FAILED');
  },

  async 'an idle client closes when the server goes away'(bench) {
    await using pair = await bench.rig({ server: { drainTimeout: LONG } });
    await pair.stub.add({});
    await within(pair.server.close(), 'the server to close');
    await until(() => pair.client.channels.size === 0, 'the client has closed its session');
  },

  async 'client.close() lets calls under way finish, in both directions, and takes no new ones'(
    bench,
  ) {
    const [arrived, waiting, nested] = [gate(), gate<{ A: string }>(), gate<{ Sum: number }>()];
    await using pair = await bench.rig({
      handlers: {
        test() {
          arrived.open();
          return waiting.promise;
        },
      },
      client: { services: [bench.testService({ add: () => nested.promise })] },
    });
    const call = pair.stub.test({}, { timeout: LONG });
    await arrived.promise;
    const back = (await channelOf(pair.server))
      .stub(TestService, { codec: bench.codec })
      .add({}, { timeout: LONG });
    await turns(3);
    const closing = pair.client.close();
    expect(pair.client.closed).toBe(true);
    expect(await rejection(pair.stub.add({}))).toMatchObject({ code: 'UNAVAILABLE', unsent: true });
    waiting.open({ A: 'finished' });
    expect(await call).toMatchObject({ A: 'finished' });
    expect(pair.client.channels.size).toBe(1);
    await turns(3);
    nested.open({ Sum: 7 });
    expect(await back).toMatchObject({ Sum: 7 });
    await within(closing, 'the client to close');
    await until(() => pair.server.channels.size === 0, 'the server has seen it');
  },

  async 'close() waits no longer than drainTimeout'(bench) {
    const arrived = new Inbox<void>('a call');
    const handlers = {
      test: () => {
        arrived.push();
        return new Promise<never>(() => {});
      },
    };
    for (const side of ['client', 'server'] as const) {
      await using pair = await bench.rig({ handlers, [side]: { drainTimeout: 20 } });
      const call = outcome(pair.stub.test({}, { timeout: LONG }));
      await arrived.next();
      await within(pair[side].close(), 'the end');
      expect(await call).toBe('UNAVAILABLE');
    }
  },

  async 'both sides know that they are extended, without a call'(bench) {
    await using pair = await bench.rig();
    const [near, far] = [await channelOf(pair.client), await channelOf(pair.server)];
    await until(() => near.extended !== undefined && far.extended !== undefined, 'both sides know');
    expect([near.extended, far.extended]).toEqual([true, true]);
    expect([near.peer, pair.client.address]).toEqual([pair.server.address, pair.server.address]);
  },

  async 'a plain client, as Go’s are, is answered with its own serviceId, and is not called'(
    bench,
  ) {
    await using pair = await bench.rig();
    await using peer = await bench.peer(pair.server.address);
    await peer.send(
      frameBytes({ command: 1, sequence: 9n }),
      bench.request('Add', 2),
      bench.request('Add', 2, { serviceId: 7 }),
    );
    expect(
      (await peer.frames.take(3)).map(({ command, serviceId }) => [command, serviceId]),
    ).toEqual([
      [2, 0],
      [4, 0],
      [4, 7],
    ]);
    const channel = [...pair.server.channels].find(({ extended }) => extended === false) as Channel;
    expect(
      await rejection(channel.stub(TestService, { codec: bench.codec }).add({})),
    ).toMatchObject({ code: 'FAILED_PRECONDITION', unsent: true });
    expect(
      await rejection(channel.stub(TestService, { codec: bench.codec }).event({})),
    ).toMatchObject({ code: 'FAILED_PRECONDITION', unsent: true });
    await peer.send(bench.request('Add', 2));
    expect((await peer.frames.next()).command).toBe(4);
    expect(peer.frames.unread).toEqual([]);
  },

  async 'a plain client is not sent goaway'(bench) {
    await using pair = await bench.rig();
    await using peer = await bench.peer(pair.server.address);
    await peer.send(frameBytes({ command: 1 }));
    await peer.frames.next();
    await pair.server.close();
    await peer.end();
    expect(peer.frames.unread).toEqual([]);
  },

  async 'an extended client is answered with serviceId 2, in answers and heartbeats'(bench) {
    await using pair = await bench.rig();
    await using peer = await bench.peer(pair.server.address);
    await peer.send(
      frameBytes({ command: 1, serviceId: 1 }),
      bench.request('Add', 2, { serviceId: 1 }),
      bench.request('Err', 2, { serviceId: 1 }),
    );
    expect((await peer.frames.take(3)).map(({ serviceId }) => serviceId)).toEqual([2, 2, 2]);
  },

  async 'the extension fields are on the wire'(bench) {
    await using pair = await bench.rig({
      handlers: { err: () => Promise.reject(new RpcError('NOT_FOUND', 'no')) },
    });
    await using peer = await bench.peer(pair.server.address);
    await peer.send(bench.request('Err', 2));
    const { head } = await peer.frames.next();
    expect(head.toString('hex')).toBe(
      bench.codec === 'json'
        ? Buffer.from('{"Error":"no","Code":5}').toString('hex')
        : '0a026e6f5005',
    );
  },

  async 'a client finds its server again after a restart'(bench) {
    const { row } = bench;
    await using pair = await bench.rig({ client: { reconnect: { initialDelay: 1, maxDelay: 5 } } });
    await pair.stub.add({});
    pair.server.destroy();
    await until(() => pair.client.channels.size === 0, 'the client has seen it');
    await pair.server.close();
    expect(await outcome(pair.stub.add({}))).toBe('UNAVAILABLE');
    await using _again = await serve(pair.server.address, [testService()], {
      session: row.options,
      ...row.serverOptions,
    });
    await until(() => pair.client.channels.size === 1, 'the client is back');
    expect(await pair.stub.add({ A: 1, B: 2 })).toMatchObject({ Sum: 3 });
  },

  async 'many calls of many clients, all at once'(bench) {
    await using pair = await bench.rig({ client: { connections: 2 } });
    await using other = await connect(pair.server.address, {
      ...bench.row.clientOptions,
      reconnect: false,
      session: bench.row.options,
    });
    await until(() => pair.client.channels.size === 2, 'both sessions are open');
    const stubs = [pair.stub, other.stub(TestService, { codec: bench.codec })];
    const sums = await Promise.all(
      Array.from(
        { length: 500 },
        async (_, n) => (await (stubs[n % 2] as typeof pair.stub).add({ A: n, B: n })).Sum,
      ),
    );
    expect(sums).toEqual(Array.from({ length: 500 }, (_, n) => 2 * n));
  },
};

/**
 * Calls over datagrams are a thing of their own: nobody is told there that the other side is gone,
 * and what is lost is not sent again.
 */
const ROWS = TRANSPORTS.filter(({ name }) => !name.startsWith('udp'));

describe.each(ROWS)('$name', (row) => {
  describe.each(CODECS)('%s', (codec) => {
    noLeaks();
    for (const [name, behaviour] of Object.entries(BEHAVIOURS)) {
      const reason = row.except[name];
      if (reason === undefined) test(name, () => behaviour(new Bench(row, codec)));
      else test.skip(`${name} (${reason})`, () => {});
    }
  });
});

/** The client is the build for pages, in a context that has what a browser has, and no Buffer. */
describe('the build for pages, without Buffer', async () => {
  const source = `${WEB_PROTOBUF}; export { TestService } from '../../demo/test_service_pb.js'`;
  const {
    connect: dial,
    contract: make,
    TestService: schema,
  } = runAsPage(await bundleWeb('iife', source)) as WebProtobuf & {
    TestService: typeof descriptor;
  };
  const page: PageRpc = {
    connect: dial,
    TestService: make(schema, { version: 'v1.0', oneway: ['Event'] }),
  };
  const row = TRANSPORTS.find(({ name }) => name === 'ws') as TransportRow;
  describe.each(CODECS)('%s', (codec) => {
    noLeaks();
    for (const [name, behaviour] of Object.entries(BEHAVIOURS))
      test(name, () => behaviour(new Bench(row, codec, page)));
  });
});

describe('the fields of a request', () => {
  noLeaks();
  const options = { timeout: 1_234, metadata: { a: 'b' } };

  test('in JSON', async () => {
    await using server = await RawServer.serve();
    await using client = await connect(server.address, { connections: 1, reconnect: false });
    const call = outcome(client.stub(TestService, { codec: 'json' }).add({ A: 1 }, options));
    const { head, body, serviceId, sequence, logId } = await server.requests.next();
    expect(head.toString()).toBe(
      '{"Service":"TestService","Method":"Add","CallType":"CT_TwoWay","Version":"v1.0","Timeout":1234,"Metadata":{"a":"b"}}',
    );
    expect(body.toString()).toBe('{"A":1,"B":0}');
    expect([serviceId, sequence & 1n, sequence < 2n ** 63n, logId >= 0n]).toEqual([
      1,
      1n,
      true,
      true,
    ]);
    client.destroy();
    expect(await call).toBe('UNAVAILABLE');
  });

  test('in Protobuf', async () => {
    await using server = await RawServer.serve();
    await using client = await connect(server.address, { connections: 1, reconnect: false });
    const call = outcome(client.stub(TestService, { codec: 'protobuf' }).add({ A: 1 }, options));
    const { head, body } = await server.requests.next();
    const expected = [
      field(1, 'TestService'),
      field(2, 'Add'),
      Buffer.from([0x18, 2]),
      field(12, 'v1.0'),
      Buffer.from([0x50, 0xd2, 0x09, 0x5a, 6]),
      field(1, 'a'),
      field(2, 'b'),
    ];
    expect(head.toString('hex')).toBe(Buffer.concat(expected).toString('hex'));
    expect(body.toString('hex')).toBe('0801');
    client.destroy();
    expect(await call).toBe('UNAVAILABLE');
  });

  test('a contract without a version, a call without a deadline and a oneway call', async () => {
    const Plain = contract('Plain', {
      ask: unary<number, number>({ timeout: Number.POSITIVE_INFINITY }),
      tell: oneway<number>(),
    });
    await using server = await RawServer.serve();
    await using client = await connect(server.address, {
      connections: 1,
      reconnect: false,
      timeout: Number.POSITIVE_INFINITY,
    });
    const calls = [
      outcome(client.stub(Plain).ask(1)),
      outcome(client.stub(Plain).tell(2)),
      outcome(client.stub(Plain).ask(3, { timeout: 5_000_000_000 })),
    ];
    const heads = (await server.requests.take(3)).map(({ head }) => head.toString());
    expect(heads).toEqual(
      ['CT_TwoWay', 'CT_OneWay', 'CT_TwoWay'].map(
        (type) =>
          `{"Service":"Plain","Method":"${type === 'CT_OneWay' ? 'tell' : 'ask'}","CallType":"${type}"}`,
      ),
    );
    client.destroy();
    expect(await Promise.all(calls)).toEqual(['UNAVAILABLE', 'ok', 'UNAVAILABLE']);
  });
});

describe('timeouts', () => {
  noLeaks();
  const Slow = contract('Slow', {
    ask: unary<number, number>(),
    own: unary<number, number>({ timeout: 20 }),
  });

  test.each([
    ['of the call', {}, { timeout: 20 }, 'ask'],
    ['of the method', {}, undefined, 'own'],
    ['of the client', { timeout: 20 }, undefined, 'ask'],
    [
      'of the call, before that of the method and the client',
      { timeout: LONG },
      { timeout: 20.5 },
      'own',
    ],
  ] as const)('that %s', async (_, client, options, method) => {
    await using server = await RawServer.serve();
    await using caller = await connect(server.address, {
      connections: 1,
      reconnect: false,
      ...client,
    });
    expect(await outcome(caller.stub(Slow)[method](1, options))).toBe('DEADLINE_EXCEEDED');
    expect(JSON.parse((await server.requests.next()).head.toString()).Timeout).toBe(
      options?.timeout === 20.5 ? 21 : 20,
    );
  });

  test.each([
    2 ** 31,
    3_000_000_000,
    2 ** 32 - 1,
    2 ** 32,
    Number.MAX_SAFE_INTEGER,
    Number.POSITIVE_INFINITY,
  ])('a timeout of %d ms is not cut short by a timer that is too small for it', async (timeout) => {
    let waiting = gate<{ A: string }>();
    const aborted: unknown[] = [];
    await using pair = await rig({
      handlers: {
        test(_, { signal }) {
          signal.addEventListener('abort', () => aborted.push(signal.reason));
          return waiting.promise;
        },
      },
    });
    for (const [client, options] of [
      [await connect(pair.server.address, { connections: 1, reconnect: false }), { timeout }],
      [
        await connect(pair.server.address, { connections: 1, reconnect: false, timeout }),
        undefined,
      ],
    ] as const) {
      const call = client.stub(TestService).test({}, options);
      let settled = false;
      void outcome(call).then(() => {
        settled = true;
      });
      expect(await outcome(pair.stub.test({}, { timeout: 40 }))).toBe('DEADLINE_EXCEEDED');
      await until(() => aborted.length > 0, 'the short one aborts');
      expect([settled, aborted.length]).toEqual([false, 1]);
      waiting.open({ A: '' });
      expect(await call).toMatchObject({ A: '' });
      await client.close();
      aborted.length = 0;
      waiting = gate();
    }
  });

  test('a server that waits to know its client does so no longer than the call’s timeout, and the signal ends it', async () => {
    await using server = await serve(freeMemory(), [testService()], { maxPendingCalls: 3 });
    await using peer = await RawPeer.connect(server.address);
    const stub = (await channelOf(server)).stub(TestService, { codec: 'json' });
    expect(await rejection(stub.add({}, { timeout: 20 }))).toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      unsent: true,
    });
    // Those that gave up do not count among those that wait.
    for (let n = 0; n < 5; n++)
      expect(await outcome(stub.add({}, { timeout: 1 }))).toBe('DEADLINE_EXCEEDED');
    const abort = new AbortController();
    const calls = [
      rejection(stub.add({}, { signal: abort.signal })),
      rejection(stub.add({}, { signal: AbortSignal.abort() })),
    ];
    abort.abort();
    for (const call of calls) expect(await call).toMatchObject({ code: 'CANCELLED', unsent: true });
    const patient = stub.add({ A: 1 }, { timeout: Number.POSITIVE_INFINITY });
    await peer.send(frameBytes({ command: 1, serviceId: 1 }));
    const [heartbeat, request] = await peer.frames.take(2);
    expect([
      heartbeat?.command,
      heartbeat?.serviceId,
      request?.command,
      (request?.sequence ?? 1n) & 1n,
    ]).toEqual([2, 2, 3, 0n]);
    await peer.send(
      frameBytes({ command: 4, sequence: request?.sequence as bigint, body: '{"Sum":5}' }),
    );
    expect(await patient).toMatchObject({ Sum: 5 });
    expect(peer.frames.unread).toEqual([]);
  });

  test('of a call that waited for something, what is left travels', async () => {
    await using server = await serve(freeMemory(), [testService()]);
    await using peer = await RawPeer.connect(server.address);
    const call = outcome(
      (await channelOf(server)).stub(TestService, { codec: 'json' }).add({}, { timeout: 2_000 }),
    );
    const start = performance.now();
    await until(() => performance.now() - start > 50, 'some time has gone');
    await peer.send(frameBytes({ command: 1, serviceId: 1 }));
    const { Timeout } = JSON.parse(`${(await peer.frames.take(2))[1]?.head}`) as {
      Timeout: number;
    };
    expect(Timeout).toBeLessThanOrEqual(1_951);
    expect(Timeout).toBeGreaterThan(0);
    expect(await call).toBe('DEADLINE_EXCEEDED');
  });
});

describe('a handler’s context', () => {
  noLeaks();

  test('a signal that is touched after the answer leaves nothing behind', async () => {
    const kept: CallContext[] = [];
    await using pair = await rig({
      handlers: {
        add(_, context) {
          kept.push(context);
          return { Sum: 0 };
        },
      },
    });
    await pair.stub.add({}, { timeout: LONG });
    // noLeaks() sees a timer if there is one.
    expect(kept[0]?.signal.aborted).toBe(false);
    await pair.client.close();
    await until(() => pair.server.channels.size === 0, 'the session is over');
    expect(kept[0]?.signal.aborted).toBe(false);
  });

  test('contexts whose signal was touched are forgotten when they have answered', async () => {
    await using pair = await rig({
      handlers: {
        add: (_, { signal }) => ({ Sum: signal.aborted ? 1 : 0 }),
        err: async (_, { signal }) => Promise.reject(signal.reason ?? new Error('no')),
      },
    });
    await Promise.all(
      Array.from({ length: 50 }, (_, n) =>
        outcome(n % 2 === 0 ? pair.stub.add({}) : pair.stub.err({})),
      ),
    );
    expect((await channelOf(pair.server)).serving).toBe(0);
  });

  test('a signal that is touched after the session was lost has aborted', async () => {
    const [arrived, waiting] = [gate<CallContext>(), gate<{ A: string }>()];
    await using pair = await rig({
      handlers: {
        test(_, context) {
          arrived.open(context);
          return waiting.promise;
        },
      },
    });
    const call = outcome(pair.stub.test({}));
    const context = await arrived.promise;
    pair.client.destroy();
    await until(() => pair.server.channels.size === 0, 'the session is over');
    expect(context.signal.reason).toMatchObject({ code: 'CANCELLED' });
    waiting.open({ A: '' });
    expect(await call).toBe('UNAVAILABLE');
  });

  test('with() changes what is given and nothing else, as often as one likes', async () => {
    const seen: Call[] = [];
    const changing: Interceptor = (next) => (call) => {
      const copy = call.with({ timeout: undefined, metadata: undefined, signal: undefined });
      const other = copy
        .with({ timeout: 17.2, metadata: { x: 'y' } })
        .with({ input: undefined })
        .with({});
      seen.push(call, copy, other);
      return next(call);
    };
    for (const side of ['client', 'server'] as const) {
      seen.length = 0;
      await using pair = await rig({ [side]: { interceptors: [changing] } });
      await pair.stub.add({ A: 1 }, { metadata: { a: 'b' } });
      const look = ({ input, timeout, metadata, method, codec }: Call) => [
        (input as { A: number } | undefined)?.A,
        timeout,
        { ...metadata },
        method.name,
        codec,
      ];
      expect(seen.map(look)).toEqual([
        [1, RPC_DEFAULTS.timeout, { a: 'b' }, 'Add', 'json'],
        [1, RPC_DEFAULTS.timeout, { a: 'b' }, 'Add', 'json'],
        [undefined, 18, { x: 'y' }, 'Add', 'json'],
      ]);
      if (side === 'server')
        expect(
          seen.map((call) => [(call as CallContext).peer, (call as CallContext).channel]),
        ).toEqual(
          Array(3).fill([(await channelOf(pair.server)).peer, await channelOf(pair.server)]),
        );
    }
  });

  test.each(['client', 'server'] as const)(
    'with() refuses what a call cannot have: %s',
    async (side) => {
      for (const changes of [
        { timeout: 0 },
        { timeout: '5' },
        { metadata: { a: 1 } },
        { metadata: 'x' },
      ] as unknown as { timeout: number }[]) {
        await using pair = await rig({
          [side]: {
            interceptors: [((next) => (call) => next(call.with(changes))) satisfies Interceptor],
          },
        });
        const error = await rejection(pair.stub.add({}));
        expect(side === 'client' ? error.code : error.message).toMatch(
          side === 'client' ? 'BAD_OPTION' : /^(timeout|metadata)/,
        );
      }
    },
  );
});

describe('handlers', () => {
  noLeaks();

  test('may answer with a promise of another library', async () => {
    const thenable = (value: unknown, error?: Error) => ({
      // biome-ignore lint/suspicious/noThenProperty: it is one
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

  test('may be methods that use this', async () => {
    class Counter {
      count = 0;
      hit(by: number): number {
        this.count += by;
        return this.count;
      }
    }
    const Counting = contract('Counting', { hit: unary<number, number>() });
    await using server = await serve(freeMemory(), [implement(Counting, new Counter())]);
    await using client = await connect(server.address, { connections: 1, reconnect: false });
    expect([await client.stub(Counting).hit(2), await client.stub(Counting).hit(3)]).toEqual([
      2, 5,
    ]);
  });

  test('any JSON value is an argument and a reply, also none', async () => {
    const Any = contract('Any', { echo: unary<unknown, unknown>() });
    await using server = await serve(freeMemory(), [implement(Any, { echo: (value) => value })]);
    await using client = await connect(server.address, { connections: 1, reconnect: false });
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

  test('an argument that has no form in the codec is INVALID_ARGUMENT at the caller, unsent', async () => {
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

  test('a header that is too large is INVALID_ARGUMENT at the caller, unsent', async () => {
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

  test('a signal that lives long is left alone by calls that are over, however they ended', async () => {
    await using pair = await rig();
    const { signal } = new AbortController();
    const calls = [
      pair.stub.add({}, { signal }),
      pair.stub.err({}, { signal }),
      pair.stub.event({}, { signal }),
    ];
    await using server = await serve(freeMemory(), [testService()]);
    await using _peer = await RawPeer.connect(server.address);
    calls.push((await channelOf(server)).stub(TestService).add({}, { signal, timeout: 1 }));
    await Promise.all(calls.map(outcome));
    await turns();
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });

  test('beyond maxPendingCalls calls are refused, at the caller and at the server', async () => {
    const waiting = gate<{ A: string }>();
    await using pair = await rig({
      handlers: { test: () => waiting.promise },
      client: { maxPendingCalls: 5 },
      server: { maxPendingCalls: 7 },
    });
    await using other = await connect(pair.server.address, { connections: 1, reconnect: false });
    const near = Array.from({ length: 6 }, () =>
      rejection<RpcError>(pair.stub.test({}).then(() => Promise.reject(new Error('ok')))),
    );
    expect(await near[5]).toMatchObject({ code: 'RESOURCE_EXHAUSTED', unsent: true });
    const far = Array.from({ length: 8 }, () =>
      rejection<RpcError>(
        other
          .stub(TestService)
          .test({})
          .then(() => Promise.reject(new Error('ok'))),
      ),
    );
    expect(await far[7]).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      unsent: true,
      reason: 'refused',
    });
    waiting.open({ A: '' });
    expect(
      (await Promise.all([...near.slice(0, 5), ...far.slice(0, 7)])).map(({ message }) => message),
    ).toEqual(Array(12).fill('ok'));
  });
});

describe('the end', () => {
  noLeaks();

  test('a client that has only just connected loses no call to server.close()', async () => {
    for (const address of [freeMemory(), 'tcp://127.0.0.1:0']) {
      await using pair = await rig({ address });
      const call = outcome(pair.stub.add({ A: 1, B: 2 }));
      await within(pair.server.close(), 'the server to close');
      expect(await call).toBe('ok');
    }
  });

  test('a stranger who never says a word does not hold up server.close()', async () => {
    await using pair = await rig({ server: { drainTimeout: LONG } });
    await using peer = await RawPeer.connect(pair.server.address);
    await within(pair.server.close(), 'the server to close');
    await peer.end();
  });

  test('after goaway a client with another server’s session uses that', async () => {
    const address = freeMemory();
    const first = await serve(address, [testService({ add: () => ({ Sum: 1 }) })]);
    await using client = await connect(address, {
      connections: 1,
      reconnect: { initialDelay: 1, maxDelay: 2 },
    });
    const stub = client.stub(TestService);
    expect(await stub.add({})).toMatchObject({ Sum: 1 });
    const closing = first.close();
    await using second = await serve(address, [testService({ add: () => ({ Sum: 2 }) })]);
    await closing;
    await until(() => second.channels.size === 1, 'the client is back');
    expect(await stub.add({})).toMatchObject({ Sum: 2 });
  });

  test('destroy() is at once, and close() after it waits until all is gone', async () => {
    const pair = await rig({
      address: 'tcp://127.0.0.1:0',
      handlers: { test: () => new Promise(() => {}) },
    });
    const call = outcome(pair.stub.test({}));
    await turns(3);
    pair.client.destroy();
    pair.server.destroy();
    await Promise.all([pair.client.close(), pair.server.close()]);
    expect([pair.client.channels.size, pair.server.channels.size]).toEqual([0, 0]);
    expect(await call).toBe('UNAVAILABLE');
    // The port is free again.
    await using _next = await serve(pair.server.address, [testService()]);
  });

  test('close() and destroy() may be called in any order, again and again', async () => {
    const pair = await rig();
    const closing = [
      pair.client.close(),
      pair.server.close(),
      pair.client.close(),
      pair.server.close(),
    ];
    pair.client.destroy();
    pair.server.destroy();
    await Promise.all(closing);
    await Promise.all([pair.client[Symbol.asyncDispose](), pair.server[Symbol.asyncDispose]()]);
  });

  test('onReady tells when there is a session that takes calls, and when there is none', async () => {
    const told: boolean[] = [];
    await using pair = await rig({ client: { onReady: (ready) => told.push(ready) } });
    await pair.stub.add({});
    expect(told).toEqual([true]);
    await pair.server.close();
    await until(() => told.length === 2, 'the client has told');
    expect(told).toEqual([true, false]);
  });
});
