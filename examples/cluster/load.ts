/** Calls at full speed, so many at a time. */
import type { Hashed } from './hasher.js';

/**
 * Before it counts, connections are made and code is compiled: a fifth of the time, and so many
 * milliseconds at most.
 */
const WARM_UP = 500;
/** Milliseconds between two lines, or a fourth of the time. */
const PROGRESS = 1_000;

export interface LoadOptions {
  /** Begins the lines of progress. */
  readonly title: string;
  readonly inFlight: number;
  readonly seconds: number;
  /** Ends it early. */
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

  /**
   * One call after the other. Whose call fails calls no more, so that an outage makes no hot loop.
   */
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
  async function callers(ms: number): Promise<void> {
    const end = performance.now() + ms;
    await Promise.all(Array.from({ length: inFlight }, () => caller(end)));
  }

  await callers(Math.min(seconds * 200, WARM_UP));
  // A failure counts whenever it is.
  spread.clear();
  calls = 0;
  const began = performance.now();
  let last = { at: began, calls };
  const progress = setInterval(
    () => {
      const now = { at: performance.now(), calls };
      console.log(
        `${title}: ${perSecond(now.calls - last.calls, now.at - last.at)} calls/s, failed ${failed}`,
      );
      last = now;
    },
    Math.min(seconds * 250, PROGRESS),
  );
  await callers(seconds * 1000);
  clearInterval(progress);
  return { rate: perSecond(calls, performance.now() - began), spread, failed };
}

function perSecond(calls: number, ms: number): number {
  return Math.round((1000 * calls) / ms);
}
