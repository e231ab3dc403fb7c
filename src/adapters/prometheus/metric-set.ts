/** All metrics of one registry, and the sources that they report. */
import { Counter, Gauge, type PrometheusContentType, type Registry } from 'prom-client';
import { badOption } from '../../core/options.js';
import { type HistogramTotals, makeHistogram } from './histogram.js';
import type { MethodTotals } from './method-totals.js';
import { MetricsSource, type Side, type StatisticsSource } from './metrics-source.js';

/** One value of a metric, and its labels. */
type Sample = readonly [labels: Readonly<Record<string, string>>, value: number];

const METHOD_LABELS = ['name', 'service', 'version', 'method'] as const;

/** The metrics in one registry, and the servers and clients that they report. */
export interface RpcMetrics extends Disposable {
  /**
   * Reports a server or client under the label `name`. Returns the function that ends this and
   * removes its series. Throws BAD_OPTION for a name that is in use.
   */
  add(name: string, source: StatisticsSource): () => void;
  /** Removes the metrics from the registry. */
  close(): void;
}

export class MetricSet implements RpcMetrics {
  readonly #register: Registry<PrometheusContentType>;
  readonly #prefix: string;
  /** Upper limits of the buckets, in milliseconds. */
  readonly #limits: readonly number[];
  readonly #metricNames: string[] = [];
  readonly #sources = new Map<string, MetricsSource>();
  /** Whether the sources have been read in the scrape that is in progress. */
  #areSourcesRead = false;

  /** Throws BAD_OPTION if the registry has a metric with one of the names. */
  constructor(
    register: Registry<PrometheusContentType>,
    prefix: string,
    limits: readonly number[],
  ) {
    this.#register = register;
    this.#prefix = prefix;
    this.#limits = limits;
    this.#addMethodMetrics('server', 'Calls received', 'How long handlers took.');
    this.#addMethodMetrics('client', 'Calls made', 'How long calls took until their answer.');
    this.#addSessionMetrics();
    this.#addConsumerMetrics();
  }

