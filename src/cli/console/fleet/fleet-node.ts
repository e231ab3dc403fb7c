/** One node: its connection, what it says about itself, and the calls of the last second. */
import { codeOf, messageOf } from '../../../core/errors.js';
import { redactUrl } from '../../../core/redact.js';
import {
  Admin,
  type RpcClient,
  type ServerStatus,
  type ServiceDescription,
} from '../../../rpc/index.js';
import { AdvisedError } from '../../failure.js';
import { MAX_MESSAGE, printable } from '../../output/printable.js';
import type { ConnectionOptions } from '../../target/connection-options.js';
import {
  describeServer,
  isOtherProtocol,
  isUnimplemented,
  statisticsOfServer,
  statusOfServer,
} from '../../target/introspection.js';
import { connectTo } from '../../target/server-connection.js';
import type { Terminal } from '../../terminal.js';
import type { Sample } from '../../top/method-rates.js';
import type { MethodRow, NodeRow, NodeState, OfferedService } from '../types.js';
import { type TimedRate, timedRates } from './latency-window.js';
import { pointOf, sumOf } from './points.js';
import { Series } from './series.js';

/** The most services and methods of one node; further ones are left out. */
const MAX_SERVICES = 50;
const MAX_METHODS = 300;
/** Milliseconds that a node may take to say something about itself. */
const ANSWER_LIMIT = 2_000;
/** A node that does not answer is asked again after this many seconds, at most. */
const LONGEST_BACKOFF = 5;
/** Each attempt to ask a server of Go ends a connection. Seconds. */
const SILENT_BACKOFF = 15;

/** What a change of a node is about. */
export type NodeChange =
  | { readonly to: 'unreachable' | 'silent'; readonly reason: string }
  | { readonly to: 'up' }
  | { readonly to: 'back'; readonly isRestarted: boolean }
  | { readonly to: 'draining' | 'undrained' }
  | { readonly to: 'refusing'; readonly refused: number; readonly reasons: string };

