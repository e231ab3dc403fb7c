/** The spans of calls: parents, ends and errors, on both sides. */
import {
  context,
  propagation,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import { AlwaysOffSampler } from '@opentelemetry/sdk-trace-base';
import { describe, expect, test, vi } from 'vitest';
import { tracing } from '../../../src/adapters/opentelemetry/index.js';
import {
  type Call,
  type CallOptions,
  connect,
  type Invoke,
  implement,
  serve,
} from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { freeMemoryAddress } from '../../fixtures/rpc.js';
import {
  Back,
  both,
  exporter,
  Front,
  failure,
  idOf,
  parentOf,
  read,
  recordSpans,
  setUp,
  span,
  tearDown,
  tracedServers,
  traces,
} from '../../fixtures/traced-servers.js';
import { turns } from '../../fixtures/waiting.js';

noLeaks();
recordSpans();

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

describe('a part of the tracer that fails', () => {
  const fail = (): never => {
    throw new Error('no');
  };

  test.each<[string, Tracer | undefined]>([
    ['startSpan', { startSpan: fail } as unknown as Tracer],
    ['inject', undefined],
    ['extract', undefined],
    ['values of inject', undefined],
  ])('is a warning, and the call goes on: %s', async (name, tracer) => {
    const warnings: (string | undefined)[] = [];
    const onWarning = (warning: Error & { code?: string }): void =>
      void warnings.push(warning.code);
    process.on('warning', onWarning);
    if (name === 'values of inject')
      vi.spyOn(propagation, 'inject').mockImplementation((_, carrier) => {
        Object.assign(carrier as object, { baggage: undefined });
      });
    else if (name !== 'startSpan') vi.spyOn(propagation, name as 'inject').mockImplementation(fail);
    const interceptors = [tracing({ tracer })];
    const services = [implement(Back, { hello: (who) => who })];
    const server = await serve(freeMemoryAddress(), services, { interceptors });
    const client = await connect(server.address, { reconnect: false, interceptors });
    expect(await client.stub(Back).hello('you')).toBe('you');
    await client.close();
    await server.close();
    vi.restoreAllMocks();
    await turns(1);
    process.off('warning', onWarning);
    expect(new Set(warnings)).toEqual(new Set(['HANDLER_FAILED']));
  });
});

describe('tracing()', () => {
  test('may be called before the SDK is registered', async () => {
    await tearDown();
    const early = tracing();
    setUp();
    const server = await serve(freeMemoryAddress(), [implement(Back, { hello: (name) => name })], {
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
