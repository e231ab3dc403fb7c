/** simulate(): runs a scenario in virtual time on a simulated network. */

import { gettyError } from '../../core/errors.js';
import {
  badOption,
  checkNames,
  checkNumber,
  checkObject,
  type NamesOf,
} from '../../core/options.js';
import { checkSignal } from '../../core/signals.js';
import { addTransport, wrapTransport } from '../../transport/node.js';
import { CreationStack } from '../creation-stack.js';
import { createVirtualClock } from './clock.js';
import { startTracking, stopTracking } from './context.js';
import { parseDuration } from './durations.js';
import { installGlobals } from './globals/globals.js';
import { simudp } from './network/datagrams.js';
import { checkLink } from './network/link.js';
import { SimulatedNetwork } from './network/network.js';
import {
  explainingHosts,
  refusingInSimulation,
  SYSTEM_SCHEMES,
} from './network/real-transports.js';
import { sim } from './network/streams.js';

import { type End, type Scenario, SimulationRun } from './run.js';
import { checkRuntime } from './runtime-checks.js';
import { StackRecorder } from './stall-report.js';
import type { SimulationOptions, SimulationResult } from './types.js';
import { World } from './world.js';

addTransport('sim', 'sim://host:port', sim);
addTransport('simudp', 'simudp://host:port', simudp);
for (const scheme of SYSTEM_SCHEMES) wrapTransport(scheme, refusingInSimulation);
wrapTransport('memory', explainingHosts);

export const SIMULATION_DEFAULTS = {
  seed: 1,
  /** One hour, in ms. Without `duration`. */
  limit: 3_600_000,
  /** 2024-01-01T00:00:00Z. */
  startDate: 1_704_067_200_000,
};

const OPTION_NAMES = {
  seed: true,
  duration: true,
  limit: true,
  signal: true,
  startDate: true,
  link: true,
  onTrace: true,
  stacks: true,
} satisfies NamesOf<SimulationOptions>;

/** A simulation that runs: one at a time, because the globals of the process are replaced. */
let active: Active | undefined;

interface Active {
  /** The stack of the code that has started it. */
  readonly stack: CreationStack;
  readonly seed: number;
  readonly signal: AbortSignal | undefined;
  /** Resolves when the next simulation can begin. */
  readonly isOver: Promise<void>;
}

/** Such as `at /app/test/orders.test.ts:12:9`. */
function placeOf({ stack }: Active): string {
  return stack.programFrames[0]?.trim() ?? 'at an unknown place';
}

function checkOptions(options: SimulationOptions): void {
  checkObject('options of simulate()', options);
  checkNames('simulate()', options, OPTION_NAMES);
  const { seed, startDate, link, onTrace, stacks, signal } = options;
  if (seed !== undefined && !Number.isSafeInteger(seed))
    throw badOption('seed', seed, 'an integer');
  if (startDate !== undefined) checkNumber('startDate', startDate, 0, 8.64e15);
  if (link !== undefined) checkLink('link', link);
  if (onTrace !== undefined && typeof onTrace !== 'function')
    throw badOption('onTrace', onTrace, 'a function');
  if (stacks !== undefined && typeof stacks !== 'boolean')
    throw badOption('stacks', stacks, 'true or false');
  checkSignal(signal);
}

function endOf({ duration, limit, signal }: SimulationOptions): End {
  const lasts = duration === undefined ? undefined : parseDuration('duration', duration);
  if (limit === undefined) {
    return lasts === undefined
      ? {
          limit: SIMULATION_DEFAULTS.limit,
          limitedBy: 'the default limit',
          duration: lasts,
          signal,
        }
      : { limit: lasts, limitedBy: 'the duration', duration: lasts, signal };
  }
  const ms = parseDuration('limit', limit);
  if (lasts !== undefined && ms > lasts)
    throw badOption('limit', limit, `at most the duration, ${duration}`);
  return { limit: ms, limitedBy: 'the limit', duration: lasts, signal };
}

/**
 * Runs `scenario` on a simulated network in virtual time: half an hour passes in a second or two,
 * and the same seed gives the same events. The code of the scenario and of its hosts uses virtual
 * timers, dates and random numbers, and the addresses `sim://host:port` and `simudp://host:port`.
 * Other code of the process keeps the real ones. The scenario itself runs on a host named `client`.
 *
 * Needs the package @sinonjs/fake-timers. Rejects with BAD_OPTION; SIMULATION_ACTIVE if another
 * simulation runs; SIMULATION_FAILED if the scenario, an action or the start of a host fails (the
 * cause is its error); SIMULATION_STALLED if the scenario waits and nothing is scheduled;
 * SIMULATION_TIMEOUT if the scenario is not done in time; SIMULATION_ABORTED if `signal` aborts.
 * The errors of a simulation that has begun are SimulationErrors, with the seed and the last
 * events.
 * The messages of the last three codes have what each host waits for.
 *
 * ```ts
 * await simulate({ seed: 7, duration: '10m' }, async ({ host, clock }) => {
 *   const server = host('server', () => serve('sim://server:1000', setup));
 *   clock.at('5m', () => server.crash());
 *   clock.at('6m', () => server.restart());
 * });
 * ```
 */
export async function simulate<T>(
  options: SimulationOptions,
  scenario: Scenario<T>,
): Promise<SimulationResult<T>> {
  checkOptions(options);
  if (typeof scenario !== 'function') throw badOption('scenario', scenario, 'a function');
  const { seed = SIMULATION_DEFAULTS.seed, startDate = SIMULATION_DEFAULTS.startDate } = options;
  const end = endOf(options);
  // A simulation whose signal has aborted ends soon.
  while (active?.signal?.aborted) await active.isOver;
  if (active !== undefined) {
    throw gettyError(
      'SIMULATION_ACTIVE',
      `another simulation runs in this process, with the seed ${active.seed}, started ${placeOf(active)}; await it before you start the next one, and give it the signal of its test, so that it ends when the test times out`,
    );
  }
  let onOver = (): void => {};
  const isOver = new Promise<void>((resolve) => {
    onOver = resolve;
  });
  active = { seed, signal: options.signal, isOver, stack: new CreationStack() };
  try {
    await checkRuntime();
    const world = new World(seed, await createVirtualClock(), startDate, options.onTrace);
    const recorder = options.stacks === true ? new StackRecorder(() => world.now) : undefined;
    const run = new SimulationRun<T>(
      world,
      new SimulatedNetwork(world, options.link ?? {}),
      end,
      recorder,
    );
    const restore = installGlobals();
    startTracking();
    recorder?.start();
    try {
      await run.start(scenario);
    } finally {
      run.stop();
      world.systemResources.closeAll();
      recorder?.stop();
      stopTracking();
      restore();
    }
    return run.result();
  } finally {
    active = undefined;
    onOver();
  }
}
