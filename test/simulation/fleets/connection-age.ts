/** maxConnectionAge: how many sessions a fleet replaces, and what that costs the calls. */
import { consume, failfast } from '../../../src/micro/index.js';
import { staticRegistry } from '../../../src/registries/static/index.js';
import { simulate } from '../../../src/testing/simulation/index.js';
import { callAtRate, startNode, Work } from './work-nodes.js';

export interface ConnectionAgeFigures {
  readonly calls: number;
  readonly failures: number;
  /** The sessions that have made calls. */
  readonly sessions: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
}

const NODES = 4;

/** 500 calls a second of four nodes, without retries. `maxConnectionAge`: milliseconds. */
export async function measureConnectionAge(
  maxConnectionAge: number,
  seconds: number,
  seed = 1,
): Promise<ConnectionAgeFigures> {
  const { value } = await simulate({ seed }, async (simulation) => {
    const options = { time: () => 20, maxConnectionAge };
    const nodes = await Promise.all(
      Array.from({ length: NODES }, (_, i) => startNode(simulation, `node-${i}`, options)),
    );
    const registry = staticRegistry(nodes.map(({ address }) => address));
    const consumer = consume({ registry, strategy: failfast() });
    const stub = consumer.stub(Work);
    const outcomes = await callAtRate(simulation, () => stub.run(), 500, seconds);
    await consumer.close();
    for (const node of nodes) await node.close();
    return { outcomes, sessions: nodes.reduce((sum, { peers }) => sum + peers.size, 0) };
  });
  const { outcomes, sessions } = value;
  return {
    calls: outcomes.times.length + outcomes.failures,
    failures: outcomes.failures,
    sessions,
    p50: outcomes.percentile(0.5),
    p99: outcomes.percentile(0.99),
  };
}
