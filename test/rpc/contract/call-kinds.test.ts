/** Each kind of call over each transport in both codecs. */
import { expect } from 'vitest';
import { channelOf, pendingOf } from '../../fixtures/rpc.js';
import { gate, Inbox, turns, until } from '../../fixtures/waiting.js';
import {
  collect,
  describeOverTransports,
  hasStreams,
  Kinds,
  numbers,
  pairOf,
  valuesOf,
} from './kinds.js';

describeOverTransports({
  async 'returns the reply of a unary call'(row, codec) {
    await using p = await pairOf(row, codec);
    expect((await p.stub.double({ value: 21 })).value).toBe(42);
  },

  async 'runs the handler of a oneway call'(row, codec) {
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

  async 'settles a call without reply when its handler has ended'(row, codec) {
    const [begun, waiting] = [gate<string>(), gate()];
    await using p = await pairOf(row, codec, {
      handlers: {
        async settle({ text }) {
          begun.open(text);
          await waiting.promise;
          return { text: 'which is not sent' };
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

  async 'calls the callback with the reply'(row, codec) {
    await using p = await pairOf(row, codec);
    const reply = new Promise((resolve, reject) =>
      p.stub.double({ value: 2 }, (error, answer) =>
        error === null ? resolve(answer?.value) : reject(error),
      ),
    );
    expect(await reply).toBe(4);
  },

  async 'reads a server stream'(row, codec) {
    await using p = await pairOf(row, codec);
    expect(valuesOf(await collect(p.stub.count({ value: 1_000 })))).toEqual(
      Array.from({ length: 1_000 }, (_, i) => i + 1),
    );
    expect(await collect(p.stub.count({ value: 0 }))).toEqual([]);
    expect(pendingOf(p.client)).toBe(0);
  },

  async 'sends a client stream'(row, codec) {
    await using p = await pairOf(row, codec);
    expect((await p.stub.sum(numbers(1, 1_000))).value).toBe(500_500);
    expect((await p.stub.sum([{ value: 3 }, { value: 4 }])).value).toBe(7);
    expect((await p.stub.sum([])).value).toBe(0);
    expect(pendingOf(p.client)).toBe(0);
  },

  async 'exchanges the messages of a duplex stream one at a time'(row, codec) {
    await using p = await pairOf(row, codec);
    const texts = new Inbox<string>('a message to send');
    async function* messages(): AsyncGenerator<{ text: string }> {
      for (;;) {
        const text = await texts.next();
        if (text === 'bye') return;
        yield { text };
      }
    }
    const replies = p.stub.chat(messages())[Symbol.asyncIterator]();
    for (const text of ['one', 'two', 'three']) {
      texts.push(text);
      expect((await replies.next()).value?.text).toBe(`you said ${text}`);
    }
    texts.push('bye');
    expect((await replies.next()).done).toBe(true);
  },

  async 'calls the client from the server, with every kind of method'(row, codec) {
    const noted = new Inbox<string>('a note');
    await using p = await pairOf(row, codec, {
      clientHandlers: {
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
    expect(valuesOf(await collect(back.count({ value: 5 })))).toEqual([1, 2, 3, 4, 5]);
    expect((await back.sum(numbers(1, 10))).value).toBe(55);
    expect(await collect(back.chat([{ text: 'a' }, { text: 'b' }]))).toMatchObject([
      { text: 'you said a' },
      { text: 'you said b' },
    ]);
  },

  async 'carries metadata in both directions'(row, codec) {
    await using p = await pairOf(row, codec, {
      handlers: {
        double({ value }, { metadata, replyMetadata }) {
          replyMetadata.seen = metadata.trace ?? 'nothing';
          Object.defineProperty(replyMetadata, '__proto__', {
            value: 'an ordinary key',
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
    const received: Record<string, string>[] = [];
    const onMetadata = (metadata: Readonly<Record<string, string>>): void =>
      void received.push({ ...metadata });
    await p.stub.double({ value: 1 }, { metadata: { trace: 'träce' }, onMetadata });
    await p.stub.settle({}, { onMetadata });
    expect(received).toHaveLength(1);
    expect(received[0]?.seen).toBe('träce');
    expect(Object.keys(received[0] ?? {}).sort()).toEqual(['__proto__', 'seen'].sort());
    if (!hasStreams(row)) return;
    await collect(p.stub.count({}, { onMetadata }));
    await p.stub.sum([], { onMetadata });
    expect(received.slice(1)).toEqual([{ count: 'one' }, { sum: 'none' }]);
  },

  async 'runs many calls of each kind at once'(row, codec) {
    await using p = await pairOf(row, codec);
    await Promise.all(
      Array.from({ length: 60 }, async (_, i) => {
        if (i % 3 === 0)
          expect(valuesOf(await collect(p.stub.count({ value: i })))).toEqual(
            Array.from({ length: i }, (_, n) => n + 1),
          );
        else if (i % 3 === 1)
          expect((await p.stub.sum(numbers(1, i))).value).toBe((i * (i + 1)) / 2);
        else
          expect(
            (await collect(p.stub.chat(Array.from({ length: i }, (_, n) => ({ text: `${n}` })))))
              .length,
          ).toBe(i);
      }),
    );
    expect(pendingOf(p.client)).toBe(0);
    await until(() => [...p.server.channels][0]?.serving === 0, 'the server handles no call');
  },
});
