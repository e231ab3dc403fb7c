/**
 * The statistics of rpc as metrics of prom-client. They are read when Prometheus asks, so no call
 * pays for them.
 */
import {
  Counter,
  register as common,
  Gauge,
  type OpenMetricsContentType,
  type PrometheusContentType,
  type Registry,
} from 'prom-client';
import { badOption, checkNames, type NamesOf, withDefaults } from '../../core/options.js';
import { type HistogramTotals, histogramOf } from './histogram.js';
import { type Side, Source, type StatisticsSource } from './source.js';
import type { MethodTotals } from './totals.js';

export type { StatisticsSource } from './source.js';

export interface RpcMetricsOptions {
  /** Default: the registry that prom-client has for all. */
  register?: Registry<PrometheusContentType> | Registry<OpenMetricsContentType> | undefined;
  /** What the name of each metric begins with. */
  prefix?: string | undefined;
  /**
   * The upper ends of the buckets of durations, in milliseconds, ascending; their labels are
   * seconds, as Prometheus wants them.
   */
  buckets?: readonly number[] | undefined;
}

const NAMES = { register: true, prefix: true, buckets: true } satisfies NamesOf<RpcMetricsOptions>;

export const RPC_METRICS_DEFAULTS = {
  prefix: 'getty_rpc_',
  buckets: [
    0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000,
  ] as readonly number[],
} satisfies RpcMetricsOptions;

/** The metrics of one registry, and the servers and clients that they tell of. */
export interface RpcMetrics extends Disposable {
  /**
   * Tell of a server or client under the label `name`, until the function that is answered is
   * called; its series are gone then. Throws BAD_OPTION for a name that is taken.
   */
  add(name: string, source: StatisticsSource): () => void;
  /** Take the metrics out of the registry. */
  close(): void;
}

const METHOD = ['name', 'service', 'version', 'method'] as const;
const METRIC_NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
/** More are a mistake: each is a series for each method. */
const MOST_BUCKETS = 100;

class Metrics implements RpcMetrics {
  readonly #register: Registry<PrometheusContentType>;
  readonly #limits: readonly number[];
  readonly #names: string[] = [];
  readonly #sources = new Map<string, Source>();
  #fresh = false;

  constructor(
    register: Registry<PrometheusContentType>,
    prefix: string,
    limits: readonly number[],
  ) {
    this.#register = register;
    this.#limits = limits;
    for (const side of ['server', 'client'] as const) this.#addSide(prefix, side);
    const read = (): Iterable<Source> => this.#read();
    const sessions = new Gauge({
      name: this.#free(`${prefix}sessions`),
      help: 'Open sessions.',
      labelNames: ['name'],
      registers: [],
      collect() {
        this.reset();
        for (const source of read()) this.set({ name: source.name }, source.sessions);
      },
    });
    register.registerMetric(sessions);
    this.#addTransport(prefix);
    this.#addConsumers(prefix);
  }

