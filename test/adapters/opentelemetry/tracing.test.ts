/** The spans that the OpenTelemetry SDK records: parents, ends and errors, on both sides. */
import {
  context,
  DiagLogLevel,
  diag,
  propagation,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import {
  AlwaysOffSampler,
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type TracingOptions, tracing } from '../../../src/adapters/opentelemetry/index.js';
import {
  type Call,
  type CallContext,
  type CallOptions,
  clientStream,
  connect,
  contract,
  duplex,
  type Invoke,
  implement,
  noReply,
  oneway,
  RpcError,
  type RpcServerOptions,
  serve,
  serverStream,
  unary,
} from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { freeMemory } from '../../fixtures/rpc.js';
import { gate, until } from '../../fixtures/waiting.js';

noLeaks();

let exporter: InMemorySpanExporter;
let provider: BasicTracerProvider;
/** Warnings of OpenTelemetry about wrong use, such as a span that ends twice. */
const warnings: string[] = [];

function setUp(options: ConstructorParameters<typeof BasicTracerProvider>[0] = {}): void {
  exporter = new InMemorySpanExporter();
  provider = new BasicTracerProvider({
    ...options,
    spanProcessors: [new SimpleSpanProcessor(exporter)],
  });
  trace.setGlobalTracerProvider(provider);
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  const addWarning = (text: string): void => void warnings.push(text);
  diag.setLogger(
    { error: addWarning, warn: addWarning, info() {}, debug() {}, verbose() {} },
    { logLevel: DiagLogLevel.WARN },
  );
}

async function tearDown(): Promise<void> {
  trace.disable();
  context.disable();
  propagation.disable();
  diag.disable();
  expect(warnings.splice(0)).toEqual([]);
  await provider.shutdown();
}

beforeEach(() => setUp());
afterEach(tearDown);

const Back = contract('Back', { hello: unary<string, string>() });
const Front = contract('Front', {
  hop: unary<string, string>(),
  metadata: unary<void, Record<string, string>>(),
  back: unary<void, string>(),
  tell: oneway<string>(),
  told: noReply<string>(),
  list: serverStream<string, string>(),
  sum: clientStream<number, number>(),
  echo: duplex<string, string>(),
});

interface SetupOptions {
  readonly server?: TracingOptions;
  readonly client?: TracingOptions | null;
  /** Awaited by each list() before its second item. */
  readonly pause?: (context: CallContext) => Promise<void>;
  readonly options?: RpcServerOptions;
}

/** A server `front` that calls a server `back`, and a client of `front`. All are traced. */
async function tracedServers({
  server: ofServer = {},
  client: ofClient = {},
  pause = async () => {},
  options = {},
}: SetupOptions = {}) {
  const hello = implement(Back, { hello: (name) => `hello, ${name}` });
  const back = await serve(freeMemory(), [hello], { interceptors: [tracing()] });
  const toBack = (await connect(back.address, {
    reconnect: false,
    interceptors: [tracing()],
  })) as Awaited<ReturnType<typeof connect>>;
  const received: string[] = [];
  const service = implement(Front, {
    hop(name) {
      if (name === 'secret') throw new RpcError('NOT_FOUND', `there is no ${name}`);
      return toBack.stub(Back).hello(name);
    },
    metadata: (_, { metadata }) => ({ ...metadata }),
    back: (_, { channel }) => channel.stub(Back).hello('you'),
    tell(text) {
      received.push(text);
      if (text === 'secret') throw new Error('a secret');
    },
    async told(text) {
      received.push(text);
    },
    async *list(name, call) {
      yield await toBack.stub(Back).hello(name);
      await pause(call);
      yield await toBack.stub(Back).hello(`${name} again`);
      if (name === 'secret') throw new Error('a secret');
    },
    async sum(numbers) {
      let sum = 0;
      for await (const number of numbers) sum += number;
      return sum;
    },
    echo: (texts) => texts,
  });
  const front = await serve(freeMemory(), [service], {
    interceptors: [tracing(ofServer)],
    ...options,
  });
  const client = await connect(front.address, {
    reconnect: false,
    interceptors: ofClient === null ? [] : [tracing(ofClient)],
    services: [hello],
  });
  return {
    front,
    client,
    received,
    stub: client.stub(Front),
    async [Symbol.asyncDispose]() {
      for (const end of [client, front, toBack, back]) end.destroy();
      await Promise.all([client.close(), front.close(), toBack.close(), back.close()]);
    },
  };
}

/** The span of a call, once it has ended. */
async function span(name: string, kind: SpanKind, at = 0): Promise<ReadableSpan> {
  const found = (): ReadableSpan[] =>
    exporter.getFinishedSpans().filter((one) => one.name === name && one.kind === kind);
  await until(() => found().length > at, `a span ${SpanKind[kind]} ${name} has ended`);
  return found()[at] as ReadableSpan;
}

const both = async (name: string): Promise<[client: ReadableSpan, server: ReadableSpan]> => [
  await span(name, SpanKind.CLIENT),
  await span(name, SpanKind.SERVER),
];
const idOf = (one: ReadableSpan): string => one.spanContext().spanId;
const parentOf = (one: ReadableSpan): string | undefined => one.parentSpanContext?.spanId;
const traces = (): Set<string> =>
  new Set(exporter.getFinishedSpans().map((one) => one.spanContext().traceId));
const failure = (promise: Promise<unknown>): Promise<RpcError> =>
  promise.then(
    () => Promise.reject(new Error('it did not fail')),
    (error) => error,
  );
async function read(replies: AsyncIterable<string>): Promise<string[]> {
  const all: string[] = [];
  for await (const reply of replies) all.push(reply);
  return all;
}

describe('a call', () => {
  test('has a span on both sides; the calls of its handler are children of it', async () => {
    await using s = await tracedServers();
    const tracer = trace.getTracer('test');
    const root = tracer.startSpan('root');
    expect(await context.with(trace.setSpan(context.active(), root), () => s.stub.hop('you'))).toBe(
      'hello, you',
    );
    root.end();
    const [made, served] = await both('Front/hop');
    const [nested, answered] = await both('Back/hello');
    expect([made, served, nested, answered].map(parentOf)).toEqual([
      root.spanContext().spanId,
      idOf(made),
      idOf(served),
      idOf(nested),
    ]);
    expect(traces()).toEqual(new Set([root.spanContext().traceId]));
    expect(exporter.getFinishedSpans()).toHaveLength(5);
    expect(served.parentSpanContext?.isRemote).toBe(true);
    // No arguments.
    for (const one of [made, served]) {
      expect(one.attributes).toEqual({
        'rpc.system': 'getty',
        'rpc.service': 'Front',
        'rpc.method': 'hop',
      });
      expect([one.status, one.events]).toEqual([{ code: SpanStatusCode.UNSET }, []]);
    }
  });

  test('has a trace of its own among concurrent calls', async () => {
    await using s = await tracedServers();
    const names = Array.from({ length: 20 }, (_, n) => `${n}`);
    await Promise.all(names.map((name) => s.stub.hop(name)));
    await span('Front/hop', SpanKind.CLIENT, 19);
    expect(traces().size).toBe(20);
    for (const id of traces())
      expect(
        exporter.getFinishedSpans().filter((one) => one.spanContext().traceId === id),
      ).toHaveLength(4);
  });

  test('that fails has the code of its error, and no message', async () => {
    await using s = await tracedServers();
    expect((await failure(s.stub.hop('secret'))).code).toBe('NOT_FOUND');
    for (const one of await both('Front/hop')) {
      expect(one.attributes['error.type']).toBe('NOT_FOUND');
      expect([one.status, one.events]).toEqual([
        { code: SpanStatusCode.ERROR, message: 'NOT_FOUND' },
        [],
      ]);
    }
  });

  test('that cannot be sent has a span of its caller only', async () => {
    await using s = await tracedServers();
    s.front.destroy();
    expect((await failure(s.stub.hop('you'))).code).toBe('UNAVAILABLE');
    expect((await span('Front/hop', SpanKind.CLIENT)).attributes['error.type']).toBe('UNAVAILABLE');
    expect(exporter.getFinishedSpans()).toHaveLength(1);
  });

  test('keeps its metadata', async () => {
    await using s = await tracedServers();
    const { traceparent, ...rest } = await s.stub.metadata(undefined, {
      metadata: { shop: 'corner' },
    });
    expect(rest).toEqual({ shop: 'corner' });
    const made = (await span('Front/metadata', SpanKind.CLIENT)).spanContext();
    expect(traceparent).toBe(`00-${made.traceId}-${made.spanId}-01`);
  });

  test('without a reply has spans that end when it is sent and when it is handled', async () => {
    await using s = await tracedServers();
    await s.stub.tell('you');
    await s.stub.told('them');
    for (const method of ['Front/tell', 'Front/told']) {
      const [made, served] = await both(method);
      expect(parentOf(served)).toBe(idOf(made));
      expect(served.status.code).toBe(SpanStatusCode.UNSET);
    }
    await s.stub.tell('secret');
    expect((await span('Front/tell', SpanKind.CLIENT, 1)).status.code).toBe(SpanStatusCode.UNSET);
    expect((await span('Front/tell', SpanKind.SERVER, 1)).attributes['error.type']).toBe('UNKNOWN');
  });

  test('from a server to its client has a CLIENT span on the server', async () => {
    await using s = await tracedServers({ options: { interceptors: [tracing()] } });
    const client = await connect(s.front.address, {
      reconnect: false,
      interceptors: [tracing()],
      services: [implement(Back, { hello: () => 'from the client' })],
    });
    expect(await client.stub(Front).back()).toBe('from the client');
    const [made, served] = await both('Front/back');
    const [nested, answered] = await both('Back/hello');
    expect([made, served, nested, answered].map(parentOf)).toEqual([
      undefined,
      idOf(made),
      idOf(served),
      idOf(nested),
    ]);
    await client.close();
  });
});

describe('a stream', () => {
  test('has spans that end with it; its handler runs within the span for each item', async () => {
    const open = gate();
    await using s = await tracedServers({ pause: () => open.promise });
    const replies = s.stub.list('you')[Symbol.asyncIterator]();
    expect(await replies.next()).toEqual({ done: false, value: 'hello, you' });
    await span('Back/hello', SpanKind.CLIENT);
    expect(exporter.getFinishedSpans().filter(({ name }) => name === 'Front/list')).toEqual([]);
    open.open();
    expect(await replies.next()).toEqual({ done: false, value: 'hello, you again' });
    expect((await replies.next()).done).toBe(true);
    const [made, served] = await both('Front/list');
    expect(parentOf(served)).toBe(idOf(made));
    for (const at of [0, 1])
      expect(parentOf(await span('Back/hello', SpanKind.CLIENT, at))).toBe(idOf(served));
    expect(traces().size).toBe(1);
    expect([made.status.code, served.status.code]).toEqual([
      SpanStatusCode.UNSET,
      SpanStatusCode.UNSET,
    ]);
  });

  test('that fails after some items has the code of its error', async () => {
    await using s = await tracedServers();
    await failure(read(s.stub.list('secret')));
    for (const one of await both('Front/list')) {
      expect(one.attributes['error.type']).toBe('UNKNOWN');
      expect([one.status, one.events]).toEqual([
        { code: SpanStatusCode.ERROR, message: 'UNKNOWN' },
        [],
      ]);
    }
  });

  test('whose reader leaves has spans that end without ERROR', async () => {
    const open = gate();
    await using s = await tracedServers({ pause: () => open.promise });
    for await (const reply of s.stub.list('you')) {
      expect(reply).toBe('hello, you');
      break;
    }
    // The handler is still running.
    const [made, served] = await both('Front/list');
    expect(made.attributes['error.type']).toBeUndefined();
    expect(served.attributes['error.type']).toBe('CANCELLED');
    expect([made.status.code, served.status.code]).toEqual([
      SpanStatusCode.UNSET,
      SpanStatusCode.UNSET,
    ]);
    open.open();
  });

  test('whose deadline passes has spans that end on both sides, even if its handler never ends', async () => {
    const open = gate();
    await using s = await tracedServers({ pause: () => open.promise });
    expect((await failure(read(s.stub.list('you', { timeout: 500 })))).code).toBe(
      'DEADLINE_EXCEEDED',
    );
    for (const one of await both('Front/list')) {
      expect(one.attributes['error.type']).toBe('DEADLINE_EXCEEDED');
      expect(one.status.code).toBe(SpanStatusCode.ERROR);
    }
    open.open();
  });

  test('that is cancelled before its handler has answered has spans that end once', async () => {
    const open = gate();
    let hasStarted = false;
    const Slow = contract('Slow', { list: serverStream<void, number>() });
    const slow = implement(Slow, {
      async list() {
        hasStarted = true;
        await open.promise;
        return [1, 2, 3];
      },
    });
    const server = await serve(freeMemory(), [slow], { interceptors: [tracing()] });
    const client = await connect(server.address, { reconnect: false, interceptors: [tracing()] });
    const stop = new AbortController();
    const failed = failure(
      client.stub(Slow).list(undefined, { signal: stop.signal })[Symbol.asyncIterator]().next(),
    );
    await until(() => hasStarted, 'the handler has started');
    stop.abort();
    expect((await failed).code).toBe('CANCELLED');
    const [made, served] = await both('Slow/list');
    expect([made.status.code, served.status.code]).toEqual([
      SpanStatusCode.ERROR,
      SpanStatusCode.UNSET,
    ]);
    expect(served.attributes['error.type']).toBe('CANCELLED');
    open.open();
    await client.close();
    await server.close();
    expect(exporter.getFinishedSpans()).toHaveLength(2);
  });

  test('has spans for each kind of method, and for a handler that returns an array', async () => {
    await using s = await tracedServers();
    expect(await s.stub.sum([1, 2, 3])).toBe(6);
    expect(await read(s.stub.echo(['a', 'b']))).toEqual(['a', 'b']);
    for (const method of ['Front/sum', 'Front/echo']) {
      const [made, served] = await both(method);
      expect(parentOf(served)).toBe(idOf(made));
      expect(served.status.code).toBe(SpanStatusCode.UNSET);
    }
    const Plain = contract('Plain', {
      list: serverStream<void, number>(),
      none: serverStream<void, number>(),
    });
    const plain = implement(Plain, { list: () => [1, 2], none: () => 7 as unknown as number[] });
    const server = await serve(freeMemory(), [plain], { interceptors: [tracing()] });
    const client = await connect(server.address, { reconnect: false });
    const got: number[] = [];
    for await (const number of client.stub(Plain).list()) got.push(number);
    expect(got).toEqual([1, 2]);
    expect((await span('Plain/list', SpanKind.SERVER)).status.code).toBe(SpanStatusCode.UNSET);
    expect((await failure(client.stub(Plain).none()[Symbol.asyncIterator]().next())).code).toBe(
      'INTERNAL',
    );
    expect((await span('Plain/none', SpanKind.SERVER)).attributes['error.type']).toBe('INTERNAL');
    await client.close();
    await server.close();
  });
});

describe('a received call', () => {
  const ID = '0af7651916cd43dd8448eb211c80319c';
  const traceparent = `00-${ID}-b7ad6b7169203331-01`;

  test('without a trace context starts a trace, whatever context is active', async () => {
    await using s = await tracedServers({ client: null });
    const around = trace.getTracer('test').startSpan('around');
    await context.with(trace.setSpan(context.active(), around), () => s.stub.hop('you'));
    expect((await span('Front/hop', SpanKind.SERVER)).parentSpanContext).toBeUndefined();
    // A transport may call in the context in which it was opened.
    const served = {
      method: Back.methods.get('hello'),
      metadata: {},
      channel: {},
      signal: new AbortController().signal,
    } as unknown as Call;
    await context.with(trace.setSpan(context.active(), around), () =>
      tracing()(async () => 'done')(served),
    );
    expect((await span('Back/hello', SpanKind.SERVER, 1)).parentSpanContext).toBeUndefined();
    around.end();
  });

  test.each([
    '',
    'nonsense',
    '00-0-0-01',
    `00-${'0'.repeat(32)}-b7ad6b7169203331-01`,
    `00-${ID}-${'0'.repeat(16)}-01`,
    `ff-${ID}-b7ad6b7169203331-01`,
    `${traceparent}-more`,
    '0'.repeat(10_000),
  ])('with an invalid trace context (%#) starts a trace', async (forged) => {
    await using s = await tracedServers({ client: null });
    await s.stub.hop('you', { metadata: { traceparent: forged, tracestate: 'a=1' } });
    expect((await span('Front/hop', SpanKind.SERVER)).parentSpanContext).toBeUndefined();
  });

  test('continues the trace of its caller, or links to it with publicEndpoint', async () => {
    const options: CallOptions = { metadata: { traceparent } };
    for (const publicEndpoint of [false, true]) {
      exporter.reset();
      await using s = await tracedServers({ client: null, server: { publicEndpoint } });
      await s.stub.hop('you', options);
      const served = await span('Front/hop', SpanKind.SERVER);
      expect(served.spanContext().traceId === ID).toBe(!publicEndpoint);
      expect(served.links.map((link) => link.context.traceId)).toEqual(publicEndpoint ? [ID] : []);
      expect((await span('Back/hello', SpanKind.SERVER)).spanContext().traceId).toBe(
        served.spanContext().traceId,
      );
      if (publicEndpoint) await s.stub.hop('no link without a trace context');
    }
    expect((await span('Front/hop', SpanKind.SERVER, 1)).links).toEqual([]);
  });
});

describe('without recording', () => {
  test('propagates the trace context when no span is sampled', async () => {
    await tearDown();
    setUp({ sampler: new AlwaysOffSampler() });
    await using s = await tracedServers();
    expect((await s.stub.metadata()).traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
    expect(await read(s.stub.list('you'))).toHaveLength(2);
    expect(exporter.getFinishedSpans()).toEqual([]);
  });

  test('passes calls unchanged without an OpenTelemetry SDK', async () => {
    await tearDown();
    const interceptor = tracing();
    for (const more of [{}, { channel: {} }]) {
      const call = {
        method: [...Front.methods.values()][0],
        metadata: {},
        ...more,
      } as unknown as Call;
      const given: Call[] = [];
      const reply = Promise.resolve('reply');
      const next: Invoke = (passed) => {
        given.push(passed);
        return reply;
      };
      expect(interceptor(next)(call)).toBe(reply);
      expect(given[0]).toBe(call);
    }
    await using s = await tracedServers();
    expect(await s.stub.metadata()).toEqual({});
    expect(await s.stub.hop('you')).toBe('hello, you');
  });
});

describe('tracing()', () => {
  test('may be called before the SDK is registered', async () => {
    await tearDown();
    const early = tracing();
    setUp();
    const server = await serve(freeMemory(), [implement(Back, { hello: (name) => name })], {
      interceptors: [early],
    });
    const client = await connect(server.address, { reconnect: false, interceptors: [early] });
    await client.stub(Back).hello('you');
    const [made, served] = await both('Back/hello');
    expect(parentOf(served)).toBe(idOf(made));
    expect(made.instrumentationScope.name).toBe('getty');
    await client.close();
    await server.close();
  });

  test('uses the given tracer, and throws BAD_OPTION for other values', async () => {
    await using s = await tracedServers({ client: { tracer: trace.getTracer('mine') } });
    await s.stub.hop('you');
    expect((await span('Front/hop', SpanKind.CLIENT)).instrumentationScope.name).toBe('mine');
    expect(() => tracing({ tracer: {} as Tracer })).toThrowError(
      expect.objectContaining({ code: 'BAD_OPTION' }),
    );
    expect(() => tracing({ publicEndpoint: 'no' as unknown as boolean })).toThrowError(
      expect.objectContaining({ code: 'BAD_OPTION' }),
    );
  });
});
