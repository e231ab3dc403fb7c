/** The state of one simulation that its parts share: time, trace, random numbers and failure. */
import { notify } from '../../core/callbacks.js';
import { type Random, seededRandom } from '../random.js';
import type { ScheduledEvent, VirtualClock } from './clock.js';
import { SystemResources } from './system-resources.js';
import { Trace } from './trace.js';

export class World {
  readonly seed: number;
  readonly clock: VirtualClock;
  /** The date at the start, in milliseconds since 1970. */
  readonly startDate: number;
  readonly trace: Trace;
  readonly networkRandom: Random;
  readonly mathRandom: Random;
  readonly cryptoRandom: Random;
  readonly systemResources = new SystemResources();
  /** The first failure. `what` is a text, or a code that failure.ts knows. */
  failure: { readonly what: string; readonly error: unknown } | undefined;

  constructor(
    seed: number,
    clock: VirtualClock,
    startDate: number,
    onTrace: ((line: string) => unknown) | undefined,
  ) {
    this.seed = seed;
    this.clock = clock;
    this.startDate = startDate;
    const failed = (error: unknown): void => this.fail('onTrace failed', error);
    const onLine = onTrace && ((line: string) => notify(() => onTrace(line), failed));
    this.trace = new Trace(() => clock.now, onLine);
    this.networkRandom = seededRandom(seed, 'network');
    this.mathRandom = seededRandom(seed, 'Math.random');
    this.cryptoRandom = seededRandom(seed, 'crypto');
  }

  /** Virtual milliseconds since the start. */
  get now(): number {
    return this.clock.now;
  }

  /** Calls `callback` in `ms` virtual milliseconds, outside of all processes. */
  schedule(ms: number, callback: () => void): ScheduledEvent {
    return this.clock.schedule(ms, callback);
  }

  /** Ends the simulation after the present event. Only the first failure counts. */
  fail(what: string, error: unknown): void {
    this.failure ??= { what, error };
  }
}
