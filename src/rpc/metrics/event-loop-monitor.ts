/** Measures the delay of the event loop while a watcher asks for it. */
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import { startInterval } from '../../core/timers.js';
import type { EventLoopDelay } from './server-status.js';

/** Milliseconds between two measurements. */
const RESOLUTION = 20;
/** Milliseconds. A report covers one to two of these. */
const WINDOW = 5_000;
/** How many windows without a request end the measurement. */
const MAX_UNUSED_WINDOWS = 6;

export class EventLoopMonitor {
  /**
   * Both measure the same, and begin anew in turn, at the end of each window. The first one has
   * measured longer.
   */
  #histograms: [IntervalHistogram, IntervalHistogram] | undefined;
  #timer: NodeJS.Timeout | undefined;
  #unusedWindows = 0;
  #isClosed = false;

  get isMeasuring(): boolean {
    return this.#histograms !== undefined;
  }

  /**
   * The delay in the last 5 to 10 s. Starts the measurement, which ends when this is not called for
   * 30 s. Undefined: nothing is measured yet, or this is closed.
   */
  report(): EventLoopDelay | undefined {
    if (this.#isClosed) return undefined;
    this.#unusedWindows = 0;
    const [histogram] = this.#histograms ?? this.#start();
    if (histogram.count === 0) return undefined;
    return {
      p50: delayOf(histogram.percentile(50)),
      p99: delayOf(histogram.percentile(99)),
      max: delayOf(histogram.max),
    };
  }

  #start(): [IntervalHistogram, IntervalHistogram] {
    const histograms: [IntervalHistogram, IntervalHistogram] = [newHistogram(), newHistogram()];
    this.#histograms = histograms;
    this.#timer = startInterval(() => this.#endWindow(), WINDOW);
    this.#timer.unref();
    return histograms;
  }

  #endWindow(): void {
    this.#unusedWindows++;
    if (this.#histograms === undefined) return;
    if (this.#unusedWindows >= MAX_UNUSED_WINDOWS) return this.#stop();
    const [oldest, other] = this.#histograms;
    oldest.reset();
    this.#histograms = [other, oldest];
  }

  /** Ends the measurement for good. */
  close(): void {
    this.#isClosed = true;
    this.#stop();
  }

  #stop(): void {
    clearInterval(this.#timer);
    for (const histogram of this.#histograms ?? []) histogram.disable();
    this.#histograms = undefined;
  }
}

function newHistogram(): IntervalHistogram {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION });
  histogram.enable();
  return histogram;
}

/** Milliseconds, with three digits. A measured time includes that between two measurements. */
function delayOf(nanoseconds: number): number {
  return Math.round(Math.max(0, nanoseconds / 1_000 - RESOLUTION * 1_000)) / 1_000;
}