  #addSessionMetrics(): void {
    this.#addMetric(Gauge, 'sessions', 'Open sessions.', ['name'], ({ name, sessions }) => [
      [{ name }, sessions],
    ]);
    this.#addMetric(
      Gauge,
      'session_bytes',
      'Bytes of the open sessions: read and written since they opened, and queued now.',
      ['name', 'state'],
      ({ name, bytes }) => samplesOf(bytes, (state) => ({ name, state })),
    );
    this.#addMetric(
      Counter,
      'refusals_total',
      'Peers that a server refused, by reason.',
      ['name', 'reason'],
      ({ name, refusals }) => samplesOf(refusals, (reason) => ({ name, reason })),
    );
  }

  #addConsumerMetrics(): void {
    for (const [count, help] of [
      ['attempts', 'Attempts of consumers that were sent to a node.'],
      ['retries', 'Attempts of consumers after the first of their call.'],
      ['ejections', 'How often consumers ejected a node because calls to it failed.'],
    ] as const)
      this.#addMetric(Counter, `consumer_${count}_total`, help, ['name'], ({ name, consumer }) =>
        consumer === undefined ? [] : [[{ name }, consumer[count]]],
      );
    this.#addMetric(
      Gauge,
      'consumer_nodes',
      'Nodes that consumers know, by state.',
      ['name', 'state'],
      ({ name, consumer }) => samplesOf(consumer?.nodes, (state) => ({ name, state })),
    );
  }

  #addMethodMetrics(side: Side, callsHelp: string, durationHelp: string): void {
    const perMethod =
      (read: (totals: MethodTotals) => readonly Sample[]) =>
      (source: MetricsSource): Sample[] =>
        [...source.methods(side)].flatMap((totals) => {
          const common = labelsOf(source, totals);
          return read(totals).map(([labels, value]): Sample => [{ ...common, ...labels }, value]);
        });
    this.#addMetric(
      Counter,
      `${side}_calls_started_total`,
      `${callsHelp}.`,
      METHOD_LABELS,
      perMethod(({ started }) => [[{}, started]]),
    );
    this.#addMetric(
      Counter,
      `${side}_calls_completed_total`,
      `${callsHelp} that have ended, by code; OK: without an error.`,
      [...METHOD_LABELS, 'code'],
      perMethod(({ completed }) => completed.map(([code, count]) => [{ code }, count])),
    );
    this.#addMetric(
      Counter,
      `${side}_bytes_total`,
      `Bytes of bodies and stream frames. ${callsHelp}.`,
      [...METHOD_LABELS, 'direction'],
      perMethod(({ bytesSent, bytesReceived }) => [
        [{ direction: 'sent' }, bytesSent],
        [{ direction: 'received' }, bytesReceived],
      ]),
    );
    this.#addMetric(
      Gauge,
      `${side}_calls_in_flight`,
      `${callsHelp} that have not ended.`,
      METHOD_LABELS,
      perMethod(({ inFlight }) => [[{}, inFlight]]),
    );
    this.#addHistogram(side, `${side}_duration_seconds`, durationHelp);
  }

  #addMetric(
    Metric: typeof Counter | typeof Gauge,
    name: string,
    help: string,
    labelNames: readonly string[],
    read: (source: MetricsSource) => Iterable<Sample>,
  ): void {
    const samples = (): Iterable<Sample> => this.#samples(read);
    const metric = new Metric({
      name: this.#reserve(name),
      help,
      labelNames,
      registers: [],
      collect(this: Counter | Gauge) {
        this.reset();
        for (const [labels, value] of samples()) this.inc(labels, value);
      },
    });
    this.#register.registerMetric(metric);
  }

  #addHistogram(side: Side, name: string, help: string): void {
    const read = (): HistogramTotals[] =>
      [...this.#readSources()].flatMap((source) =>
        [...source.methods(side)].map((totals) => ({
          labels: labelsOf(source, totals),
          buckets: totals.buckets,
          sum: totals.latencySum / 1_000,
          count: totals.latencyCount,
        })),
      );
    const seconds = this.#limits.map((limit) => limit / 1_000);
    this.#register.registerMetric(makeHistogram(this.#reserve(name), help, seconds, read));
  }

  /** The whole name of a metric. Throws BAD_OPTION if the registry has it. */
  #reserve(name: string): string {
    const wholeName = `${this.#prefix}${name}`;
    if (this.#register.getSingleMetric(wholeName) !== undefined) {
      this.close();
      throw badOption(
        'register',
        `a registry with ${wholeName}`,
        'a registry without it: call rpcMetrics() once for a registry, or use another prefix',
      );
    }
    this.#metricNames.push(wholeName);
    return wholeName;
  }

  add(name: string, source: StatisticsSource): () => void {
    if (typeof name !== 'string' || name === '') throw badOption('name', name, 'a name');
    if (typeof source?.statistics !== 'function')
      throw badOption('source', source, 'a server or client of rpc');
    if (this.#sources.has(name))
      throw badOption('name', name, 'a name that no other server or client here has');
    const added = new MetricsSource(name, source, this.#limits);
    this.#sources.set(name, added);
    this.#areSourcesRead = false;
    return () => {
      if (this.#sources.get(name) === added) this.#sources.delete(name);
    };
  }

  /**
   * The sources, with the same values for all metrics of a scrape. A registry of prom-client asks
   * all metrics before it awaits anything. So the first metric reads the sources, and a microtask
   * ends the scrape.
   */
  #readSources(): Iterable<MetricsSource> {
    if (!this.#areSourcesRead) {
      for (const source of this.#sources.values()) source.update();
      this.#areSourcesRead = true;
      queueMicrotask(() => {
        this.#areSourcesRead = false;
      });
    }
    return this.#sources.values();
  }

  *#samples(read: (source: MetricsSource) => Iterable<Sample>): Iterable<Sample> {
    for (const source of this.#readSources()) yield* read(source);
  }

  close(): void {
    for (const name of this.#metricNames.splice(0)) this.#register.removeSingleMetric(name);
    this.#sources.clear();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function labelsOf(
  { name }: MetricsSource,
  { method: { service, version, method } }: MethodTotals,
): Record<(typeof METHOD_LABELS)[number], string> {
  return { name, service, version, method };
}

/** A sample for each count; `labels` gives the labels of a key. */
function samplesOf(
  counts: Readonly<Record<string, number>> = {},
  labels: (key: string) => Readonly<Record<string, string>>,
): Sample[] {
  return Object.entries(counts).map(([key, count]) => [labels(key), count]);
}
