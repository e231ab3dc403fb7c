/**
 * Introspection: a service that reports the services, statistics and sessions of its server, for
 * consoles and operators.
 */
import { badOption } from '../../core/options.js';
import { contract, implement } from '../contract/contract.js';
import { unary } from '../contract/method.js';
import type { CodecName, MessageDescription, Method, MethodKind, Service } from '../types.js';
import type { ServerStatus } from './server-status.js';
import type { SessionsReport, SessionsRequest } from './session-report.js';
import { type RpcCounters, statisticsOf } from './statistics.js';
import {
  type StatisticsReport,
  type StatisticsRequest,
  statisticsReport,
} from './statistics-report.js';

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

/** What a server tells of itself besides its services and its statistics. */
export interface IntrospectionSource {
  readonly counters: RpcCounters;
  /** Throws INVALID_ARGUMENT when the request is invalid. */
  sessions(request: unknown): SessionsReport;
  status(): ServerStatus;
}

/**
 * The contract of the service that `serve(…, { introspection: true })` adds:
 * `client.stub(Introspection).services()`.
 */
export const Introspection = contract('getty.Introspection', {
  services: unary<void, ServiceDescription[]>({ idempotent: true }),
  statistics: unary<StatisticsRequest | void, StatisticsReport>({ idempotent: true }),
  sessions: unary<SessionsRequest | void, SessionsReport>({ idempotent: true }),
  status: unary<void, ServerStatus>({ idempotent: true }),
});

/**
 * Returns `services` and the introspection service of a server with these services. Throws
 * BAD_OPTION when one of `services` has its name.
 */
export function withIntrospection(
  services: readonly Service[],
  source: IntrospectionSource,
): readonly Service[] {
  // The router throws BAD_OPTION for other invalid services.
  if (!Array.isArray(services)) return services;
  const { name } = Introspection;
  if (services.some((service: Service) => service?.contract?.name === name))
    throw badOption('services', name, `other names: ${name} is the introspection service`);
  const all: readonly Service[] = [
    ...services,
    implement(Introspection, {
      services: () => all.map(describeService),
      // Without the statistics of the sessions, which take time if there are many.
      statistics: (request) => statisticsReport(statisticsOf(source.counters, []), request),
      sessions: (request) => source.sessions(request),
      status: () => source.status(),
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
  const hasReply = kind !== 'oneway' && kind !== 'noReply';
  return {
    name,
    kind,
    idempotent,
    timeout,
    input: describeMessage(input, schemas?.input),
    output: hasReply ? describeMessage(output, schemas?.output) : undefined,
  };
}

function describeMessage(
  codecs: Method['input'],
  schema: NonNullable<Method['schemas']>['input'],
): MessageDescription | undefined {
  if (schema !== undefined) return { vendor: schema['~standard'].vendor };
  return codecs.json?.describe?.();
}
