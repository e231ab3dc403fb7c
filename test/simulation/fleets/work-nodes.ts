/** Nodes with a limited capacity, and calls of them at a constant rate. */
import {
  contract,
  implement,
  type RpcServerOptions,
  serve,
  unary,
} from '../../../src/rpc/index.js';
import type { Simulation } from '../../../src/testing/simulation/index.js';

export const Work = contract('Work', {
  run: unary<void, string>({ idempotent: true }),
});

export interface NodeOptions extends RpcServerOptions {
  /** The calls that the node works on at the same time; others wait. Default: Infinity. */
  readonly slots?: number;
  /** Milliseconds of work of the next call. */
  readonly time: () => number;
}

/** A node, and what it has counted. */
export interface WorkNode {
  readonly address: string;
  /** The calls that have begun. */
  calls: number;
  /** The addresses of the sessions that have made calls. */
  readonly peers: Set<string>;
  /** The open sessions. */
  sessions(): number;
  kill(): void;
  close(): Promise<void>;
}

/** Starts a node on a host of this name. */
export async function startNode(
  { host, clock }: Simulation,
  name: string,
  { slots = Number.POSITIVE_INFINITY, time, ...options }: NodeOptions,
): Promise<WorkNode> {
  let free = slots;
  const waiting: (() => void)[] = [];
  const run = async (peer: string): Promise<string> => {
    node.calls++;
    node.peers.add(peer);
    if (free > 0) free--;
    else await new Promise<void>((resolve) => void waiting.push(resolve));
    await clock.sleep(time());
    const next = waiting.shift();
    if (next === undefined) free++;
    else next();
    return name;
  };
  const address = `sim://${name}:1000`;
  const service = implement(Work, { run: (_, { peer }) => run(peer) });
  const server = host(name, () => serve(address, [service], options));
  const { channels } = await server.ready();
  const node: WorkNode = {
    address,
    calls: 0,
    peers: new Set(),
    sessions: () => channels.size,
    kill: () => server.kill(),
    close: async () => {
      if (server.state === 'running') await (await server.ready()).close();
    },
  };
  return node;
}

/** The outcomes of calls. */
export class Outcomes {
  /** Milliseconds of each successful call. */
  readonly times: number[] = [];
  /** Failed calls by code. */
  readonly failed: Record<string, number> = {};

  get failures(): number {
    return Object.values(this.failed).reduce((sum, count) => sum + count, 0);
  }

  /** Milliseconds that this part of the successful calls did not exceed. */
  percentile(part: number): number {
    const sorted = [...this.times].sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? Number.NaN;
  }
}

/**
 * Makes calls at this rate, in virtual time, whether or not earlier ones have ended. Resolves when
 * all have ended.
 */
export async function callAtRate(
  { clock }: Simulation,
  call: () => Promise<unknown>,
  perSecond: number,
  seconds: number,
): Promise<Outcomes> {
  const outcomes = new Outcomes();
  const calls: Promise<void>[] = [];
  const start = clock.now;
  for (let count = 0; count < perSecond * seconds; count++) {
    const due = start + (count * 1_000) / perSecond;
    if (due > clock.now) await clock.sleep(due - clock.now);
    const startTime = clock.now;
    calls.push(
      call().then(
        () => void outcomes.times.push(clock.now - startTime),
        ({ code }) => {
          outcomes.failed[code] = (outcomes.failed[code] ?? 0) + 1;
        },
      ),
    );
  }
  await Promise.all(calls);
  return outcomes;
}

/** A random time with this mean, in milliseconds, distributed exponentially. */
export function exponential({ random }: Simulation, mean: number): number {
  return -mean * Math.log(1 - random());
}