  #addTransport(prefix: string): void {
    const read = (): Iterable<Source> => this.#read();
    const bytes = new Gauge({
      name: this.#free(`${prefix}session_bytes`),
      help: 'Bytes of the sessions that are open: read and written since they opened, and queued now.',
      labelNames: ['name', 'state'],
      registers: [],
      collect() {
        this.reset();
        for (const source of read())
          for (const [state, count] of Object.entries(source.bytes))
            this.set({ name: source.name, state }, count);
      },
    });
    this.#register.registerMetric(bytes);
    const refusals = new Counter({
      name: this.#free(`${prefix}refusals_total`),
      help: 'Peers that a server refused, by reason.',
      labelNames: ['name', 'reason'],
      registers: [],
      collect() {
        this.reset();
        for (const { name, refusals: counts } of read()) {
          for (const [reason, count] of Object.entries(counts ?? {}))
            this.inc({ name, reason }, count);
        }
      },
    });
    this.#register.registerMetric(refusals);
  }

  #addConsumers(prefix: string): void {
    const counters = [
      ['attempts', 'Calls of consumers that went to a node, each time by itself.'],
      ['retries', 'Attempts of consumers that were not the first of their call.'],
      ['ejections', 'How often consumers left a node out because calls to it failed.'],
    ] as const;
    const read = (): Iterable<Source> => this.#read();
    for (const [figure, help] of counters) {
      const counter = new Counter({
        name: this.#free(`${prefix}consumer_${figure}_total`),
        help,
        labelNames: ['name'],
        registers: [],
        collect() {
          this.reset();
          for (const { name, consumer } of read())
            if (consumer !== undefined) this.inc({ name }, consumer[figure]);
        },
      });
      this.#register.registerMetric(counter);
    }
    const nodes = new Gauge({
      name: this.#free(`${prefix}consumer_nodes`),
      help: 'Nodes that consumers know, by state.',
      labelNames: ['name', 'state'],
      registers: [],
      collect() {
        this.reset();
        for (const { name, consumer } of read()) {
          for (const [state, count] of Object.entries(consumer?.nodes ?? {}))
            this.set({ name, state }, count);
        }
      },
    });
    this.#register.registerMetric(nodes);
  }

  #addSide(prefix: string, side: Side): void {
    const which = side === 'server' ? 'Calls that came' : 'Calls that were made';
    const what = `${prefix}${side}_`;
    this.#counter(side, `${what}calls_started_total`, `${which}.`, [], ({ started }) => [
      [{}, started],
    ]);
    this.#counter(
      side,
      `${what}calls_completed_total`,
      `${which} and are over, by code; OK did not fail.`,
      ['code'],
      ({ completed }) => completed.map(([code, count]) => [{ code }, count]),
    );
    this.#counter(
      side,
      `${what}bytes_total`,
      `Bytes of bodies, and of the packages of streams. ${which}.`,
      ['direction'],
      (totals) => [
        [{ direction: 'sent' }, totals.bytesSent],
        [{ direction: 'received' }, totals.bytesReceived],
      ],
    );
    const read = (): Iterable<[Source, MethodTotals]> => this.#methods(side);
    const inFlight = new Gauge({
      name: this.#free(`${what}calls_in_flight`),
      help: `${which} and are not over.`,
      labelNames: METHOD,
      registers: [],
      collect() {
        this.reset();
        for (const [source, totals] of read()) this.set(labelsOf(source, totals), totals.inFlight);
      },
    });
    this.#register.registerMetric(inFlight);
    this.#histogram(
      side,
      `${what}duration_seconds`,
      side === 'server' ? 'How long handlers took.' : 'How long calls took until their answer.',
    );
  }

  #counter<Label extends string>(
    side: Side,
    name: string,
    help: string,
    more: readonly Label[],
    values: (totals: MethodTotals) => [labels: Partial<Record<Label, string>>, value: number][],
  ): void {
    const read = (): Iterable<[Source, MethodTotals]> => this.#methods(side);
    const counter = new Counter<string>({
      name: this.#free(name),
      help,
      labelNames: [...METHOD, ...more],
      registers: [],
      collect() {
        this.reset();
        for (const [source, totals] of read()) {
          for (const [labels, value] of values(totals))
            this.inc({ ...labelsOf(source, totals), ...labels }, value);
        }
      },
    });
    this.#register.registerMetric(counter);
  }

  #histogram(side: Side, name: string, help: string): void {
    const read = (): HistogramTotals[] =>
      [...this.#methods(side)].map(([source, totals]) => {
        const { buckets, milliseconds, latencies } = totals;
        return {
          labels: labelsOf(source, totals),
          buckets,
          sum: milliseconds / 1_000,
          count: latencies,
        };
      });
    const seconds = this.#limits.map((limit) => limit / 1_000);
    this.#register.registerMetric(histogramOf(this.#free(name), help, seconds, read));
  }

  /** Throws BAD_OPTION for a name that the registry has already. */
  #free(name: string): string {
    if (this.#register.getSingleMetric(name) !== undefined) {
      this.close();
      throw badOption(
        'register',
        `a registry with ${name}`,
        'one without it: metrics are made once for a registry, or have another prefix',
      );
    }
    this.#names.push(name);
    return name;
  }

  add(name: string, source: StatisticsSource): () => void {
    if (typeof name !== 'string' || name === '') throw badOption('name', name, 'a name');
    if (typeof source?.statistics !== 'function')
      throw badOption('source', source, 'a server or client of rpc');
    if (this.#sources.has(name))
      throw badOption('name', name, 'one that no other server or client here has');
    const added = new Source(name, source, this.#limits);
    this.#sources.set(name, added);
    this.#fresh = false;
    return () => {
      if (this.#sources.get(name) === added) this.#sources.delete(name);
    };
  }

  /** A registry asks all its metrics in one go: what they tell is of one instant. */
  #read(): Iterable<Source> {
    if (!this.#fresh) {
      for (const source of this.#sources.values()) source.update();
      this.#fresh = true;
      queueMicrotask(() => {
        this.#fresh = false;
      });
    }
    return this.#sources.values();
  }

  *#methods(side: Side): Iterable<[Source, MethodTotals]> {
    for (const source of this.#read())
      for (const totals of source.methods(side)) yield [source, totals];
  }

  close(): void {
    for (const name of this.#names.splice(0)) this.#register.removeSingleMetric(name);
    this.#sources.clear();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function labelsOf(
  { name }: Source,
  { method: { service, version, method } }: MethodTotals,
): Record<(typeof METHOD)[number], string> {
  return { name, service, version, method };
}

/**
 * Make the metrics of rpc in a registry; add() says of which servers and clients they tell. Throws
 * BAD_OPTION, also where the registry has metrics of these names.
 */
export function rpcMetrics(options: RpcMetricsOptions = {}): RpcMetrics {
  checkNames('rpcMetrics()', options, NAMES);
  const { prefix, buckets } = withDefaults(RPC_METRICS_DEFAULTS, options);
  const { register = common } = options;
  if (typeof register?.registerMetric !== 'function')
    throw badOption('register', register, 'a Registry of prom-client');
  if (!METRIC_NAME.test(prefix))
    throw badOption('prefix', prefix, 'letters, digits, _ and :, and no digit first');
  const ascending = (limit: unknown, at: number, all: readonly unknown[]): boolean =>
    typeof limit === 'number' &&
    Number.isFinite(limit) &&
    limit > (at === 0 ? 0 : Number(all[at - 1]));
  if (
    !Array.isArray(buckets) ||
    buckets.length === 0 ||
    buckets.length > MOST_BUCKETS ||
    !buckets.every(ascending)
  ) {
    throw badOption(
      'buckets',
      buckets,
      `up to ${MOST_BUCKETS} ascending numbers of milliseconds, above 0`,
    );
  }
  return new Metrics(register as Registry<PrometheusContentType>, prefix, [...buckets]);
}
