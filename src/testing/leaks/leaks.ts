/** leaks() and assertNoLeaks(): what this process still holds of the package. */
import { AssertionError } from 'node:assert';
import { badOption, checkNames, checkNumber, type NamesOf } from '../../core/options.js';
import { resources } from '../../core/resource-tracker.js';
import type { Endpoint } from '../../transport/types.js';
import { activeProcess, type SimulatedProcess } from '../simulation/context.js';
import { handlerRuns } from './handler-runs.js';
import { type Leak, leakReport } from './leak-report.js';
import { endpoints, isOfEndedSession, resourceOf, TrackedResources } from './tracked-resources.js';

export type { Leak };

/** Options of assertNoLeaks(). */
export interface LeakOptions {
  /** What may be left, such as the result of leaks() before a test. Default: nothing. */
  ignore?: readonly Leak[] | undefined;
  /** How long resources that are being closed may take, in ms. Default: 1,000. */
  timeout?: number | undefined;
}

const OPTION_NAMES = { ignore: true, timeout: true } satisfies NamesOf<LeakOptions>;

/** Milliseconds. */
export const LEAK_DEFAULTS = { timeout: 1_000 } satisfies LeakOptions;

/** Milliseconds between two checks of assertNoLeaks(). */
const CHECK_PERIOD = 2;

// A test may replace them.
const { setTimeout: realSetTimeout, performance } = globalThis;
const REAL_TIME = { setTimeout: realSetTimeout, now: performance.now.bind(performance) };

/** Virtual time in a simulation, which has an event for each check then, and no stall. */
function presentTime(): Pick<typeof REAL_TIME, 'now' | 'setTimeout'> {
  if (activeProcess() === undefined) return REAL_TIME;
  return { setTimeout: globalThis.setTimeout, now: () => performance.now() };
}

/** Resources that assertNoLeaks() has reported. */
const reported = new WeakSet<object>();
const tracked = new TrackedResources();
resources.tracker = tracked;

/**
 * What the process holds of this package: servers, clients and consumers that are not closed, open
 * sessions, calls and streams in flight, and running timers. What was created before
 * `getty-ts/testing` was imported is not known.
 */
export function leaks(): Leak[] {
  return tracked.leaks();
}

/** What a simulated process holds, in the form of leaks(), without its timers. */
export function heldBy(process: SimulatedProcess): Leak[] {
  return tracked.heldBy(process);
}

/**
 * Waits until leaks() has only what `ignore` has, and what an earlier call has reported. Rejects
 * with an AssertionError if that takes more than `timeout` ms. Its message has the endpoints,
 * consumers and calls with their stacks, and what each of them still holds. Use it after each test
 * and its clean-up. With vitest:
 *
 * ```ts
 * beforeEach(() => {
 *   onTestFinished(() => assertNoLeaks());
 * });
 * ```
 *
 * Each resource is reported once, so a test that fails before its clean-up does not make the next
 * ones fail. While it is open, its further sessions and calls and all timers are not reported.
 * In a simulation `timeout` is virtual time. Rejects with BAD_OPTION.
 */
export async function assertNoLeaks(options: LeakOptions = {}): Promise<void> {
  checkNames('assertNoLeaks()', options, OPTION_NAMES);
  const { ignore = [], timeout = LEAK_DEFAULTS.timeout } = options;
  if (!Array.isArray(ignore)) throw badOption('ignore', ignore, 'what leaks() returned');
  checkNumber('timeout', timeout, 0, Number.POSITIVE_INFINITY);
  const ignored = new Set(ignore.map(({ id }) => id));
  const { now, setTimeout: callLater } = presentTime();
  const end = now() + timeout;
  for (;;) {
    const left = notReported(leaks()).filter(({ id }) => !ignored.has(id));
    if (left.length === 0) return;
    if (now() >= end) {
      for (const leak of left) reported.add(resourceOf.get(leak) as object);
      // Without `actual`: a test runner would print the difference to it, with all stacks again.
      throw new AssertionError({ message: leakReport(left, holderOf) });
    }
    await new Promise((resolve) => callLater(resolve, CHECK_PERIOD));
  }
}

/** Equal for what ends together: a run of callHandler(), an endpoint, or the resource itself. */
function holderOf(leak: Leak): unknown {
  const holder = endpoints.get(leak) ?? resourceOf.get(leak);
  const { address } = holder as Partial<Endpoint<unknown>>;
  return address !== undefined && handlerRuns.has(address) ? address : holder;
}

function isReported(resource: object | undefined): boolean {
  return resource !== undefined && reported.has(resource);
}

/** Leaves out what was reported, and what belongs to that. */
function notReported(all: readonly Leak[]): Leak[] {
  const isNew = (leak: Leak): boolean =>
    !isReported(resourceOf.get(leak)) && !isReported(endpoints.get(leak));
  const found = all.filter(isNew);
  // Reported sessions share the timers of the process with all others, and may make new ones.
  const hasReported = all.some(
    (leak) => leak.kind !== 'timer' && !isOfEndedSession.has(leak) && !isNew(leak),
  );
  return hasReported ? found.filter(({ kind }) => kind !== 'timer') : found;
}
