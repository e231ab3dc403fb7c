/** Makes calls as fast as they are answered, a given number at a time. */
import type { Hashed } from './hasher.js';

/**
 * Milliseconds of calls that are not counted, while connections are made and code is compiled. At
 * most a fifth of the time.
 */
const MAX_WARM_UP = 500;
/** Milliseconds between two lines of progress. At most a fourth of the time. */
const MAX_PROGRESS_PERIOD = 1_000;

export interface LoadOptions {
  /** The beginning of each line of progress. */
  readonly title: string;
  readonly inFlight: number;
  readonly seconds: number;
  /** Ends the calls early. */
  readonly signal: AbortSignal;
}

export interface Figures {
  /** Calls per second. */
  readonly rate: number;
  /** Calls by worker. */
  readonly spread: ReadonlyMap<string, number>;
  readonly failed: number;
}

export async function load(
  call: () => Promise<Hashed>,
  { title, inFlight, seconds, signal }: LoadOptions,
): Promise<Figures> {
  const spread = new Map<string, number>();
  let calls = 0;
  let failed = 0;

  /** Makes calls one after another until `end`, or until one fails: an outage must not loop. */
  async function caller(end: number): Promise<void> {
    while (performance.now() < end && !signal.aborted) {
      try {
        const { worker } = await call();
        spread.set(worker, (spread.get(worker) ?? 0) + 1);
        calls++;
      } catch (error) {
        if (signal.aborted) return;
        failed++;
        console.log(`a call failed: ${error}`);
        return;
      }
    }
  }
  async function runCallers(ms: number): Promise<void> {
    const end = performance.now() + ms;
    await Promise.all(Array.from({ length: inFlight }, () => caller(end)));
  }

  await runCallers(Math.min(seconds * 200, MAX_WARM_UP));
  // Failures of the warm-up stay counted.
  spread.clear();
  calls = 0;
  const startTime = performance.now();
  let last = { time: startTime, calls };
  const progress = setInterval(
    () => {
      const now = { time: performance.now(), calls };
      console.log(
        `${title}: ${perSecond(now.calls - last.calls, now.time - last.time)} calls/s, failed ${failed}`,
      );
      last = now;
    },
    Math.min(seconds * 250, MAX_PROGRESS_PERIOD),
  );
  await runCallers(seconds * 1000);
  clearInterval(progress);
  return { rate: perSecond(calls, performance.now() - startTime), spread, failed };
}

function perSecond(calls: number, ms: number): number {
  return Math.round((1000 * calls) / ms);
}
