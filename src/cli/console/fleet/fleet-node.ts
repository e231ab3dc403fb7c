/** One node: its connection, its answers to introspection, and the calls of the last second. */
import {
  Admin,
  type RpcClient,
  type ServerStatus,
  type ServiceDescription,
} from '../../../rpc/index.js';
import { printable } from '../../output/printable.js';
import type { ConnectionOptions } from '../../target/connection-options.js';
import {
  describeServer,
  isUnimplemented,
  statisticsOfServer,
  statusOfServer,
} from '../../target/introspection.js';
import { connectTo } from '../../target/server-connection.js';
import type { Terminal } from '../../terminal.js';
import type { Sample } from '../../top/method-rates.js';
import {
  isAnswering,
  NO_POINT,
  type NodeRow,
  type NodeState,
  type OfferedService,
} from '../types.js';
import { type TimedRate, timedRates } from './latency-window.js';
import type { NodeChange } from './node-change.js';
import { ANSWER_LIMIT, nodeFailure, printableReason } from './node-failure.js';
import { type NamedMethod, pointOf, sumOf } from './points.js';
import { keyOf, MAX_SERVICES } from './published-services.js';
import { Series } from './series.js';

/** The most methods of one node. Further ones are left out. */
export const MAX_METHODS = 300;

export class FleetNode {
  readonly key: string;
  readonly address: string;
  readonly series = new Series();
  id = '';
  services: readonly OfferedService[] = [];
  state: NodeState = 'connecting';
  reason = '';
  isPublished = true;
  /** When the node left the registry, in milliseconds of performance.now(). */
  leftAt: number | undefined;
  /** The calls of the last second, busiest first. */
  rates: readonly TimedRate[] = [];
  /** The last answer of `status`. Undefined: none yet, or the node does not have this method. */
  status: ServerStatus | undefined;
  readonly #isFromRegistry: boolean;
  readonly #options: ConnectionOptions;
  readonly #terminal: Terminal;
  readonly #onChange: (node: FleetNode, change: NodeChange) => void;
  #methods: readonly NamedMethod[] = [];
  #client: RpcClient | undefined;
  #last: Sample | undefined;
  #isRestarted = false;
  /** Its introspection has no method `status`: an older version of this package. */
  #isStatusMissing = false;
  #isAsking = false;
  #isClosed = false;
  #failures = 0;
  /** In how many of the next seconds the node is not asked. */
  #pause = 0;

