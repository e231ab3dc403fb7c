/** adaptiveLimit(): what an overloaded server answers in time. */
import {
  adaptiveLimit,
  concurrencyLimit,
  connect,
  type Interceptor,
} from '../../../src/rpc/index.js';
import { simulate } from '../../../src/testing/simulation/index.js';
import { callAtRate, exponential, type Outcomes, startNode, Work } from './work-nodes.js';

export const LIMITS: Readonly<Record<string, () => Interceptor[]>> = {
  none: () => [],
  'concurrencyLimit()': () => [concurrencyLimit()],
  'adaptiveLimit()': () => [adaptiveLimit()],
};

export interface OverloadFigures {
  /** Calls a second that were answered within their timeout. */
  readonly answered: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
  /** The parts of the calls that were refused, and that were late, from 0 to 1. */
  readonly refused: number;
  readonly late: number;
  /** The part of the calls with the priority 9 that were answered in time, from 0 to 1. */
  readonly importantAnswered: number;
}

/** The server works on ten calls at the same time, for 10 ms each on average: 1,000 a second. */
const SLOTS = 10;
const WORK = 10;
/** Milliseconds. */
const TIMEOUT = 500;
const IMPORTANT_SHARE = 0.1;
/** Seconds before the calls count. */
const WARM_UP = 2;

/** `perSecond`: the calls of a second, of which a tenth has the priority 9. */
export async function measureOverload(
  interceptors: Interceptor[],
  perSecond: number,
  seconds: number,
  seed = 1,
): Promise<OverloadFigures> {
  const { value } = await simulate({ seed }, async (simulation) => {
    const time = (): number => exponential(simulation, WORK);
    const node = await startNode(simulation, 'server', { slots: SLOTS, time, interceptors });
    const client = await connect(node.address);
    const stub = client.stub(Work);
    const callFor = async (duration: number): Promise<readonly [Outcomes, Outcomes]> =>
      Promise.all([
        callAtRate(
          simulation,
          () => stub.run(undefined, { timeout: TIMEOUT }),
          perSecond * (1 - IMPORTANT_SHARE),
          duration,
        ),
        callAtRate(
          simulation,
          () => stub.run(undefined, { timeout: TIMEOUT, metadata: { priority: '9' } }),
          perSecond * IMPORTANT_SHARE,
          duration,
        ),
      ]);
    await callFor(WARM_UP);
    const outcomes = await callFor(seconds);
    await client.close();
    await node.close();
    return outcomes;
  });
  const [usual, important] = value;
  usual.times.push(...important.times);
  const all = perSecond * seconds;
  const failed = (code: string): number =>
    ((usual.failed[code] ?? 0) + (important.failed[code] ?? 0)) / all;
  return {
    answered: usual.times.length / seconds,
    p50: usual.percentile(0.5),
    p99: usual.percentile(0.99),
    refused: failed('RESOURCE_EXHAUSTED'),
    late: failed('DEADLINE_EXCEEDED'),
    importantAnswered: important.times.length / (all * IMPORTANT_SHARE),
  };
}
