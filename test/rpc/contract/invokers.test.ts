/** Each kind of call over each transport, in both codecs. */
import { describe, expect, test } from 'vitest';
import {
  type CallContext,
  type CodecName,
  connect,
  contract,
  type Handlers,
  implement,
  type RpcClient,
  RpcError,
  type RpcServer,
  type Stub,
  serve,
} from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { Kinds as descriptor } from '../../fixtures/protobuf/kinds_pb.js';
import { channelOf, pendingOf } from '../../fixtures/rpc.js';
import { TRANSPORTS, type TransportRow } from '../../fixtures/transports.js';
import { gate, Inbox, turns, until } from '../../fixtures/waiting.js';

const Kinds = contract(descriptor, { oneway: ['Note'], noReply: ['Settle'] });
type Specs = NonNullable<(typeof Kinds)['specs']>;
type KindHandlers = Handlers<Specs>;

/** A timeout in milliseconds that never ends a call of these tests. */
const LONG = 300_000;

async function* numbers(from: number, to: number): AsyncGenerator<{ value: number }> {
  for (let value = from; value <= to; value++) yield { value };
}

const HANDLERS: KindHandlers = {
  double: ({ value }) => ({ value: value * 2 }),
  note: () => ({}),
  settle: () => ({}),
  count: ({ value }) => numbers(1, value),
  async sum(inputs) {
    let value = 0;
    for await (const input of inputs) value += input.value;
    return { value };
  },
  async *chat(inputs) {
    for await (const { text } of inputs) yield { text: `you said ${text}` };
  },
};

interface Pair extends AsyncDisposable {
  readonly server: RpcServer;
  readonly client: RpcClient;
  readonly stub: Stub<Specs>;
}

interface PairOptions {
  readonly handlers?: Partial<KindHandlers>;
  /** The handlers of the client. */
  readonly offered?: Partial<KindHandlers>;
  readonly streamWindow?: number;
  readonly maxMessageBytes?: number;
}

async function pairOf(
  row: TransportRow,
  codec: CodecName,
  { handlers, offered, streamWindow, maxMessageBytes }: PairOptions = {},
): Promise<Pair> {
  const options = {
    session: { ...row.options, ...(maxMessageBytes && { maxMessageBytes }) },
    ...(streamWindow && { streamWindow }),
  };
  const server = await serve(row.free(), [implement(Kinds, { ...HANDLERS, ...handlers })], {
    ...options,
    ...row.serverOptions,
  });
  const services = [implement(Kinds, { ...HANDLERS, ...offered })];
  const client = await connect(server.address, {
    ...options,
    ...row.clientOptions,
    reconnect: false,
    services,
  });
  return {
    server,
    client,
    stub: client.stub(Kinds, { codec }),
    async [Symbol.asyncDispose]() {
      client.destroy();
      server.destroy();
      await Promise.all([client.close(), server.close()]);
    },
  };
}

async function all<T>(messages: AsyncIterable<T>): Promise<T[]> {
  const got: T[] = [];
  for await (const message of messages) got.push(message);
  return got;
}

const failure = (promise: Promise<unknown>): Promise<RpcError> =>
  promise.then(
    () => Promise.reject(new Error('it did not fail')),
    (error) => error,
  );

const valuesOf = (messages: readonly { value: number }[]): number[] =>
  messages.map(({ value }) => value);

/** UDP has no streams, because datagrams arrive in any order. */
const hasStreams = ({ name }: TransportRow): boolean => name !== 'udp';

type Invoker = (row: TransportRow, codec: CodecName) => Promise<void>;

