/** maxHandling: how many promises of onMessage may be pending. */
import { describe, expect, it } from 'vitest';
import { delimiter } from '../../src/transport/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { CONNECTED_TRANSPORTS, untilQuiet } from '../fixtures/session-probes.js';
import { pair } from '../fixtures/transports.js';
import { gate, turns, until, within } from '../fixtures/waiting.js';

describe.each(CONNECTED_TRANSPORTS)('maxHandling: $name', (row) => {
  noLeaks();
  const COUNT = 12;
  const MAX = 3;
  const sent = Array.from({ length: COUNT }, (_, i) => `${i}`);

  /**
   * A client that has sent COUNT messages to a server whose handlers wait until a test ends them.
   */
  async function busyPair() {
    const gates = sent.map(() => gate());
    const p = await pair(row, {
      serverSide: {
        maxHandling: MAX,
        on: { onMessage: (_, line) => gates[Number(line)]?.promise },
      },
    });
    for (const line of sent) p.clientSession.write(line);
    return { p, gates, [Symbol.asyncDispose]: () => p[Symbol.asyncDispose]() };
  }

  it.each<[string, (pending: number[]) => number]>([
    ['the oldest first', () => 0],
    ['the newest first', (pending) => pending.length - 1],
    ['one in the middle', (pending) => Math.floor(pending.length / 2)],
  ])(
    'stops reading at maxHandling pending promises, and continues as each settles: %s',
    async (_, choose) => {
      await using b = await busyPair();
      const pending = [0, 1, 2];
      const { messages } = b.p.serverEvents;
      await messages.take(MAX);
      while (pending.length > 0) {
        await untilQuiet();
        expect(messages.unread).toEqual([]);
        const [settled] = pending.splice(choose(pending), 1) as [number];
        if (settled % 2 === 0) b.gates[settled]?.open();
        else b.gates[settled]?.fail(new Error('the handler failed'));
        if (messages.all.length === COUNT) continue;
        const next = await messages.next();
        expect(next).toBe(`${messages.all.length - 1}`);
        pending.push(Number(next));
      }
      await until(
        () => b.p.serverEvents.errors.all.length === COUNT / 2,
        'half of the handlers have failed',
      );
      expect(b.p.serverEvents.errors.all.every((error) => error.code === 'HANDLER_FAILED')).toBe(
        true,
      );
      b.p.serverEvents.errors.dismiss();
      expect(messages.all).toEqual(sent);
    },
  );

  it('continues when all promises settle at once', async () => {
    await using b = await busyPair();
    await b.p.serverEvents.messages.take(MAX);
    for (const each of b.gates) each.open();
    expect(await b.p.serverEvents.messages.take(COUNT - MAX)).toEqual(sent.slice(MAX));
  });

  it('handles all messages of a peer that has ended, and then closes', async () => {
    await using b = await busyPair();
    await b.p.serverEvents.messages.take(MAX);
    const closing = b.p.clientSession.close();
    await untilQuiet();
    expect(b.p.serverEvents.log).toEqual(['open', ...Array(MAX).fill('message')]);
    for (const each of b.gates) each.open();
    await within(closing, 'the close');
    await b.p.serverEvents.closed.next();
    expect(b.p.serverEvents.messages.all).toEqual(sent);
    expect(b.p.serverEvents.log.at(-1)).toBe('close');
  });

  it('reads no message after pause() and resume() until a promise settles', async () => {
    await using b = await busyPair();
    await b.p.serverEvents.messages.take(MAX);
    b.p.serverSession.pause();
    b.p.serverSession.resume();
    await untilQuiet();
    expect(b.p.serverEvents.messages.unread).toEqual([]);
    b.p.serverSession.pause();
    b.gates[0]?.open();
    await untilQuiet();
    expect(b.p.serverEvents.messages.unread).toEqual([]);
    b.p.serverSession.resume();
    expect(await b.p.serverEvents.messages.next()).toBe('3');
    for (const each of b.gates) each.open();
    await b.p.serverEvents.messages.take(COUNT - MAX - 1);
  });

  it('does not limit synchronous handlers', async () => {
    await using p = await pair(row, { serverSide: { maxHandling: 1 } });
    for (const line of sent) p.clientSession.write(line);
    expect(await p.serverEvents.messages.take(COUNT)).toEqual(sent);
  });

  it('1 handles one message after the other', async () => {
    let running = 0;
    const counts: number[] = [];
    const onMessage = async (): Promise<void> => {
      counts.push(++running);
      await turns();
      running--;
    };
    await using p = await pair(row, { serverSide: { maxHandling: 1, on: { onMessage } } });
    for (const line of sent) p.clientSession.write(line);
    await p.serverEvents.messages.take(COUNT);
    expect(Math.max(...counts)).toBe(1);
  });

  it('leaves messages at the peer, and does not read them into memory', async () => {
    const working = gate();
    await using p = await pair<Buffer, Uint8Array, Buffer, Uint8Array>(row, {
      clientSide: {
        codec: delimiter('\n'),
        maxQueuedBytes: Number.POSITIVE_INFINITY,
        compression: 'none',
      },
      serverSide: {
        codec: delimiter('\n'),
        maxHandling: 1,
        on: { onMessage: () => working.promise },
        compression: 'none',
      },
    });
    const message = Buffer.alloc(10_000, 'x');
    for (let i = 0; i < 1_000; i++) p.clientSession.write(message);
    await p.serverEvents.messages.next();
    await untilQuiet();
    expect(p.serverSession.stats.bytesRead).toBeLessThan(3_000_000);
    working.open();
    await p.serverEvents.messages.take(999);
  });
});
