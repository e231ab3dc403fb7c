/**
 * Introspection: a service that reports the services, statistics and sessions of its server, for
 * consoles and operators.
 */
import { badOption } from '../../core/options.js';
import { onNextTurn } from '../../core/turn.js';
import { contract, implement } from '../contract/contract.js';
import { unary } from '../contract/method.js';
import type { CodecName, MessageDescription, Method, MethodKind, Service } from '../types.js';
import { descriptionOf, jsonSchemaOf, SchemaBudget, vendorOf } from './json-schema.js';
import { selectServices } from './selected-services.js';
import type { ServerStatus } from './server-status.js';
import type { SessionsReport, SessionsRequest } from './session-report.js';
import { type RpcCounters, statisticsOf } from './statistics.js';
import {
  type StatisticsReport,
  type StatisticsRequest,
  statisticsReport,
} from './statistics-report.js';

/** Milliseconds of conversions after which the next one waits for another turn. */
const TURN_SHARE = 10;

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
  /**
   * As DescriptorsReport.fileDescriptorSet, of one service or of all. Throws RESOURCE_EXHAUSTED.
   */
  descriptors(service: string | undefined): string;
}

/** The argument of the method `services`. */
export interface ServicesRequest {
  /**
   * The name of a service, or the call rejects with NOT_FOUND. Its JSON Schemas then have the whole
   * answer. Default: all services.
   */
  readonly service?: string | undefined;
}

/** The argument of the method `descriptors`. */
export interface DescriptorsRequest {
  /** The name of a service, or the call rejects with NOT_FOUND. Default: all services. */
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
 * The contract of the service that `serve(…, { introspection: true })` adds:
 * `client.stub(Introspection).services()`.
 */
export const Introspection = contract('getty.Introspection', {
  services: unary<ServicesRequest | void, ServiceDescription[]>({ idempotent: true }),
  statistics: unary<StatisticsRequest | void, StatisticsReport>({ idempotent: true }),
  sessions: unary<SessionsRequest | void, SessionsReport>({ idempotent: true }),
  status: unary<void, ServerStatus>({ idempotent: true }),
  descriptors: unary<DescriptorsRequest | void, DescriptorsReport>({ idempotent: true }),
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
  // Conversions to JSON Schema take time, and services do not change.
  const descriptions = new Map<unknown, Promise<ServiceDescription[]>>();
  const describeServices = (wanted: unknown): Promise<ServiceDescription[]> => {
    const known = descriptions.get(wanted);
    if (known !== undefined) return known;
    const described = describeInTurns(selectServices(all, wanted));
    descriptions.set(wanted, described);
    return described;
  };
  const all: readonly Service[] = [
    ...services,
    implement(Introspection, {
      services: (request) => describeServices(request?.service),
      // Without the statistics of the sessions, which take time if there are many.
      statistics: (request) => statisticsReport(statisticsOf(source.counters, []), request),
      sessions: (request) => source.sessions(request),
      status: () => source.status(),
      descriptors: (request) => ({ fileDescriptorSet: source.descriptors(request?.service) }),
    }),
  ];
  return all;
}

/** A slow conversion by a library of the user ends its turn of the event loop. */
async function describeInTurns(services: readonly Service[]): Promise<ServiceDescription[]> {
  const budget = new SchemaBudget();
  let turnBegan = performance.now();
  const described: ServiceDescription[] = [];
  for (const { contract, handlers } of services) {
    const { name, version, codecs } = contract;
    const methods: MethodDescription[] = [];
    for (const { method } of handlers.values()) {
      methods.push(describeMethod(method, budget));
      if (performance.now() - turnBegan < TURN_SHARE) continue;
      await new Promise<void>(onNextTurn);
      turnBegan = performance.now();
    }
    described.push({ name, version, codecs, methods });
  }
  return described;
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
  if (schema !== undefined)
    return { vendor: vendorOf(schema), ...jsonSchemaOf(schema, direction, budget) };
  return descriptionOf(codecs.json, budget);
}