const INVOKERS: Readonly<Record<string, Invoker>> = {
  async unary(row, codec) {
    await using p = await pairOf(row, codec);
    expect((await p.stub.double({ value: 21 })).value).toBe(42);
  },

  async oneway(row, codec) {
    const noted = new Inbox<string>('a note');
    await using p = await pairOf(row, codec, {
      handlers: {
        note({ text }) {
          noted.push(text);
          return {};
        },
      },
    });
    await p.stub.note({ text: 'hello' });
    expect(await noted.next()).toBe('hello');
  },

  async noReply(row, codec) {
    const [begun, waiting] = [gate<string>(), gate()];
    await using p = await pairOf(row, codec, {
      handlers: {
        async settle({ text }) {
          begun.open(text);
          await waiting.promise;
          return { text: 'which nobody hears' };
        },
      },
    });
    let settled = false;
    const call = p.stub.settle({ text: 'hello' }).then((reply) => {
      settled = true;
      return reply;
    });
    expect(await begun.promise).toBe('hello');
    await turns(3);
    expect(settled).toBe(false);
    waiting.open();
    expect(await call).toBeUndefined();
  },

  async callback(row, codec) {
    await using p = await pairOf(row, codec);
    const reply = new Promise((resolve, reject) =>
      p.stub.double({ value: 2 }, (error, answer) =>
        error === null ? resolve(answer?.value) : reject(error),
      ),
    );
    expect(await reply).toBe(4);
  },

  async 'server stream'(row, codec) {
    await using p = await pairOf(row, codec);
    expect(valuesOf(await all(p.stub.count({ value: 1_000 })))).toEqual(
      Array.from({ length: 1_000 }, (_, i) => i + 1),
    );
    expect(await all(p.stub.count({ value: 0 }))).toEqual([]);
    expect(pendingOf(p.client)).toBe(0);
  },

  async 'client stream'(row, codec) {
    await using p = await pairOf(row, codec);
    expect((await p.stub.sum(numbers(1, 1_000))).value).toBe(500_500);
    expect((await p.stub.sum([{ value: 3 }, { value: 4 }])).value).toBe(7);
    expect((await p.stub.sum([])).value).toBe(0);
    expect(pendingOf(p.client)).toBe(0);
  },

  async 'duplex, one message at a time'(row, codec) {
    await using p = await pairOf(row, codec);
    const said = new Inbox<string>('something to say');
    async function* talk(): AsyncGenerator<{ text: string }> {
      for (;;) {
        const text = await said.next();
        if (text === 'bye') return;
        yield { text };
      }
    }
    const replies = p.stub.chat(talk())[Symbol.asyncIterator]();
    for (const text of ['one', 'two', 'three']) {
      said.push(text);
      expect((await replies.next()).value?.text).toBe(`you said ${text}`);
    }
    said.push('bye');
    expect((await replies.next()).done).toBe(true);
  },

  async 'does not send a call whose signal has aborted before'(row, codec) {
    const made: string[] = [];
    await using p = await pairOf(row, codec, {
      handlers: {
        double: () => ({ value: made.push('double') }),
        count: () => numbers(made.push('count'), 0),
      },
    });
    const signal = AbortSignal.abort('no');
    expect(await failure(p.stub.double({}, { signal }))).toMatchObject({
      code: 'CANCELLED',
      cause: 'no',
      unsent: true,
    });
    if (hasStreams(row))
      expect(await failure(all(p.stub.count({}, { signal })))).toMatchObject({
        code: 'CANCELLED',
        unsent: true,
      });
    await p.stub.settle({});
    expect(made).toEqual([]);
  },

  async 'aborts the handler’s signal when the caller cancels, and drops the reply'(row, codec) {
    const begun = new Inbox<CallContext>('a call');
    const aborted = new Inbox<string>('an aborted signal');
    const follow = (context: CallContext): void => {
      context.signal.addEventListener('abort', () => aborted.push(context.method.name));
      begun.push(context);
    };
    const untilAborted = (context: CallContext): Promise<never> => {
      follow(context);
      return new Promise((_, reject) =>
        context.signal.addEventListener('abort', () => reject(context.signal.reason)),
      );
    };
    let released = 0;
    await using p = await pairOf(row, codec, {
      handlers: {
        double: (_, context) => untilAborted(context),
        sum: (_, context) => untilAborted(context),
        async *count(_, context) {
          try {
            yield { value: 1 };
            await untilAborted(context);
          } finally {
            released++;
          }
        },
      },
    });
    // With compression the first call waits for the negotiation, which uses up its timeout.
    await until(
      () => [...p.client.channels].every(({ extended }) => extended === true),
      'the server has answered',
    );
    for (const name of hasStreams(row) ? ['Double', 'Sum', 'Count'] : ['Double']) {
      const controller = new AbortController();
      const { signal } = controller;
      const call =
        name === 'Double'
          ? p.stub.double({}, { signal })
          : name === 'Sum'
            ? p.stub.sum(numbers(1, 3), { signal })
            : all(p.stub.count({}, { signal }));
      const failed = failure(call as Promise<unknown>);
      const { method, timeout } = await begun.next();
      expect([method.name, timeout]).toEqual([name, name === 'Double' ? 5_000 : undefined]);
      controller.abort('enough');
      expect(await failed).toMatchObject({ code: 'CANCELLED', cause: 'enough', unsent: false });
      expect(await aborted.next()).toBe(name);
    }
    if (hasStreams(row)) await until(() => released === 1, 'the generator was let go of');
    expect(pendingOf(p.client)).toBe(0);
    await until(() => [...p.server.channels][0]?.serving === 0, 'the server has nothing under way');
  },

  async 'ends the stream at the server when the loop breaks'(row, codec) {
    const over = gate();
    await using p = await pairOf(row, codec, {
      handlers: {
        async *count() {
          try {
            for (let value = 1; ; value++) yield { value };
          } finally {
            over.open();
          }
        },
      },
    });
    let last = 0;
    for await (const { value } of p.stub.count({})) {
      last = value;
      if (value === 10) break;
    }
    expect(last).toBe(10);
    await over.promise;
    await until(() => [...p.server.channels][0]?.serving === 0, 'the server has nothing under way');
    expect(pendingOf(p.client)).toBe(0);
  },

  async 'fails the call and aborts the handler’s signal at the deadline'(row, codec) {
    const reasons = new Inbox<unknown>('an aborted signal');
    const never = (context: CallContext): Promise<never> =>
      new Promise((_, reject) => {
        context.signal.addEventListener('abort', () => {
          reasons.push(context.signal.reason);
          reject(context.signal.reason);
        });
      });
    await using p = await pairOf(row, codec, {
      handlers: {
        double: (_, context) => never(context),
        sum: (_, context) => never(context),
        count: (_, context) => never(context),
      },
    });
    // Then the client knows the capabilities of its peer.
    await p.stub.settle({});
    const options = { timeout: 40 };
    const streaming = hasStreams(row)
      ? [() => p.stub.sum([], options), () => all(p.stub.count({}, options))]
      : [];
    for (const call of [() => p.stub.double({}, options), ...streaming]) {
      expect(await failure(call() as Promise<unknown>)).toMatchObject({
        code: 'DEADLINE_EXCEEDED',
      });
      expect(await reasons.next()).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    }
  },

  async 'fails only the call whose message is too large'(row, codec) {
    const large = 'x'.repeat(40_000);
    await using p = await pairOf(row, codec, {
      maxMessageBytes: 20_000,
      handlers: {
        chat: () => [{ text: 'small' }, { text: large }],
        double: () => Promise.reject(new RpcError('ABORTED', large)),
      },
    });
    expect(await failure(p.stub.note({ text: large }))).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      unsent: true,
    });
    if (hasStreams(row)) {
      expect(await failure(all(p.stub.chat([])))).toMatchObject({ code: 'RESOURCE_EXHAUSTED' });
      expect(await failure(all(p.stub.chat([{ text: large }])))).toMatchObject({
        code: expect.stringMatching(/CANCELLED|RESOURCE_EXHAUSTED/),
      });
    }
    const { code, message } = await failure(p.stub.double({}));
    expect([code, message.length < 20_000]).toEqual(['ABORTED', true]);
    await p.stub.note({ text: 'small' });
    if (hasStreams(row)) expect((await p.stub.sum([{ value: 1 }])).value).toBe(1);
  },

  async 'keeps the code of an error and fails no other call'(row, codec) {
    await using p = await pairOf(row, codec, {
      handlers: {
        double({ value }) {
          if (value === 1)
            throw new RpcError('NOT_FOUND', 'no such number', {
              metadata: { hint: 'try 2' },
              details: Buffer.from([1, 2]),
            });
          throw 'a string';
        },
        async *count() {
          yield { value: 1 };
          throw new RpcError('ABORTED', 'half way');
        },
        sum() {
          throw new Error('at once');
        },
        chat: () => ({ text: 'no iterable' }) as never,
      },
    });
    const notFound = await failure(p.stub.double({ value: 1 }));
    expect(notFound).toMatchObject({
      code: 'NOT_FOUND',
      message: 'no such number',
      metadata: { hint: 'try 2' },
    });
    expect([...(notFound.details ?? [])]).toEqual([1, 2]);
    expect(await failure(p.stub.double({ value: 2 }))).toMatchObject({
      code: 'UNKNOWN',
      message: 'a string',
    });
    if (hasStreams(row)) {
      const got: number[] = [];
      const loop = async (): Promise<void> => {
        for await (const { value } of p.stub.count({})) got.push(value);
      };
      expect(await failure(loop())).toMatchObject({ code: 'ABORTED', message: 'half way' });
      expect(got.length).toBeLessThanOrEqual(1);
      expect(await failure(p.stub.sum(numbers(1, 100)))).toMatchObject({
        code: 'UNKNOWN',
        message: 'at once',
      });
      const noIterable = expect.stringContaining('a value that is not iterable');
      expect(await failure(all(p.stub.chat([])))).toMatchObject({
        code: 'INTERNAL',
        message: noIterable,
      });
    }
    await p.stub.settle({});
    expect(pendingOf(p.client)).toBe(0);
  },

  async 'cancels the call when its input fails, with the reason'(row, codec) {
    const ended = new Inbox<unknown>('the end of the input at the server');
    await using p = await pairOf(row, codec, {
      handlers: {
        async sum(inputs) {
          try {
            for await (const _ of inputs);
          } catch (error) {
            ended.push(error);
          }
          return {};
        },
      },
    });
    async function* broken(): AsyncGenerator<{ value: number }> {
      yield { value: 1 };
      throw new Error('the disk is full');
    }
    const error = await failure(p.stub.sum(broken()));
    expect(error).toMatchObject({
      code: 'CANCELLED',
      message: expect.stringContaining('the disk is full'),
      cause: { message: 'the disk is full' },
    });
    expect(await ended.next()).toMatchObject({ code: 'CANCELLED' });
    expect(await failure(p.stub.sum(7 as never))).toMatchObject({
      code: 'INVALID_ARGUMENT',
      unsent: true,
    });
    expect(pendingOf(p.client)).toBe(0);
  },

  async 'fails every call at once when the session is lost'(row, codec) {
    const begun = new Inbox<CallContext>('a call');
    const wait = (context: CallContext): Promise<never> => {
      begun.push(context);
      return new Promise(() => {});
    };
    await using p = await pairOf(row, codec, {
      handlers: {
        double: (_, context) => wait(context),
        sum: (_, context) => wait(context),
        count: (_, context) => wait(context),
      },
    });
    const calls = [
      p.stub.double({}, { timeout: LONG }),
      p.stub.sum(numbers(1, 2)),
      all(p.stub.count({})),
    ].map((call) => failure(call as Promise<unknown>));
    const contexts = await begun.take(3);
    p.server.destroy();
    for (const call of calls)
      expect(await call).toMatchObject({ code: 'UNAVAILABLE', unsent: false });
    await until(() => contexts.every(({ signal }) => signal.aborted), 'every signal has aborted');
    expect(pendingOf(p.client)).toBe(0);
  },

  async 'calls the client from the server, with every kind of method'(row, codec) {
    const noted = new Inbox<string>('a note');
    await using p = await pairOf(row, codec, {
      offered: {
        note({ text }) {
          noted.push(text);
          return {};
        },
      },
    });
    const back = (await channelOf(p.server)).stub(Kinds, { codec });
    expect((await back.double({ value: 4 })).value).toBe(8);
    await back.note({ text: 'to the client' });
    expect(await noted.next()).toBe('to the client');
    expect(await back.settle({})).toBeUndefined();
    if (!hasStreams(row)) return;
    expect(valuesOf(await all(back.count({ value: 5 })))).toEqual([1, 2, 3, 4, 5]);
    expect((await back.sum(numbers(1, 10))).value).toBe(55);
    expect(await all(back.chat([{ text: 'a' }, { text: 'b' }]))).toMatchObject([
      { text: 'you said a' },
      { text: 'you said b' },
    ]);
  },

  async 'passes deadline and cancellation to nested calls'(row, codec) {
    const inner = new Inbox<CallContext>('an inner call');
    await using p = await pairOf(row, codec, {
      handlers: {
        double: async (input, context) => ({
          value:
            (await context.channel.stub(Kinds, { codec }).double(input, { parent: context }))
              .value + 1,
        }),
      },
      offered: {
        async double({ value }, context) {
          inner.push(context);
          if (value > 0) return { value: value * 10 };
          return new Promise<never>((_, reject) =>
            context.signal.addEventListener('abort', () => reject(context.signal.reason)),
          );
        },
      },
    });
    expect((await p.stub.double({ value: 2 }, { timeout: 3_000 })).value).toBe(21);
    const { timeout = LONG } = await inner.next();
    expect(timeout).toBeLessThanOrEqual(3_000);
    const controller = new AbortController();
    const call = failure(p.stub.double({ value: 0 }, { timeout: LONG, signal: controller.signal }));
    const { signal } = await inner.next();
    controller.abort();
    expect(await call).toMatchObject({ code: 'CANCELLED' });
    await until(() => signal.aborted, 'the innermost signal has aborted');
  },

  async 'carries metadata in both directions'(row, codec) {
    await using p = await pairOf(row, codec, {
      handlers: {
        double({ value }, { metadata, replyMetadata }) {
          replyMetadata.seen = metadata.trace ?? 'nothing';
          Object.defineProperty(replyMetadata, '__proto__', {
            value: 'a key like any other',
            enumerable: true,
          });
          return { value };
        },
        async *count(_, { replyMetadata }) {
          yield { value: 1 };
          replyMetadata.count = 'one';
        },
        async sum(_, { replyMetadata }) {
          replyMetadata.sum = 'none';
          return {};
        },
      },
    });
    const told: Record<string, string>[] = [];
    const onMetadata = (metadata: Readonly<Record<string, string>>): void =>
      void told.push({ ...metadata });
    await p.stub.double({ value: 1 }, { metadata: { trace: 'träce' }, onMetadata });
    await p.stub.settle({}, { onMetadata });
    expect(told).toHaveLength(1);
    expect(told[0]?.seen).toBe('träce');
    expect(Object.keys(told[0] ?? {}).sort()).toEqual(['__proto__', 'seen'].sort());
    if (!hasStreams(row)) return;
    await all(p.stub.count({}, { onMetadata }));
    await p.stub.sum([], { onMetadata });
    expect(told.slice(1)).toEqual([{ count: 'one' }, { sum: 'none' }]);
  },

  async 'blocks only the stream of a slow reader'(row, codec) {
    const text = 'x'.repeat(10_000);
    let sent = 0;
    async function* many(): AsyncGenerator<{ text: string }> {
      for (; sent < 1_000; sent++) yield { text };
    }
    await using p = await pairOf(row, codec, {
      streamWindow: 65_536,
      handlers: { chat: () => many() },
    });
    const slow = p.stub.chat([])[Symbol.asyncIterator]();
    await slow.next();
    const before = sent;
    await turns(20);
    // The window, one message more, and the messages that the reader has taken.
    expect(sent).toBeLessThanOrEqual(9);
    expect(before).toBeLessThanOrEqual(9);
    for (let i = 0; i < 20; i++) expect((await p.stub.double({ value: i })).value).toBe(2 * i);
    let got = 1;
    while (!(await slow.next()).done) got++;
    expect(got).toBe(1_000);
  },

  async 'blocks only the stream that the server does not read'(row, codec) {
    const release = gate();
    let sent = 0;
    async function* upload(): AsyncGenerator<{ text: string }> {
      for (; sent < 200; sent++) yield { text: 'x'.repeat(10_000) };
    }
    await using p = await pairOf(row, codec, {
      streamWindow: 65_536,
      handlers: {
        async *chat(inputs) {
          await release.promise;
          let bytes = 0;
          for await (const { text } of inputs) bytes += text.length;
          yield { text: String(bytes) };
        },
      },
    });
    const call = all(p.stub.chat(upload()));
    await until(() => sent > 5, 'the window is full');
    await turns(20);
    expect(sent).toBeLessThanOrEqual(9);
    expect((await p.stub.double({ value: 1 })).value).toBe(2);
    release.open();
    expect(await call).toMatchObject([{ text: '2000000' }]);
  },

  async 'runs many calls of each kind at once'(row, codec) {
    await using p = await pairOf(row, codec);
    await Promise.all(
      Array.from({ length: 60 }, async (_, i) => {
        if (i % 3 === 0)
          expect(valuesOf(await all(p.stub.count({ value: i })))).toEqual(
            Array.from({ length: i }, (_, n) => n + 1),
          );
        else if (i % 3 === 1)
          expect((await p.stub.sum(numbers(1, i))).value).toBe((i * (i + 1)) / 2);
        else
          expect(
            (await all(p.stub.chat(Array.from({ length: i }, (_, n) => ({ text: `${n}` })))))
              .length,
          ).toBe(i);
      }),
    );
    expect(pendingOf(p.client)).toBe(0);
    await until(() => [...p.server.channels][0]?.serving === 0, 'the server has nothing under way');
  },
};

