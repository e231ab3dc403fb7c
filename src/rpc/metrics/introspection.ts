/**
 * A service that tells what a server offers, what it has counted and who is connected: for consoles
 * and people who look.
 */
import { badOption } from '../../core/options.js';
import { contract, implement } from '../contract/contract.js';
import { unary } from '../contract/method.js';
import { RpcError } from '../errors.js';
import type {
  CallCounts,
  Channel,
  CodecName,
  LatencyStatistics,
  MessageDescription,
  Method,
  MethodKind,
  MethodStatistics,
  RpcStatistics,
  Service,
} from '../types.js';

/** JSON has no undefined: what is not known is not there. */
export interface MethodDescription {
  readonly name: string;
  readonly kind: MethodKind;
  readonly idempotent: boolean;
  /** Milliseconds. */
  readonly timeout?: number | undefined;
  /**
   * What its argument is, and its reply, or one message of a stream of them; not there: nobody has
   * said.
   */
  readonly input?: MessageDescription | undefined;
  readonly output?: MessageDescription | undefined;
}

export interface ServiceDescription {
  readonly name: string;
  readonly version: string;
  readonly codecs: readonly CodecName[];
  readonly methods: readonly MethodDescription[];
}

/** Milliseconds. */
export type LatencyReport = Omit<LatencyStatistics, 'cumulative'>;

export type MethodReport = Omit<MethodStatistics, 'latency'> & { readonly latency: LatencyReport };

export interface StatisticsReport {
  /** When counting began, in ms since the epoch. */
  readonly since: number;
  /** Calls that the server made. */
  readonly calls: readonly MethodReport[];
  readonly served: readonly MethodReport[];
}

export interface SessionReport {
  readonly peer: string;
  /** Whether the peer speaks the extensions; not there: it is not known yet. */
  readonly extended?: boolean | undefined;
  /** Calls to the peer that wait for their answer. */
  readonly pending: number;
  /** The peer's calls that are being handled. */
  readonly serving: number;
  readonly calls: CallCounts;
  readonly served: CallCounts;
}

export interface SessionsReport {
  /** How many there are, however many are told. */
  readonly total: number;
  readonly sessions: readonly SessionReport[];
}

export interface SessionsRequest {
  /** The most sessions to tell of, up to 10,000. Default: 1,000. */
  readonly limit?: number | undefined;
}

/** As many as fit into a message. */
const MOST_SESSIONS = 10_000;
const SESSIONS = 1_000;

/**
 * The contract of what `serve(…, { introspection: true })` offers:
 * `client.stub(Introspection).services()`.
 */
export const Introspection = contract('getty.Introspection', {
  services: unary<void, ServiceDescription[]>({ idempotent: true }),
  statistics: unary<void, StatisticsReport>({ idempotent: true }),
  sessions: unary<SessionsRequest | void, SessionsReport>({ idempotent: true }),
});

/** What is looked into. */
interface Introspected {
  readonly channels: ReadonlySet<Channel>;
  statistics(): RpcStatistics;
}

/**
 * `services` and one that tells of them and of `server`. Throws BAD_OPTION when one of them has its
 * name.
 */
export function withIntrospection(
  services: readonly Service[],
  server: Introspected,
): readonly Service[] {
  // Whatever else is wrong with them is the router's to say.
  if (!Array.isArray(services)) return services;
  const { name } = Introspection;
  if (services.some((service: Service) => service?.contract?.name === name))
    throw badOption('services', name, `other names: ${name} is introspection's`);
  const all: readonly Service[] = [
    ...services,
    implement(Introspection, {
      services: () => all.map(describeService),
      statistics: () => reportOf(server.statistics()),
      sessions: (request) => sessionsOf(server.channels, limitOf(request)),
    }),
  ];
  return all;
}

function describeService({
  contract: { name, version, codecs },
  handlers,
}: Service): ServiceDescription {
  return {
    name,
    version,
    codecs,
    methods: [...handlers.values()].map(({ method }) => describeMethod(method)),
  };
}

function describeMethod({
  name,
  kind,
  idempotent,
  timeout,
  input,
  output,
  schemas,
}: Method): MethodDescription {
  const answers = kind !== 'oneway' && kind !== 'noReply';
  return {
    name,
    kind,
    idempotent,
    timeout,
    input: describeMessage(input, schemas?.input),
    output: answers ? describeMessage(output, schemas?.output) : undefined,
  };
}

function describeMessage(
  codecs: Method['input'],
  schema: NonNullable<Method['schemas']>['input'],
): MessageDescription | undefined {
  if (schema !== undefined) return { vendor: schema['~standard'].vendor };
  return codecs.json?.describe?.();
}

function reportOf({ since, calls, served }: RpcStatistics): StatisticsReport {
  const report = (list: readonly MethodStatistics[]): MethodReport[] =>
    list.map((method) => {
      const { cumulative: _, ...latency } = method.latency;
      return { ...method, latency };
    });
  return { since, calls: report(calls), served: report(served) };
}

/** What a stranger asks for. Throws INVALID_ARGUMENT. */
function limitOf(request: unknown): number {
  const { limit = SESSIONS } = (request ?? {}) as SessionsRequest;
  if (typeof limit === 'number' && Number.isInteger(limit) && limit >= 0 && limit <= MOST_SESSIONS)
    return limit;
  throw new RpcError('INVALID_ARGUMENT', `limit: expected a whole number up to ${MOST_SESSIONS}`);
}

function sessionsOf(channels: ReadonlySet<Channel>, limit: number): SessionsReport {
  const sessions: SessionReport[] = [];
  for (const { peer, extended, pending, serving, statistics } of channels) {
    if (sessions.length >= limit) break;
    const { calls, served } = statistics;
    sessions.push({ peer, extended, pending, serving, calls, served });
  }
  return { total: channels.size, sessions };
}
