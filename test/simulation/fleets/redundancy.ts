/** fork() and broadcast(): the latency of a fleet with slow calls, and the calls that it costs. */
import {
  broadcast,
  consume,
  failover,
  fork,
  hedge,
  type Strategy,
} from '../../../src/micro/index.js';
import { staticRegistry } from '../../../src/registries/static/index.js';
import { simulate } from '../../../src/testing/simulation/index.js';
import { callAtRate, startNode, Work } from './work-nodes.js';

export const REDUNDANCY_STRATEGIES: Readonly<Record<string, () => Strategy>> = {
  'failover()': failover,
  'hedge()': hedge,
  'fork()': fork,
  'fork({ nodes: 3 })': () => fork({ nodes: 3 }),
  'broadcast()': broadcast,
};

export interface Redundancy {
  readonly calls: number;
  readonly failures: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
  /** The calls that the nodes have received, for each call of the consumer. */
  readonly received: number;
}

const NODES = 5;
/** Milliseconds of a usual call, and of one of a hundred. */
const USUAL = 5;
const SLOW = 300;

/** 200 calls a second of five nodes, of which each takes 300 ms for one of a hundred calls. */
export async function measureRedundancy(
  strategy: Strategy,
  seconds: number,
  seed = 1,
): Promise<Redundancy> {
  const { value } = await simulate({ seed }, async (simulation) => {
    const { random } = simulation;
    const time = (): number => (random.chance(0.01) ? SLOW : USUAL);
    const nodes = await Promise.all(
      Array.from({ length: NODES }, (_, i) => startNode(simulation, `node-${i}`, { time })),
    );
    const registry = staticRegistry(nodes.map(({ address }) => address));
    const consumer = consume({ registry, strategy });
    const stub = consumer.stub(Work);
    const outcomes = await callAtRate(simulation, () => stub.run(), 200, seconds);
    await consumer.close();
    const received = nodes.reduce((sum, { calls }) => sum + calls, 0);
    for (const node of nodes) await node.close();
    return { outcomes, received };
  });
  const { outcomes, received } = value;
  const calls = outcomes.times.length + outcomes.failures;
  return {
    calls,
    failures: outcomes.failures,
    p50: outcomes.percentile(0.5),
    p99: outcomes.percentile(0.99),
    received: received / calls,
  };
}
