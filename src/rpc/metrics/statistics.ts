/**
 * Call statistics: counts, outcomes and latencies. Each counter counts one direction: the calls
 * that this side makes, or the calls that it serves. micro/statistics.ts has the other counters of
 * a consumer, and transport/admission.ts counts refused peers.
 */
import { now } from '../../transport/session/flush-scheduler.js';
import { codeNumber, codeOfNumber, type RpcCode, type RpcError } from '../errors.js';
import type { PeerSession } from '../peer/peer-session.js';
import type {
  CallCounts,
  Channel,
  LatencyStatistics,
  Method,
  MethodStatistics,
  PeerStatistics,
  RpcStatistics,
} from '../types.js';
import { Histogram } from './histogram.js';

/** The codes of RpcError, and OK. */
const CODE_COUNT = 17;
/**
 * While a handler returns at once and is quick, one call of this many is timed. Reading the clock
 * costs as much as a small handler.
 */
const SAMPLE_PERIOD = 16;
/** The most milliseconds of a quick handler. */
const MAX_QUICK_LATENCY = 0.05;

/** Counts the calls that one session made, or the calls that it served. */
export class SessionCallCounter {
  started = 0;
  succeeded = 0;
  failed = 0;

  /** Resets the counts. Calls in flight remain started. */
  reset(): void {
    this.started -= this.succeeded + this.failed;
    this.succeeded = 0;
    this.failed = 0;
  }
}

function countsOf({ started, succeeded, failed }: SessionCallCounter): CallCounts {
  return { started, succeeded, failed };
}

/** The statistics of one session. `made`, `served`: its calls. */
export function peerStatisticsOf(
  { address, session }: PeerSession,
  made: SessionCallCounter,
  served: SessionCallCounter,
): PeerStatistics {
  const { bytesRead = 0, bytesWritten = 0 } = session?.stats ?? {};
  return {
    peer: address,
    calls: countsOf(made),
    served: countsOf(served),
    bytesRead,
    bytesWritten,
    queuedBytes: session?.queuedBytes ?? 0,
  };
}

/** Counts the calls of one method, made or served, and their latencies. */
export class MethodCounter {
  readonly method: Method;
  #started = 0;
  #succeeded = 0;
  #failed = 0;
  /** By the number of the code. */
  readonly #failedByCode = new Float64Array(CODE_COUNT);
  #bytesSent = 0;
  #bytesReceived = 0;
  readonly #latency = new Histogram();
  /** Calls that began before the last reset and had not ended at it. */
  #inFlightAtReset = 0;
  /** Calls since the last timed one. The next call is timed. */
  #untimedCalls = SAMPLE_PERIOD - 1;
  /** Whether only one call in SAMPLE_PERIOD is timed, because the last timed call was quick. */
  #isSampling = false;

  constructor(method: Method) {
    this.method = method;
  }

  onCallStart(): void {
    this.#started++;
  }

  /**
   * Counts the end of a call. `startedAt`: when it began, by now(). `sent` and `received`: bytes of
   * bodies, or of the frames of streams.
   */
  onCallEnd(error: RpcError | undefined, startedAt: number, sent: number, received: number): void {
    this.#count(error, sent, received);
    this.#latency.add(now() - startedAt);
  }

  /**
   * Counts the start of a call that is served. Returns the time in milliseconds of
   * performance.now(), or undefined when this call is not timed.
   */
  onHandlerStart(): number | undefined {
    this.#started++;
    return this.#untimedCalls < SAMPLE_PERIOD - 1 ? undefined : performance.now();
  }

  /**
   * Counts the end of a call that was served. `startedAt`: the result of onHandlerStart().
   * `isSynchronous`: the handler returned no promise. `sent` and `received`: bytes.
   */
  onHandlerEnd(
    error: RpcError | undefined,
    startedAt: number | undefined,
    isSynchronous: boolean,
    sent: number,
    received: number,
  ): void {
    this.#count(error, sent, received);
    if (startedAt === undefined) {
      this.#untimedCalls++;
      return;
    }
    const latency = performance.now() - startedAt;
    // The calls that were not timed count with the latency of this one.
    const untimed = this.#isSampling ? this.#untimedCalls : 0;
    this.#latency.add(latency, untimed + 1);
    this.#isSampling = isSynchronous && latency < MAX_QUICK_LATENCY;
    this.#untimedCalls = this.#isSampling ? 0 : SAMPLE_PERIOD - 1;
  }

  #count(error: RpcError | undefined, sent: number, received: number): void {
    this.#bytesSent += sent;
    this.#bytesReceived += received;
    if (error === undefined) {
      this.#succeeded++;
      return;
    }
    const number = codeNumber(error.code);
    this.#failed++;
    this.#failedByCode[number] = (this.#failedByCode[number] as number) + 1;
  }

  get inFlight(): number {
    return this.#inFlightAtReset + this.#started - this.#succeeded - this.#failed;
  }

  /** Resets the counts. Calls in flight remain in flight. */
  reset(): void {
    this.#inFlightAtReset = this.inFlight;
    this.#started = 0;
    this.#succeeded = 0;
    this.#failed = 0;
    this.#failedByCode.fill(0);
    this.#bytesSent = 0;
    this.#bytesReceived = 0;
    this.#untimedCalls = SAMPLE_PERIOD - 1;
    this.#isSampling = false;
    this.#latency.reset();
  }

  snapshot(): MethodStatistics {
    const failed: Partial<Record<RpcCode, number>> = {};
    this.#failedByCode.forEach((count, number) => {
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

/** The statistics of a server or client. `channels`: its open sessions. */
export function statisticsOf(
  { calls, served }: RpcCounters,
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
 * The counters of all methods, for the calls that are made or the calls that are served. The names
 * of methods come from contracts, so a peer cannot add counters.
 */
export class MethodCounters {
  /** Weak, because a program may make a contract for each call. */
  readonly #byMethod = new WeakMap<Method, MethodCounter>();
  /**
   * The counters by service, version and method. Methods of several contracts with one name share
   * a counter.
   */
  readonly #byName = new Map<string, MethodCounter>();
  /** When counting began, in milliseconds since the epoch. */
  since = Date.now();
  #lastUsed: MethodCounter | undefined;
  /** The method of the last call of of(), which returned `#lastUsed`. */
  #lastMethod: Method | undefined;

  of(method: Method): MethodCounter {
    if (this.#lastMethod === method) return this.#lastUsed as MethodCounter;
    let counter = this.#byMethod.get(method);
    if (counter === undefined) {
      counter = this.#counterByName(method);
      this.#byMethod.set(method, counter);
    }
    this.#lastMethod = method;
    this.#lastUsed = counter;
    return counter;
  }

  #counterByName(method: Method): MethodCounter {
    const key = JSON.stringify([method.service, method.version, method.name]);
    let counter = this.#byName.get(key);
    if (counter === undefined) {
      counter = new MethodCounter(method);
      this.#byName.set(key, counter);
    }
    return counter;
  }

  reset(): void {
    // Each reset increases `since`, also when the clock is coarse or was set back, so that a reset
    // shows between two snapshots.
    this.since = Math.max(Date.now(), this.since + 1);
    for (const counter of this.#byName.values()) counter.reset();
  }

  snapshot(): MethodStatistics[] {
    return [...this.#byName.values()].map((counter) => counter.snapshot());
  }
}

/** The counters of a client or server. All connections of a consumer share one object. */
export class RpcCounters {
  readonly calls = new MethodCounters();
  readonly served = new MethodCounters();

  /** Resets the counts. Calls in flight remain in flight. */
  reset(): void {
    this.calls.reset();
    this.served.reset();
  }
}
