/** A server or client whose statistics are told as metrics. */
import { notifyOrWarn, refusePromise } from '../../core/callbacks.js';
import type { MethodStatistics, RpcStatistics } from '../../rpc/index.js';
import { MethodTotals } from './totals.js';

/** What the statistics of a consumer have besides. */
export interface ConsumerFigures {
  readonly attempts: number;
  readonly retries: number;
  readonly ejections: number;
  readonly nodes: Readonly<Record<string, number>>;
}

/** An RpcServer, an RpcClient, a Provider, a Consumer, or what else counts as they do. */
export interface StatisticsSource {
  statistics(): RpcStatistics & Partial<ConsumerFigures>;
  /** Of a server: peers that were refused, by reason. */
  readonly refusals?: Readonly<Record<string, number>> | undefined;
}

/** Of which side of its calls: those that came, or those that were made. */
export type Side = 'server' | 'client';

export class Source {
  readonly name: string;
  readonly #from: StatisticsSource;
  readonly #limits: readonly number[];
  #since: number | undefined;
  readonly #totals: Record<Side, Map<string, MethodTotals>> = {
    server: new Map(),
    client: new Map(),
  };
  sessions = 0;
  /** Of the sessions that are open. */
  bytes = { read: 0, written: 0, queued: 0 };
  /** By reason; undefined unless the source is a server. */
  refusals: Readonly<Record<string, number>> | undefined;
  /** Undefined unless the source is a consumer. */
  consumer: ConsumerFigures | undefined;

  /** `limits`: of the histogram's buckets, in ms. */
  constructor(name: string, from: StatisticsSource, limits: readonly number[]) {
    this.name = name;
    this.#from = from;
    this.#limits = limits;
  }

  /**
   * A source that fails keeps its last figures; a warning tells why, and the other sources go on.
   */
  update(): void {
    notifyOrWarn(`statistics() of ${this.name}`, () => {
      const statistics = this.#from.statistics();
      refusePromise('BAD_OPTION', 'statistics()', statistics);
      this.#read(statistics);
      this.refusals = this.#from.refusals;
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
    const reset = this.#since !== undefined && this.#since !== since;
    this.#since = since;
    this.sessions = peers.length;
    const bytes = { read: 0, written: 0, queued: 0 };
    for (const { bytesRead, bytesWritten, queuedBytes } of peers) {
      bytes.read += bytesRead;
      bytes.written += bytesWritten;
      bytes.queued += queuedBytes;
    }
    this.bytes = bytes;
    this.#take('server', served, reset);
    this.#take('client', calls, reset);
  }

  #take(side: Side, list: readonly MethodStatistics[], reset: boolean): void {
    const totals = this.#totals[side];
    for (const method of list) {
      const key = JSON.stringify([method.service, method.version, method.method]);
      let total = totals.get(key);
      if (total === undefined) {
        total = new MethodTotals(this.#limits, method);
        totals.set(key, total);
      }
      total.update(method, reset);
    }
  }

  methods(side: Side): Iterable<MethodTotals> {
    return this.#totals[side].values();
  }
}
