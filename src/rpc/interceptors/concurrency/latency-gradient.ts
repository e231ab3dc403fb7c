/**
 * The limit of adaptiveLimit(). The idea of the gradient and of the square root are those of the
 * library concurrency-limits of Netflix, the idea of probes is that of the filter
 * adaptive_concurrency of Envoy.
 */
import type { Method } from '../../types.js';

export interface GradientSettings {
  readonly initialLimit: number;
  readonly minLimit: number;
  readonly maxLimit: number;
  readonly tolerance: number;
}

/** A window ends when it has lasted this many milliseconds and has this many samples. */
const WINDOW_TIME = 100;
const WINDOW_SAMPLES = 10;
/** Milliseconds: a longer window counts as this long. */
const MAX_WINDOW_TIME = 1_000;
/** The part of the new limit in the limit after a window. */
const SMOOTHING = 0.2;
/** The weight of a window in the baseline: usually, and in a probe. */
const BASELINE_WEIGHT = 0.1;
const PROBE_WEIGHT = 0.5;
/**
 * Milliseconds. While the limit is in use, latencies without a queue cannot be measured, so after
 * this time there is a probe: two windows with a part of the limit. In the first one the earlier
 * calls end. The first probes follow each other sooner, because a server may start under load.
 */
const PROBE_PERIOD = 30_000;
const FIRST_PROBE_PERIOD = 1_000;
const PROBE_WINDOWS = 2;
const PROBE_SHARE = 0.25;

/** The latencies of one method. Times are in milliseconds. */
class MethodLatency {
  /** The average of the calls while the server has no queue. Undefined: not measured yet. */
  baseline: number | undefined;
  /** The calls of the window. */
  count = 0;
  sum = 0;

  get average(): number {
    return this.sum / this.count;
  }

  /** `isMeasured`: the calls of the window have not waited for each other. */
  endWindow(isMeasured: boolean, isProbe: boolean): void {
    const { average, baseline } = this;
    if (baseline === undefined) this.baseline = average;
    else if (isMeasured || average < baseline)
      this.baseline = baseline + (isProbe ? PROBE_WEIGHT : BASELINE_WEIGHT) * (average - baseline);
    this.count = this.sum = 0;
  }
}

/**
 * Compares the latencies of each window with those without a queue. If calls take longer than
 * `tolerance` times as long, they wait for each other, and the limit falls in proportion. Otherwise
 * it grows by its square root, unless fewer than half of the permitted calls are in flight.
 */
export class LatencyGradient {
  readonly #settings: GradientSettings;
  readonly #onLimit: (limit: number) => void;
  readonly #latencies = new WeakMap<Method, MethodLatency>();
  /** The methods that have samples in the window. */
  #inWindow: MethodLatency[] = [];
  #samples = 0;
  /** The most calls in flight in the window. */
  #maxActive = 0;
  #windowStart = performance.now();
  /** Milliseconds in which the limit was in use, since the baselines were measured. */
  #busyTime = 0;
  /** The limit, with a fraction. */
  #exact: number;
  #probePeriod = FIRST_PROBE_PERIOD;
  /** The windows of the probe that have not ended. */
  #probeWindows = 0;
  #limit: number;

  /** `onLimit` is called when `limit` has changed. */
  constructor(settings: GradientSettings, onLimit: (limit: number) => void) {
    this.#settings = settings;
    this.#onLimit = onLimit;
    this.#exact = this.#within(settings.initialLimit);
    this.#limit = Math.max(1, Math.floor(this.#exact));
  }

  /** The most calls in flight. */
  get limit(): number {
    return this.#limit;
  }

  /**
   * A call has ended after `ms` milliseconds, and `active` calls were in flight. `hasFailed`: it
   * counts only if it took longer than a successful call, because errors can be fast.
   */
  onCallEnd(method: Method, ms: number, active: number, hasFailed: boolean): void {
    let latency = this.#latencies.get(method);
    if (latency === undefined) {
      latency = new MethodLatency();
      this.#latencies.set(method, latency);
    }
    if (active > this.#maxActive) this.#maxActive = active;
    if (hasFailed && !(ms > (latency.baseline ?? Number.POSITIVE_INFINITY))) return;
    if (latency.count === 0) this.#inWindow.push(latency);
    latency.count++;
    latency.sum += ms;
    if (++this.#samples < WINDOW_SAMPLES) return;
    const now = performance.now();
    if (now - this.#windowStart >= WINDOW_TIME) this.#endWindow(now);
  }

  #endWindow(now: number): void {
    // Of the limit that was valid in this window: that of a probe, too.
    const isIdle = this.#maxActive <= this.#limit / 2;
    const isProbe = this.#probeWindows > 0;
    const isMeasured = isProbe ? this.#probeWindows === 1 : isIdle;
    // A window may have begun before a time without calls.
    const duration = Math.min(now - this.#windowStart, MAX_WINDOW_TIME);
    this.#busyTime = isMeasured ? 0 : this.#busyTime + duration;
    if (!isProbe && !isIdle) {
      const next = this.#exact * this.#gradient() + Math.sqrt(this.#exact);
      this.#exact = this.#within(this.#exact + SMOOTHING * (next - this.#exact));
    }
    for (const latency of this.#inWindow) latency.endWindow(isMeasured, isProbe);
    this.#inWindow = [];
    this.#samples = 0;
    this.#maxActive = 0;
    this.#windowStart = now;
    if (isProbe) this.#probeWindows--;
    else if (this.#busyTime > this.#probePeriod) {
      this.#probeWindows = PROBE_WINDOWS;
      this.#probePeriod = Math.min(PROBE_PERIOD, 2 * this.#probePeriod);
    }
    this.#setLimit(this.#probeWindows > 0 ? this.#exact * PROBE_SHARE : this.#exact);
  }

  /** 1: no call waits for another. Less: by how much the limit must fall, at least 0.5. */
  #gradient(): number {
    let expected = 0;
    let actual = 0;
    for (const { baseline, average, count, sum } of this.#inWindow) {
      expected += (baseline ?? average) * count;
      actual += sum;
    }
    if (actual === 0) return 1;
    return Math.min(1, Math.max(0.5, (this.#settings.tolerance * expected) / actual));
  }

  #within(limit: number): number {
    const { minLimit, maxLimit } = this.#settings;
    return Math.min(maxLimit, Math.max(minLimit, limit));
  }

  #setLimit(limit: number): void {
    const whole = Math.max(1, Math.floor(limit));
    if (whole === this.#limit) return;
    this.#limit = whole;
    this.#onLimit(whole);
  }
}
