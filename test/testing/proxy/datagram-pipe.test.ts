/** What is under way in one direction of a client. */
import { describe, expect, test, vi } from 'vitest';
import { DatagramPipe } from '../../../src/testing/proxy/datagram-pipe.js';
import { type ProxyFaults, resolveFaults } from '../../../src/testing/proxy/faults.js';
import { fakeTime, pass } from '../../fixtures/fake-time.js';

function pipeWith(faults: ProxyFaults) {
  let sent = 0;
  const resolved = resolveFaults(faults, 'udp');
  const setup = { faults: () => resolved, random: () => 0, onBytes: () => undefined };
  const pipe = new DatagramPipe(1, 'toServer', setup, () => {
    sent++;
  });
  return {
    pipe,
    relay(count: number, size: number) {
      for (let at = 0; at < count; at++) pipe.relay(Buffer.alloc(size));
    },
    takeSent() {
      const count = sent;
      sent = 0;
      return count;
    },
  };
}

describe('a DatagramPipe', () => {
  fakeTime();

  test.each<[string, ProxyFaults, number, number]>([
    ['with latency', { latency: 1_000 }, 60_000, 17],
    ['with a low bandwidth', { bandwidth: 1_000_000 }, 60_000, 17],
    ['that are sent twice', { latency: 1_000, duplication: 1 }, 60_000, 16],
  ])('keeps up to 1 MiB of datagrams %s', async (_, faults, size, expected) => {
    const { relay, takeSent } = pipeWith(faults);
    relay(100, size);
    await pass(2_000);
    expect(takeSent()).toBe(expected);
    // There is room again.
    relay(1, size);
    await pass(2_000);
    expect(takeSent()).toBe(faults.duplication === 1 ? 2 : 1);
  });

  test('keeps up to 2,048 empty datagrams', () => {
    const { pipe, relay } = pipeWith({ latency: 1_000 });
    relay(3_000, 0);
    expect(vi.getTimerCount()).toBe(2_048);
    pipe.stop();
  });

  test('has room again for each datagram that another one has overtaken', async () => {
    const { relay, takeSent } = pipeWith({ reordering: 1 });
    for (let at = 0; at < 3_000; at++) {
      relay(2, 1_000);
      await pass(20);
      expect(takeSent()).toBe(2);
    }
  });

  test('delays no datagram without a fault', () => {
    const { relay, takeSent } = pipeWith({});
    relay(100, 60_000);
    expect(takeSent()).toBe(100);
  });
});