  /** `onChange` is called for each change of NodeChange. */
  constructor(
    address: string,
    isFromRegistry: boolean,
    options: ConnectionOptions,
    terminal: Terminal,
    onChange: (node: FleetNode, change: NodeChange) => void,
  ) {
    this.address = address;
    this.key = keyOf(address);
    this.#isFromRegistry = isFromRegistry;
    this.#options = {
      ...options,
      timeout: Math.min(options.timeout ?? ANSWER_LIMIT, ANSWER_LIMIT),
    };
    this.#terminal = terminal;
    this.#onChange = onChange;
  }

  /** To be called each second. Resolves when the node has answered or failed. Never rejects. */
  async ask(): Promise<void> {
    if (this.#isAsking || this.#isClosed || this.#pause-- > 0) return;
    this.#pause = 0;
    this.#isAsking = true;
    try {
      await this.#sample();
      this.#setAnswering();
    } catch (error) {
      this.#setFailed(error);
    } finally {
      this.#isAsking = false;
      if (this.#isClosed) this.#disconnect();
    }
  }

  async #sample(): Promise<void> {
    if (this.#client === undefined) {
      this.#client = await connectTo(this.address, this.#options, this.#terminal);
      this.#setDescription(await describeServer(this.#client, this.#terminal));
    }
    const [answer, status] = await Promise.all([
      statisticsOfServer(this.#client, this.#terminal),
      this.#askStatus(this.#client),
    ]);
    const served = answer.served.slice(0, MAX_METHODS);
    const sample: Sample = { time: performance.now(), report: { ...answer, served } };
    const before = this.#last;
    this.#last = sample;
    this.rates = before === undefined ? [] : timedRates(this.key, before, sample);
    this.#isRestarted = before !== undefined && before.report.since !== answer.since;
    this.#checkRefusals(status);
    this.status = status;
  }

  async #askStatus(client: RpcClient): Promise<ServerStatus | undefined> {
    if (this.#isStatusMissing) return undefined;
    try {
      return await statusOfServer(client, this.#terminal);
    } catch (error) {
      if (!isUnimplemented(error)) throw error;
      this.#isStatusMissing = true;
      return undefined;
    }
  }

  #checkRefusals(status: ServerStatus | undefined): void {
    if (status === undefined || this.status === undefined || this.#isRestarted) return;
    const before: Readonly<Record<string, number>> = this.status.refusals;
    const more = Object.entries(status.refusals)
      .map(([reason, refused]) => [reason, refused - (before[reason] ?? 0)] as const)
      .filter(([, refused]) => refused > 0);
    if (more.length === 0) return;
    const reasons = more.map(([reason, refused]) => `${reason} ${refused}`).join(', ');
    this.#onChange(this, { to: 'refusing', refused: sumOf(more, ([, count]) => count), reasons });
  }

  #setDescription(services: readonly ServiceDescription[]): void {
    // It is no service of users: the page has buttons for it.
    const known = services.filter(({ name }) => name !== Admin.name).slice(0, MAX_SERVICES);
    this.#methods = known
      .flatMap(({ name, version, methods }) =>
        methods.map((method) => ({
          service: printable(name),
          version: printable(version),
          method: printable(method.name),
          kind: method.kind,
        })),
      )
      .slice(0, MAX_METHODS);
    if (this.#isFromRegistry) return;
    this.services = known.map(({ name, version, codecs }) => ({
      name: printable(name),
      version: printable(version),
      group: '',
      codecs,
    }));
  }

  #setAnswering(): void {
    const { state } = this;
    const hasFailed = this.#failures > 0;
    this.#failures = 0;
    const { provider } = this.status ?? {};
    const isDraining = provider?.state === 'draining';
    if (!this.isPublished && !isDraining) return this.#setGone();
    this.state = isDraining ? 'draining' : 'up';
    this.reason =
      provider?.state === 'waiting'
        ? printableReason(`it waits for its registry: ${provider.reason ?? ''}`)
        : '';
    if (state === 'up' || state === 'draining' || state === 'gone') {
      if (state !== this.state) this.#onChange(this, { to: isDraining ? 'draining' : 'undrained' });
      return;
    }
    const change: NodeChange = hasFailed
      ? { to: 'back', isRestarted: this.#isRestarted }
      : { to: 'up' };
    this.#onChange(this, change);
  }

  #setFailed(error: unknown): void {
    if (this.#terminal.signal.aborted) return;
    this.#disconnect();
    this.rates = [];
    this.#isStatusMissing = false;
    this.#failures++;
    const before = this.state;
    const { state, reason, pause } = nodeFailure(error, before, this.#failures);
    this.#pause = pause;
    if (!this.isPublished) return this.#setGone();
    this.state = state;
    this.reason = reason;
    if (before !== state) this.#onChange(this, { to: state, reason });
  }

  /** The node has left the registry. It is still asked, because it may be draining. */
  setUnpublished(): void {
    this.isPublished = false;
    this.leftAt = performance.now();
    if (this.state !== 'draining') this.#setGone();
  }

  #setGone(): void {
    this.state = 'gone';
    this.reason = 'it is no longer in the registry';
    this.rates = [];
  }

  /** The node is in the registry again. */
  setPublished(): void {
    this.isPublished = true;
    this.leftAt = undefined;
    if (this.state !== 'gone') return;
    this.state = 'connecting';
    this.reason = '';
    this.#failures = 0;
    this.#pause = 0;
  }

  /** The connection, while the node answers. */
  get client(): RpcClient | undefined {
    return isAnswering(this.state) ? this.#client : undefined;
  }

  get row(): NodeRow {
    const { key, id, state, reason, services, rates } = this;
    const point = isAnswering(state) ? pointOf(rates) : NO_POINT;
    return { key, id, state, reason, services, inFlight: inFlightOf(rates), point };
  }

  /** All methods, also those without calls. */
  methodRates(): readonly (NamedMethod & { readonly rate?: TimedRate })[] {
    const byName = new Map(this.rates.map((rate) => [nameOf(rate), rate]));
    const described = this.#methods.map((method) => {
      const rate = byName.get(nameOf(method));
      byName.delete(nameOf(method));
      return rate === undefined ? method : { ...method, rate };
    });
    const others = [...byName.values()].map((rate) => ({
      service: printable(rate.service),
      version: printable(rate.version),
      method: printable(rate.method),
      rate,
    }));
    return [...described, ...others].slice(0, MAX_METHODS);
  }

  close(): void {
    this.#isClosed = true;
    this.#disconnect();
  }

  #disconnect(): void {
    this.#client?.destroy();
    this.#client = undefined;
  }
}

const inFlightOf = (rates: readonly TimedRate[]): number =>
  sumOf(rates, ({ inFlight }) => inFlight);

const nameOf = ({ service, version, method }: Omit<NamedMethod, 'kind'>): string =>
  JSON.stringify([printable(service), printable(version), printable(method)]);