/** The invokers that UDP cannot run, with the reason. Other invokers skip their streams on UDP. */
const NEEDS_ORDER = 'streams need an ordered transport';
const SKIPPED_ON_UDP: Readonly<Record<string, string>> = {
  'server stream': NEEDS_ORDER,
  'client stream': NEEDS_ORDER,
  'duplex, one message at a time': NEEDS_ORDER,
  'ends the stream at the server when the loop breaks': NEEDS_ORDER,
  'cancels the call when its input fails, with the reason': NEEDS_ORDER,
  'fails every call at once when the session is lost': 'UDP does not report a lost session',
  'blocks only the stream of a slow reader': NEEDS_ORDER,
  'blocks only the stream that the server does not read': NEEDS_ORDER,
  'runs many calls of each kind at once': NEEDS_ORDER,
};

describe.each(TRANSPORTS)('$name', (row) => {
  noLeaks();
  describe.each(['json', 'protobuf'] as const)('%s', (codec) => {
    for (const [name, invoke] of Object.entries(INVOKERS)) {
      const reason = row.name === 'udp' ? SKIPPED_ON_UDP[name] : undefined;
      if (reason === undefined) test(name, () => invoke(row, codec));
      else test.skip(`${name} (${reason})`, () => {});
    }
  });
});
