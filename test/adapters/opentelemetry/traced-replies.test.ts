/** The spans of streaming calls. */
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { describe, expect, test } from 'vitest';
import { tracing } from '../../../src/adapters/opentelemetry/index.js';
import { connect, contract, implement, serve, serverStream } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { freeMemoryAddress } from '../../fixtures/rpc.js';
import {
  both,
  exporter,
  failure,
  idOf,
  parentOf,
  read,
  recordSpans,
  span,
  tracedServers,
  traces,
} from '../../fixtures/traced-servers.js';
import { gate, until } from '../../fixtures/waiting.js';

noLeaks();
recordSpans();

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
    const server = await serve(freeMemoryAddress(), [slow], { interceptors: [tracing()] });
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

  test.each([
    ['is cancelled', 'CANCELLED'],
    ['reaches its deadline', 'DEADLINE_EXCEEDED'],
  ])('that nobody reads has a span that ends when it %s', async (_, code) => {
    const open = gate();
    await using s = await tracedServers({ pause: () => open.promise });
    const stop = new AbortController();
    const isCancelled = code === 'CANCELLED';
    const options = isCancelled ? { signal: stop.signal } : { timeout: 300 };
    const replies = s.stub.list('you', options)[Symbol.asyncIterator]();
    const step = replies.next().catch(() => {});
    if (isCancelled) {
      await step;
      stop.abort();
    }
    expect((await span('Front/list', SpanKind.CLIENT)).attributes['error.type']).toBe(code);
    open.open();
    await step;
  });

  test('whose source cannot be iterated has a span that ends', async () => {
    const Odd = contract('Odd', {
      sync: serverStream<void, string>(),
      broken: serverStream<void, string>(),
    });
    const odd = implement(Odd, {
      sync: () => Object.assign(['a', 'b'], { [Symbol.asyncIterator]: undefined }) as string[],
      broken: () => ({
        [Symbol.asyncIterator]() {
          throw new Error('no items');
        },
      }),
    });
    await using server = await serve(freeMemoryAddress(), [odd], { interceptors: [tracing()] });
    await using client = await connect(server.address, { reconnect: false });
    expect(await read(client.stub(Odd).sync())).toEqual(['a', 'b']);
    await span('Odd/sync', SpanKind.SERVER);
    expect((await failure(read(client.stub(Odd).broken()))).message).toBe('no items');
    expect((await span('Odd/broken', SpanKind.SERVER)).attributes['error.type']).toBe('UNKNOWN');
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
    const server = await serve(freeMemoryAddress(), [plain], { interceptors: [tracing()] });
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
