/** ConsumeOptions.subset: connections, even load, and what a change of the list moves. */
import { consume, type SubsetOptions } from '../../../src/micro/index.js';
import { staticRegistry } from '../../../src/registries/static/index.js';
import { simulate } from '../../../src/testing/simulation/index.js';
import { startNode, Work } from './work-nodes.js';

export interface SubsetFigures {
  readonly failures: number;
  /** All connections, and the fewest and the most of one node. */
  readonly connections: number;
  readonly fewest: number;
  readonly most: number;
  /** The connections that were opened because one node left the list. */
  readonly moved: number;
}

const NODES = 60;
const CONSUMERS = 40;
/** The calls of each consumer. So many let round robin use all nodes. */
const CALLS = NODES;

/** The ways to choose the subset of a consumer, by its number. */
export const SUBSETS: Readonly<Record<string, (index: number) => SubsetOptions | undefined>> = {
  none: () => undefined,
  'an integer': (index) => ({ size: 12, id: index }),
  'a string': (index) => ({ size: 12, id: `consumer-${index}` }),
};

/** 40 consumers with one connection to each of their nodes, of 60. */
export async function measureSubsets(
  subsetOf: (index: number) => SubsetOptions | undefined,
  seed = 1,
): Promise<SubsetFigures> {
  const { value } = await simulate({ seed }, async (simulation) => {
    const nodes = await Promise.all(
      Array.from({ length: NODES }, (_, i) =>
        startNode(simulation, `node-${i}`, { time: () => 1 }),
      ),
    );
    const addresses = nodes.map(({ address }) => address);
    const registry = staticRegistry(addresses);
    const consumers = Array.from({ length: CONSUMERS }, (_, i) =>
      consume({ registry, connections: 1, subset: subsetOf(i) }),
    );
    let failures = 0;
    const callAll = (): Promise<unknown> =>
      Promise.all(
        consumers.map(async (consumer) => {
          const stub = consumer.stub(Work);
          for (let i = 0; i < CALLS; i++)
            await stub.run().catch(() => {
              failures++;
            });
        }),
      );
    const peers = (): number => nodes.reduce((sum, node) => sum + node.peers.size, 0);
    await callAll();
    const sessions = nodes.map((node) => node.sessions());
    const before = peers();
    registry.update(addresses.filter((_, index) => index !== 20));
    await callAll();
    const moved = peers() - before;
    for (const consumer of consumers) await consumer.close();
    for (const node of nodes) await node.close();
    return { failures, sessions, moved };
  });
  const { failures, sessions, moved } = value;
  return {
    failures,
    connections: sessions.reduce((sum, count) => sum + count, 0),
    fewest: Math.min(...sessions),
    most: Math.max(...sessions),
    moved,
  };
}
