/** A server or client whose statistics are reported as metrics. */
import { notifyOrWarn, refusePromise } from '../../core/callbacks.js';
import type { MethodStatistics, RpcStatistics } from '../../rpc/index.js';
import { MethodTotals } from './method-totals.js';

/** The part of the statistics that consumers have, and servers and clients do not. */
interface ConsumerFigures {
  readonly attempts: number;
  readonly retries: number;
  readonly ejections: number;
  /** Nodes by state. */
  readonly nodes: Readonly<Record<string, number>>;
}

/** An RpcServer, an RpcClient, a Provider, a Consumer, or an object with the same statistics(). */
export interface StatisticsSource {
  statistics(): RpcStatistics & Partial<ConsumerFigures>;
  /** Of a server: peers that were refused, by reason. */
  readonly refusals?: Readonly<Record<string, number>> | undefined;
}

/** `server`: calls received. `client`: calls made. */
export type Side = 'server' | 'client';

/** The latest figures of one StatisticsSource. */
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
  /** Open sessions. */
  sessions = 0;
  /** Of the open sessions. */
  bytes = { read: 0, written: 0, queued: 0 };
  /** By reason; undefined unless the source is a server. */
  refusals: Readonly<Record<string, number>> | undefined;
  /** Undefined unless the source is a consumer. */
  consumer: ConsumerFigures | undefined;

  /** `limits`: upper limits of the buckets of the histogram, in milliseconds. */
  constructor(name: string, source: StatisticsSource, limits: readonly number[]) {
    this.name = name;
    this.#source = source;
    this.#limits = limits;
  }

  /** Reads the statistics. If that fails, the old figures stay and the process warns. */
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
  }: RpcStatistics & Partial<ConsumerFigures>): void {
    this.consumer = attempts === undefined ? undefined : { attempts, retries, ejections, nodes };
    const wasReset = this.#since !== undefined && this.#since !== since;
    this.#since = since;
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

  #updateTotals(side: Side, methods: readonly MethodStatistics[], wasReset: boolean): void {
    const totals = this.#totals[side];
    for (const method of methods) {
      const key = JSON.stringify([method.service, method.version, method.method]);
      let total = totals.get(key);
      if (total === undefined) {
        total = new MethodTotals(this.#limits, method);
        totals.set(key, total);
      }
      total.update(method, wasReset);
    }
  }

  methods(side: Side): Iterable<MethodTotals> {
    return this.#totals[side].values();
  }
}
