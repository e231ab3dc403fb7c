/** zoneFirst(): which part of the calls stays in the own zone while nodes of it are missing. */
import { consume, roundRobin, zoneFirst } from '../../../src/micro/index.js';
import { staticRegistry } from '../../../src/registries/static/index.js';
import { simulate } from '../../../src/testing/simulation/index.js';
import { callAtRate, startNode, Work, type WorkNode } from './work-nodes.js';

export interface ZoneFigures {
  readonly calls: number;
  readonly failures: number;
  /** The part of the calls that nodes of the own zone have received, from 0 to 1. */
  readonly ownShare: number;
  /** Milliseconds. */
  readonly p50: number;
}

const ZONES = ['a', 'b', 'c'];
export const NODES_PER_ZONE = 6;
const CONSUMER = 'consumer';
/** Milliseconds of a packet within a zone, and between two zones. */
const NEAR = 0.25;
const FAR = 2;

/**
 * 200 calls a second of a consumer in zone `a`, without retries, after `killed` nodes of its zone
 * were killed. They stay in the list of the registry.
 */
export async function measureZones(
  isZoneFirst: boolean,
  killed: number,
  seconds: number,
  seed = 1,
): Promise<ZoneFigures> {
  const { value } = await simulate({ seed }, async (simulation) => {
    const { host, network, clock } = simulation;
    const nodes: { zone: string; node: WorkNode }[] = [];
    const consumerHost = host(CONSUMER);
    for (const zone of ZONES) {
      for (let i = 0; i < NODES_PER_ZONE; i++) {
        const name = `${zone}-${i}`;
        const node = await startNode(simulation, name, { time: () => 1 });
        network.between(name, consumerHost, { latency: zone === 'a' ? NEAR : FAR });
        nodes.push({ zone, node });
      }
    }
    const registry = staticRegistry(
      nodes.map(({ zone, node: { address } }) => ({ address, zone })),
    );
    return consumerHost.run(async () => {
      const balancer = isZoneFirst ? zoneFirst({ zone: 'a' }) : roundRobin();
      const consumer = consume({ registry, balancer });
      const call = (): Promise<unknown> => consumer.stub(Work).run();
      await callAtRate(simulation, call, 200, 1);
      const own = nodes.filter(({ zone }) => zone === 'a').map(({ node }) => node);
      for (const node of own.slice(0, killed)) node.kill();
      // The consumer learns of the lost connections.
      await clock.sleep(1_000);
      const before = own.reduce((sum, { calls }) => sum + calls, 0);
      const outcomes = await callAtRate(simulation, call, 200, seconds);
      const after = own.reduce((sum, { calls }) => sum + calls, 0);
      await consumer.close();
      for (const { node } of nodes) await node.close();
      return { outcomes, ownCalls: after - before };
    });
  });
  const { outcomes, ownCalls } = value;
  const calls = outcomes.times.length + outcomes.failures;
  return {
    calls,
    failures: outcomes.failures,
    ownShare: ownCalls / calls,
    p50: outcomes.percentile(0.5),
  };
}
