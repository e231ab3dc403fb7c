/** Streams whose reader is slow, over each transport in both codecs. */
import { expect } from 'vitest';
import { gate, turns, until } from '../../fixtures/waiting.js';
import { collect, describeOverTransports, pairOf } from './kinds.js';

describeOverTransports({
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
    // The window, one more message, and the messages that were read.
    expect(sent).toBeLessThanOrEqual(9);
    expect(before).toBeLessThanOrEqual(9);
    for (let i = 0; i < 20; i++) expect((await p.stub.double({ value: i })).value).toBe(2 * i);
    let count = 1;
    while (!(await slow.next()).done) count++;
    expect(count).toBe(1_000);
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
    const call = collect(p.stub.chat(upload()));
    await until(() => sent > 5, 'the window is full');
    await turns(20);
    expect(sent).toBeLessThanOrEqual(9);
    expect((await p.stub.double({ value: 1 })).value).toBe(2);
    release.open();
    expect(await call).toMatchObject([{ text: '2000000' }]);
  },
});