/** A method as the node describes it, without its schemas. */
type KnownMethod = Pick<MethodRow, 'service' | 'version' | 'method' | 'kind'>;

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
  /** What the node has said of itself last. Undefined: nothing, or its version is older. */
  status: ServerStatus | undefined;
  readonly #isFromRegistry: boolean;
  readonly #options: ConnectionOptions;
  readonly #terminal: Terminal;
  readonly #onChange: (node: FleetNode, change: NodeChange) => void;
  #methods: readonly KnownMethod[] = [];
  #client: RpcClient | undefined;
  #last: Sample | undefined;
  #isRestarted = false;
  /** The node has no method `status`. */
  #isOld = false;
  #isAsking = false;
  #isClosed = false;
  #failures = 0;
  /** Seconds until the node is asked again. */
  #rest = 0;

  /** `onChange` is called when the node answers, stops to answer, or was started again. */
  constructor(
    address: string,
    isFromRegistry: boolean,
    options: ConnectionOptions,
    terminal: Terminal,
    onChange: (node: FleetNode, change: NodeChange) => void,
  ) {
    this.address = address;
    this.key = printable(redactUrl(address));
    this.#isFromRegistry = isFromRegistry;
    this.#options = {
      ...options,
      timeout: Math.min(options.timeout ?? ANSWER_LIMIT, ANSWER_LIMIT),
    };
    this.#terminal = terminal;
    this.#onChange = onChange;
  }

  /** Asks the node, once each second. Resolves when it has answered, and never rejects. */
  async ask(): Promise<void> {
    if (this.#isAsking || this.#isClosed || this.#rest-- > 0) return;
    this.#rest = 0;
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
    if (this.#isOld) return undefined;
    try {
      return await statusOfServer(client, this.#terminal);
    } catch (error) {
      if (!isUnimplemented(error)) throw error;
      this.#isOld = true;
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
    // The page has buttons for the admin service.
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
    const had = this.#failures;
    this.#failures = 0;
    const { provider } = this.status ?? {};
    const isDraining = provider?.state === 'draining';
    if (!this.isPublished && !isDraining) return this.#setGone();
    this.state = isDraining ? 'draining' : 'up';
    this.reason =
      provider?.state === 'waiting'
        ? printable(`it waits for its registry: ${provider.reason ?? ''}`, MAX_MESSAGE / 10)
        : '';
    if (state === 'up' || state === 'draining' || state === 'gone') {
      if (state !== this.state) this.#onChange(this, { to: isDraining ? 'draining' : 'undrained' });
      return;
    }
    const change: NodeChange =
      had > 0 ? { to: 'back', isRestarted: this.#isRestarted } : { to: 'up' };
    this.#onChange(this, change);
  }

  #setFailed(error: unknown): void {
    if (this.#terminal.signal.aborted) return;
    this.#disconnect();
    this.rates = [];
    this.#isOld = false;
    this.#failures++;
    const isSilent = hasNothingToSay(error, this.state);
    this.#rest = isSilent ? SILENT_BACKOFF : Math.min(this.#failures - 1, LONGEST_BACKOFF);
    if (!this.isPublished) return this.#setGone();
    const before = this.state;
    this.state = isSilent ? 'silent' : 'unreachable';
    this.reason = printable(reasonOf(error, isSilent), MAX_MESSAGE / 10);
    if (before !== this.state) this.#onChange(this, { to: this.state, reason: this.reason });
  }

  /** The node is no longer in the registry. It is asked further, because it may be draining. */
  leave(): void {
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
  return(): void {
    this.isPublished = true;
    this.leftAt = undefined;
    if (this.state !== 'gone') return;
    this.state = 'connecting';
    this.reason = '';
    this.#failures = 0;
    this.#rest = 0;
  }

  /** The connection, while the node answers. */
  get client(): RpcClient | undefined {
    return this.state === 'up' || this.state === 'draining' ? this.#client : undefined;
  }

  get row(): NodeRow {
    const { key, id, state, reason, services, rates } = this;
    const point = pointOf(rates, state === 'up' || state === 'draining');
    return { key, id, state, reason, services, inFlight: inFlightOf(rates), point };
  }

  /** All methods, also those without calls. */
  methodRates(): readonly (KnownMethod & { readonly rate?: TimedRate })[] {
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

const nameOf = ({ service, version, method }: Omit<KnownMethod, 'kind'>): string =>
  JSON.stringify([printable(service), printable(version), printable(method)]);

/**
 * Whether the node can be reached and does not say anything about itself. A server of Go ends the
 * session, which a server that has just ended does too, so a node that did answer is unreachable.
 */
function hasNothingToSay(error: unknown, before: NodeState): boolean {
  if (isOtherProtocol(error)) return false;
  const cause = error instanceof AdvisedError ? error.error : error;
  switch (codeOf(cause)) {
    case 'UNIMPLEMENTED':
    case 'UNAUTHENTICATED':
    case 'PERMISSION_DENIED':
    case 'INTERNAL':
    case 'RESOURCE_EXHAUSTED':
      return true;
    case 'UNAVAILABLE':
      return error instanceof AdvisedError && (before === 'connecting' || before === 'silent');
    default:
      return false;
  }
}

function reasonOf(error: unknown, isSilent: boolean): string {
  const cause = error instanceof AdvisedError ? error.error : error;
  if (isOtherProtocol(error)) return 'it speaks another protocol';
  switch (codeOf(cause)) {
    case 'UNIMPLEMENTED':
      return 'it has no introspection; start it with introspection: true';
    case 'UNAVAILABLE':
      return isSilent ? 'it has no introspection, as servers of Go' : 'the connection was lost';
    case 'DEADLINE_EXCEEDED':
      return `it does not answer within ${ANSWER_LIMIT / 1_000} s`;
    default:
      return messageOf(cause);
  }
}
