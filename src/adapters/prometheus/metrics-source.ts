/** A server or client whose statistics are reported as metrics. */
import { notifyOrWarn, refusePromise } from '../../core/callbacks.js';
import type { MethodStatistics, RpcStatistics } from '../../rpc/index.js';
import { MethodTotals } from './method-totals.js';

/** The counts of a consumer that resetStatistics() resets. */
interface ConsumerCounts {
  readonly attempts: number;
  readonly retries: number;
  readonly ejections: number;
}

/**
 * The part of the statistics that only consumers have. It repeats fields of ConsumerStatistics,
 * because an adapter imports nothing of micro: a program without micro uses it too.
 */
interface ConsumerOnlyStatistics extends ConsumerCounts {
  /** The number of nodes, by state. */
  readonly nodes: Readonly<Record<string, number>>;
}

/** An RpcServer, an RpcClient, a Provider, a Consumer, or an object with the same statistics(). */
export interface StatisticsSource {
  statistics(): RpcStatistics & Partial<ConsumerOnlyStatistics>;
  /** The number of peers that a server refused, by reason. Undefined for other sources. */
  readonly refusals?: Readonly<Record<string, number>> | undefined;
}

/** `server`: calls received. `client`: calls made. */
export type Side = 'server' | 'client';

const NO_COUNTS: ConsumerCounts = { attempts: 0, retries: 0, ejections: 0 };

/**
 * The values of one StatisticsSource at the last update(). A counter of Prometheus must not
 * decrease, so counts before a reset are added to the counts after it.
 */
export class MetricsSource {
  readonly name: string;
  readonly #source: StatisticsSource;
  readonly #limits: readonly number[];
  /** `since` of the last statistics; another value means that they were reset. */
  #since: number | undefined;
  readonly #totals: Record<Side, Map<string, MethodTotals>> = {
    server: new Map(),
    client: new Map(),
  };
  /** The number of open sessions. */
  sessions = 0;
  /** Bytes of the open sessions. */
  bytes = { read: 0, written: 0, queued: 0 };
  /** The number of refused peers, by reason. Undefined unless the source is a server. */
  refusals: Readonly<Record<string, number>> | undefined;
  /** The latest values, with the counts before each reset. Undefined: not a consumer. */
  consumer: ConsumerOnlyStatistics | undefined;
  /** Of a consumer: the counts of the last statistics. */
  #latestConsumerCounts = NO_COUNTS;
  /** Of a consumer: the sums of the counts before each reset. */
  #consumerCountsBeforeReset = NO_COUNTS;

  /** `limits`: upper limits of the buckets of the histogram, in milliseconds. */
  constructor(name: string, source: StatisticsSource, limits: readonly number[]) {
    this.name = name;
    this.#source = source;
    this.#limits = limits;
  }

  /** Reads the statistics. If that fails, the old values stay and the process warns. */
  update(): void {
    notifyOrWarn(`statistics() of ${this.name}`, () => {
      const statistics = this.#source.statistics();
      refusePromise('BAD_OPTION', 'statistics()', statistics);
      this.#read(statistics);
      this.refusals = this.#source.refusals;
    });
  }

  #read({
    since,
    calls,
    served,
    peers,
    attempts,
    retries = 0,
    ejections = 0,
    nodes = {},
  }: RpcStatistics & Partial<ConsumerOnlyStatistics>): void {
    const wasReset = this.#since !== undefined && this.#since !== since;
    this.#since = since;
    this.consumer =
      attempts === undefined
        ? undefined
        : { ...this.#addCountsBeforeReset({ attempts, retries, ejections }, wasReset), nodes };
    this.sessions = peers.length;
    const bytes = { read: 0, written: 0, queued: 0 };
    for (const { bytesRead, bytesWritten, queuedBytes } of peers) {
      bytes.read += bytesRead;
      bytes.written += bytesWritten;
      bytes.queued += queuedBytes;
    }
    this.bytes = bytes;
    this.#updateTotals('server', served, wasReset);
    this.#updateTotals('client', calls, wasReset);
  }

  /** Returns the latest counts, with the counts before each reset. */
  #addCountsBeforeReset(latest: ConsumerCounts, wasReset: boolean): ConsumerCounts {
    if (wasReset)
      this.#consumerCountsBeforeReset = sumOf(
        this.#consumerCountsBeforeReset,
        this.#latestConsumerCounts,
      );
    this.#latestConsumerCounts = latest;
    return sumOf(this.#consumerCountsBeforeReset, latest);
  }

  #updateTotals(side: Side, methods: readonly MethodStatistics[], wasReset: boolean): void {
    const totals = this.#totals[side];
    const rowsByKey = new Map<string, MethodStatistics[]>();
    for (const row of methods) {
      const key = JSON.stringify([row.service, row.version, row.method]);
      const rows = rowsByKey.get(key);
      if (rows === undefined) rowsByKey.set(key, [row]);
      else rows.push(row);
    }
    for (const [key, rows] of rowsByKey) {
      let total = totals.get(key);
      if (total === undefined) {
        total = new MethodTotals(this.#limits, rows[0] as MethodStatistics);
        totals.set(key, total);
      }
      total.update(rows, wasReset);
    }
  }

  methods(side: Side): Iterable<MethodTotals> {
    return this.#totals[side].values();
  }
}

function sumOf(a: ConsumerCounts, b: ConsumerCounts): ConsumerCounts {
  return {
    attempts: a.attempts + b.attempts,
    retries: a.retries + b.retries,
    ejections: a.ejections + b.ejections,
  };
}
