/**
 * What calls there were, how they ended and how long they took: counted for each method, and for
 * each peer.
 */
import { codeNumber, codeOfNumber, type RpcCode, type RpcError } from '../errors.js';
import type {
  CallCounts,
  Channel,
  LatencyStatistics,
  Method,
  MethodStatistics,
  RpcStatistics,
} from '../types.js';
import { Histogram } from './histogram.js';

const CODES = 17;
/**
 * A handler that answers at once is timed one time in so many, while it is quick: to ask for the
 * time costs as much as a small handler.
 */
const TIMED = 16;
/** Milliseconds. */
const QUICK = 0.05;

/** Calls as they are counted for a peer. */
export class Tally {
  started = 0;
  succeeded = 0;
  failed = 0;

  /** Calls under way stay so: they are those that started and did not end. */
  reset(): void {
    this.started -= this.succeeded + this.failed;
    this.succeeded = 0;
    this.failed = 0;
  }
}

export function countsOf({ started, succeeded, failed }: Tally): CallCounts {
  return { started, succeeded, failed };
}

/** One method, in one direction. */
export class MethodMeter {
  readonly method: Method;
  #started = 0;
  #succeeded = 0;
  #failures = 0;
  readonly #failed = new Float64Array(CODES);
  #bytesSent = 0;
  #bytesReceived = 0;
  readonly #latency = new Histogram();
  /** Started before the last reset and not ended then. */
  #carried = 0;
  #untimed = TIMED - 1;
  /** The last that was timed was quick, so those after it were not. */
  #timedBefore = false;

  constructor(method: Method) {
    this.method = method;
  }

  begin(): void {
    this.#started++;
  }

  /** `latency` in ms. Bytes are those of bodies, or of the packages of streams. */
  end(error: RpcError | undefined, latency: number, sent: number, received: number): void {
    this.#count(error, sent, received);
    this.#latency.add(latency);
  }

  /**
   * A handler is about to be called: when that is, or undefined when this one need not be timed.
   */
  beginHandler(): number | undefined {
    this.#started++;
    return this.#untimed < TIMED - 1 ? undefined : performance.now();
  }

  /** `began`: what beginHandler() answered. `atOnce`: the handler answered no promise. */
  endHandler(
    error: RpcError | undefined,
    began: number | undefined,
    atOnce: boolean,
    sent: number,
    received: number,
  ): void {
    this.#count(error, sent, received);
    if (began === undefined) {
      this.#untimed++;
      return;
    }
    const latency = performance.now() - began;
    // Those that were not timed were like the last that was.
    const before = this.#timedBefore ? this.#untimed : 0;
    this.#latency.add(latency, before + 1);
    this.#timedBefore = atOnce && latency < QUICK;
    this.#untimed = this.#timedBefore ? 0 : TIMED - 1;
  }

  #count(error: RpcError | undefined, sent: number, received: number): void {
    this.#bytesSent += sent;
    this.#bytesReceived += received;
    if (error === undefined) {
      this.#succeeded++;
      return;
    }
    const number = codeNumber(error.code);
    this.#failures++;
    this.#failed[number] = (this.#failed[number] as number) + 1;
  }

  get inFlight(): number {
    return this.#carried + this.#started - this.#succeeded - this.#failures;
  }

  /** Calls under way stay so. */
  reset(): void {
    this.#carried = this.inFlight;
    this.#started = 0;
    this.#succeeded = 0;
    this.#failures = 0;
    this.#failed.fill(0);
    this.#bytesSent = 0;
    this.#bytesReceived = 0;
    this.#untimed = TIMED - 1;
    this.#timedBefore = false;
    this.#latency.reset();
  }

  snapshot(): MethodStatistics {
    const failed: Partial<Record<RpcCode, number>> = {};
    this.#failed.forEach((count, number) => {
      if (count > 0) failed[codeOfNumber(number)] = count;
    });
    const { service, version, name } = this.method;
    return {
      service,
      version,
      method: name,
      started: this.#started,
      succeeded: this.#succeeded,
      failed,
      inFlight: this.inFlight,
      bytesSent: this.#bytesSent,
      bytesReceived: this.#bytesReceived,
      latency: latencyOf(this.#latency),
    };
  }
}

function latencyOf(histogram: Histogram): LatencyStatistics {
  const { count, sum, max } = histogram;
  return {
    count,
    mean: count === 0 ? 0 : sum / count,
    p50: histogram.percentile(0.5),
    p90: histogram.percentile(0.9),
    p99: histogram.percentile(0.99),
    max,
    sum,
    cumulative: (limits) => histogram.cumulative(limits),
  };
}

export function statisticsOf(
  calls: Meters,
  served: Meters,
  channels: Iterable<Channel>,
): RpcStatistics {
  return {
    since: served.since,
    calls: calls.snapshot(),
    served: served.snapshot(),
    peers: [...channels].map(({ statistics }) => statistics),
  };
}

/**
 * The key of an option of connect() that only a consumer gives: the meters that all its connections
 * share.
 */
export const SHARED_METERS = Symbol('shared meters');

export interface SharedMeters {
  readonly calls: Meters;
  readonly served: Meters;
}

/** The meters of one direction. Methods are a contract's, so a peer cannot make them more. */
export class Meters {
  readonly #meters = new Map<Method, MethodMeter>();
  /** When it began to count, in ms since the epoch. */
  since = Date.now();
  #last: MethodMeter | undefined;

  of(method: Method): MethodMeter {
    if (this.#last?.method === method) return this.#last;
    let meter = this.#meters.get(method);
    if (meter === undefined) {
      meter = new MethodMeter(method);
      this.#meters.set(method, meter);
    }
    this.#last = meter;
    return meter;
  }

  reset(): void {
    // Whoever compares two snapshots must see it, be the clock coarse or set back.
    this.since = Math.max(Date.now(), this.since + 1);
    for (const meter of this.#meters.values()) meter.reset();
  }

  snapshot(): MethodStatistics[] {
    return [...this.#meters.values()].map((meter) => meter.snapshot());
  }
}
