import { describe, expect, test } from 'vitest';
import type { ProxyFaults } from '../../../src/testing/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { elapse, until } from '../../fixtures/waiting.js';
import { proxiedEcho, UDP } from './proxied-echo.js';

noLeaks();

describe('faults of datagrams', () => {
  const COUNT = 200;

  /** Sends numbered datagrams, then other ones until one comes back. Returns what came before. */
  async function sendAll(faults: ProxyFaults, seed: number): Promise<string[]> {
    await using all = await proxiedEcho(faults, UDP, {}, {}, seed);
    const received = all.received.messages.all;
    for (let at = 0; at < COUNT; at++) {
      all.session.write(String(at));
      // A burst could exceed the buffer of the system.
      if (at % 10 === 9) await elapse(1);
    }
    while (!received.includes('last')) {
      all.session.write('last');
      await elapse(1);
    }
    return received.filter((text) => text !== 'last');
  }

  test('loss drops datagrams, and the seed determines which', async () => {
    const first = await sendAll({ toServer: { loss: 0.3 } }, 5);
    expect(first.length).toBeGreaterThan(COUNT / 2);
    expect(first.length).toBeLessThan(COUNT);
    expect(await sendAll({ toServer: { loss: 0.3 } }, 5)).toEqual(first);
    expect(await sendAll({ toServer: { loss: 0.3 } }, 6)).not.toEqual(first);
  });

  test('duplication delivers datagrams twice', async () => {
    const received = await sendAll({ toServer: { duplication: 1 } }, 1);
    expect(received.slice(0, 4)).toEqual(['0', '0', '1', '1']);
  });

  test('reordering lets the next datagram overtake', async () => {
    const received = await sendAll({ toServer: { reordering: 0.3 } }, 1);
    const inOrder = received.toSorted((a, b) => Number(a) - Number(b));
    expect(received).not.toEqual(inOrder);
    expect(new Set(received).size).toBeGreaterThan(COUNT * 0.9);
  });

  test('blocked and limit drop datagrams, latency delays them', async () => {
    await using all = await proxiedEcho({ toServer: { blocked: true } }, UDP);
    all.session.write('lost');
    await until(() => all.network.accepted === 1, 'the datagram');
    all.network.set({ latency: 20 });
    const before = performance.now();
    all.session.write('late');
    expect(await all.received.messages.next()).toBe('late');
    expect(performance.now() - before).toBeGreaterThanOrEqual(39);
    all.network.set({ toServer: { limit: 1 } });
    all.session.write('over the limit');
    await elapse(10);
    all.network.set({});
    all.session.write('end');
    expect(await all.received.messages.next()).toBe('end');
  });

  test('reset() gives each client another port at the server', async () => {
    await using all = await proxiedEcho({}, UDP);
    all.session.write('a');
    await all.received.messages.next();
    all.network.reset();
    all.session.write('b');
    expect(await all.received.messages.next()).toBe('b');
    expect(all.served.opened.all).toHaveLength(2);
  });
});
