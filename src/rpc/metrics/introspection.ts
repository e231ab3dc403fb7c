/**
 * Introspection: a service that reports the services, statistics and sessions of its server, for
 * consoles and operators.
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
import type { DescriptorSets } from './descriptor-set.js';
import { jsonSchemaOf, SchemaBudget } from './json-schema.js';
import { type RpcCounters, statisticsOf } from './statistics.js';

/** A method of a service. An unknown property is absent, because JSON has no undefined. */
export interface MethodDescription {
  readonly name: string;
  readonly kind: MethodKind;
  readonly idempotent: boolean;
  /** The timeout of each call, in milliseconds. */
  readonly timeout?: number | undefined;
  /**
   * The argument and the reply, or one message of a stream. Absent: the contract does not describe
   * it.
   */
  readonly input?: MessageDescription | undefined;
  readonly output?: MessageDescription | undefined;
}

/** A service of the server. */
export interface ServiceDescription {
  readonly name: string;
  readonly version: string;
  readonly codecs: readonly CodecName[];
  readonly methods: readonly MethodDescription[];
}

/** The latencies of a method, in milliseconds. */
export type LatencyReport = Omit<LatencyStatistics, 'cumulative'>;

/** The statistics of a method in one direction. */
export type MethodReport = Omit<MethodStatistics, 'latency'> & { readonly latency: LatencyReport };

/** The statistics of the server. */
export interface StatisticsReport {
  /** When counting began, in milliseconds since the epoch. */
  readonly since: number;
  /** Calls that the server made to its peers. */
  readonly calls: readonly MethodReport[];
  /** Calls that the server handled. */
  readonly served: readonly MethodReport[];
}

/** A session of the server. */
export interface SessionReport {
  /** The address of the peer. */
  readonly peer: string;
  /** Whether the peer supports the extensions of this library. Absent: not known yet. */
  readonly extended?: boolean | undefined;
  /** Calls to the peer that wait for their reply. */
  readonly pending: number;
  /** The peer's calls that are being handled. */
  readonly serving: number;
  readonly calls: CallCounts;
  readonly served: CallCounts;
}

/** The sessions of the server. */
export interface SessionsReport {
  /** How many sessions the server has, including sessions that are not in `sessions`. */
  readonly total: number;
  readonly sessions: readonly SessionReport[];
}

/** The argument of the method `sessions`. */
export interface SessionsRequest {
  /** The most sessions in the report, from 0 to 3,000. Default: 1,000. */
  readonly limit?: number | undefined;
}

/** The argument of the method `services`. */
export interface ServicesRequest {
  /**
   * The name of a service. Its JSON Schemas then have the whole answer. Default: all services.
   */
  readonly service?: string | undefined;
}

/** The argument of the method `descriptors`. */
export interface DescriptorsRequest {
  /** The name of a service. Default: all services. */
  readonly service?: string | undefined;
}

/** The descriptors of the Protobuf messages of the server. */
export interface DescriptorsReport {
  /**
   * A FileDescriptorSet of google/protobuf/descriptor.proto, in base64: the .proto files of
   * generated services, and their imports before them. Empty if there is none.
   */
  readonly fileDescriptorSet: string;
}

/**
 * A report of so many sessions, with long addresses and large counts, fits the defaults of
 * maxMessageBytes and maxDecodedObjects: a session has up to 340 bytes and 25 values and names.
 */
const MAX_SESSIONS = 3_000;
const DEFAULT_SESSIONS = 1_000;

/**
 * The contract of the service that `serve(…, { introspection: true })` adds:
 * `client.stub(Introspection).services()`.
 */
export const Introspection = contract('getty.Introspection', {
  services: unary<ServicesRequest | void, ServiceDescription[]>({ idempotent: true }),
  statistics: unary<void, StatisticsReport>({ idempotent: true }),
  sessions: unary<SessionsRequest | void, SessionsReport>({ idempotent: true }),
  descriptors: unary<DescriptorsRequest | void, DescriptorsReport>({ idempotent: true }),
});

/**
 * Returns `services` and the introspection service of a server with these services, open sessions
 * and counters. Throws BAD_OPTION when one of `services` has its name.
 */
export function withIntrospection(
  services: readonly Service[],
  channels: ReadonlySet<Channel>,
  counters: RpcCounters,
  descriptors: Pick<DescriptorSets, 'find'>,
): readonly Service[] {
  // The router throws BAD_OPTION for other invalid services.
  if (!Array.isArray(services)) return services;
  const { name } = Introspection;
  if (services.some((service: Service) => service?.contract?.name === name))
    throw badOption('services', name, `other names: ${name} is the introspection service`);
  // Conversions to JSON Schema take time, and services do not change.
  const descriptions = new Map<string | undefined, ServiceDescription[]>();
  const describeServices = (wanted: string | undefined): ServiceDescription[] => {
    const known = descriptions.get(wanted);
    if (known !== undefined) return known;
    const budget = new SchemaBudget();
    const selected = all.filter(({ contract }) => wanted === undefined || contract.name === wanted);
    const described = selected.map((service) => describeService(service, budget));
    // A peer can invent names.
    if (described.length > 0) descriptions.set(wanted, described);
    return described;
  };
  const all: readonly Service[] = [
    ...services,
    implement(Introspection, {
      services: (request) => describeServices(request?.service),
      // Without the statistics of the sessions, which take time if there are many.
      statistics: () => reportOf(statisticsOf(counters, [])),
      sessions: (request) => sessionsOf(channels, limitOf(request)),
      descriptors: (request) => ({
        fileDescriptorSet: descriptors.find(request?.service),
      }),
    }),
  ];
  return all;
}

function describeService(
  { contract: { name, version, codecs }, handlers }: Service,
  budget: SchemaBudget,
): ServiceDescription {
  return {
    name,
    version,
    codecs,
    methods: [...handlers.values()].map(({ method }) => describeMethod(method, budget)),
  };
}

function describeMethod(
  { name, kind, idempotent, timeout, input, output, schemas }: Method,
  budget: SchemaBudget,
): MethodDescription {
  const hasReply = kind !== 'oneway' && kind !== 'noReply';
  return {
    name,
    kind,
    idempotent,
    timeout,
    input: describeMessage('input', input, schemas?.input, budget),
    output: hasReply ? describeMessage('output', output, schemas?.output, budget) : undefined,
  };
}

function describeMessage(
  direction: 'input' | 'output',
  codecs: Method['input'],
  schema: NonNullable<Method['schemas']>['input'],
  budget: SchemaBudget,
): MessageDescription | undefined {
  if (schema !== undefined) {
    const { vendor } = schema['~standard'];
    return { vendor, ...jsonSchemaOf(schema, direction, budget) };
  }
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

/** Returns the limit of a request. Throws INVALID_ARGUMENT when it is invalid. */
function limitOf(request: unknown): number {
  const { limit = DEFAULT_SESSIONS } = (request ?? {}) as SessionsRequest;
  if (typeof limit === 'number' && Number.isInteger(limit) && limit >= 0 && limit <= MAX_SESSIONS)
    return limit;
  throw new RpcError('INVALID_ARGUMENT', `limit: expected an integer from 0 to ${MAX_SESSIONS}`);
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
