/** The cost of a pick does not grow with the number of nodes. */
import { describe, expect, it } from 'vitest';
import {
  consistentHash,
  p2cEwma,
  random,
  roundRobin,
  weighted,
} from '../../../src/micro/balancers/index.js';
import type { Balancer, NodeLoad, ServiceNode } from '../../../src/micro/types.js';
import type { Call } from '../../../src/rpc/types.js';
import { idle, many } from './balancer-nodes.js';

describe('the cost of a pick', () => {
  /** How often a picker reads from the list and from loads in `picks` picks. */
  function readsOf(balancer: Balancer, size: number, picks = 1000): number {
    let count = 0;
    const nodes = new Proxy(many(size), {
      get(list, key) {
        count++;
        return Reflect.get(list, key);
      },
    });
    const picker = balancer();
    const load = ({ id }: ServiceNode): NodeLoad => {
      count++;
      return { ...idle(), inFlight: 1, latency: 1 + Number(id.slice(1)) };
    };
    // Reads that happen once for each list do not count.
    picker(nodes, { input: 'first' } as Call, load);
    count = 0;
    for (let i = 0; i < picks; i++) picker(nodes, { input: `${i}` } as Call, load);
    return count;
  }

  it.each<[string, Balancer]>([
    ['random', random()],
    ['roundRobin', roundRobin()],
    ['weighted', weighted()],
    ['p2cEwma', p2cEwma()],
    ['consistentHash', consistentHash((call) => call.input as string)],
  ])('of %s with 1,000 nodes is at most 1.5 times that with 10', (_, balancer) => {
    const few = readsOf(balancer, 10);
    expect(readsOf(balancer, 1000)).toBeLessThanOrEqual(1.5 * few);
  });

  it('is too high for a picker that reads all nodes', () => {
    const slow: Balancer = () => (nodes) =>
      nodes.reduce((best, each) => (each.id > best.id ? each : best));
    expect(readsOf(slow, 1000, 10)).toBeGreaterThan(50 * readsOf(slow, 10, 10));
  });
});
