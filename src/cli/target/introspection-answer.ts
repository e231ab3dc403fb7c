/**
 * Reads the answers of the introspection service. Any program may answer, so nothing in an answer
 * is trusted: a part of another type than expected is an error, and unknown parts are left out.
 */
import { RPC_CODES } from '../../core/errors.js';
import {
  type CodecName,
  type FieldDescription,
  type MessageDescription,
  type MethodDescription,
  type MethodKind,
  type MethodReport,
  RpcError,
  type ServiceDescription,
  type SessionReport,
  type SessionsReport,
  type StatisticsReport,
} from '../../rpc/index.js';
import { type Fields, fieldChecks, own } from './checked-fields.js';

const KINDS: readonly MethodKind[] = [
  'unary',
  'oneway',
  'noReply',
  'serverStream',
  'clientStream',
  'duplex',
];
const OMISSIONS = ['failed', 'too-large'] as const;
const CODECS: readonly CodecName[] = ['json', 'protobuf'];

export function fail(what: string): never {
  throw new RpcError(
    'INTERNAL',
    `the introspection of this server answers with ${what}; does it run another version of getty?`,
  );
}

export const { fields, list, text, optionalText, number, optionalNumber } = fieldChecks(fail);

/** The answer of the method `services`. Throws INTERNAL. */
export function readServices(answer: unknown): ServiceDescription[] {
  return list(answer, 'services').map((each) => {
    const service = fields(each, 'service');
    return {
      name: text(service, 'name'),
      version: text(service, 'version'),
      codecs: CODECS.filter((codec) => list(own(service, 'codecs'), 'codecs').includes(codec)),
      methods: list(own(service, 'methods'), 'methods').map(readMethod),
    };
  });
}

function readMethod(value: unknown): MethodDescription {
  const method = fields(value, 'method');
  const name = text(method, 'kind');
  return {
    name: text(method, 'name'),
    kind: KINDS.find((kind) => kind === name) ?? fail('an unknown kind of method'),
    idempotent: own(method, 'idempotent') === true,
    timeout: optionalNumber(method, 'timeout'),
    input: readMessage(own(method, 'input')),
    output: readMessage(own(method, 'output')),
  };
}

function readMessage(value: unknown): MessageDescription | undefined {
  if (value === undefined || value === null) return undefined;
  const message = fields(value, 'message');
  const parts = own(message, 'fields');
  return {
    vendor: text(message, 'vendor'),
    type: optionalText(message, 'type'),
    fields: parts === undefined ? undefined : list(parts, 'fields').map(readField),
    jsonSchema: readSchema(own(message, 'jsonSchema')),
    jsonSchemaOmitted: OMISSIONS.find((reason) => reason === own(message, 'jsonSchemaOmitted')),
  };
}

/** A JSON Schema has any properties; the code that reads it checks each of them. */
function readSchema(value: unknown): object | undefined {
  return value === undefined || value === null ? undefined : fields(value, 'JSON Schema');
}

function readField(value: unknown): FieldDescription {
  const field = fields(value, 'field');
  return {
    name: text(field, 'name'),
    number: number(field, 'number'),
    type: text(field, 'type'),
    oneof: optionalText(field, 'oneof'),
  };
}

/** The answer of the method `descriptors`: a FileDescriptorSet in base64. Throws INTERNAL. */
export function readDescriptors(answer: unknown): string {
  return text(fields(answer, 'descriptors'), 'fileDescriptorSet');
}

/** The answer of the method `sessions`. Throws INTERNAL. */
export function readSessions(answer: unknown): SessionsReport {
  const report = fields(answer, 'sessions');
  return {
    total: number(report, 'total'),
    sessions: list(own(report, 'sessions'), 'sessions').map(readSession),
  };
}

function readSession(value: unknown): SessionReport {
  const session = fields(value, 'session');
  const extended = own(session, 'extended');
  return {
    id: text(session, 'id'),
    peer: text(session, 'peer'),
    identity: optionalText(session, 'identity'),
    extended: typeof extended === 'boolean' ? extended : undefined,
    age: number(session, 'age'),
    bytesRead: number(session, 'bytesRead'),
    bytesWritten: number(session, 'bytesWritten'),
    queuedBytes: number(session, 'queuedBytes'),
    pending: number(session, 'pending'),
    serving: number(session, 'serving'),
    calls: readCounts(own(session, 'calls')),
    served: readCounts(own(session, 'served')),
  };
}

function readCounts(value: unknown): SessionReport['calls'] {
  const counts = fields(value, 'counts');
  return {
    started: number(counts, 'started'),
    succeeded: number(counts, 'succeeded'),
    failed: number(counts, 'failed'),
  };
}

/** What `getty top` and `getty doctor` need of a StatisticsReport. */
export type ServedReport = Pick<StatisticsReport, 'since' | 'limits' | 'served'>;

/**
 * The answer of the method `statistics`, without the calls that the server made. Throws INTERNAL.
 */
export function readStatistics(answer: unknown): ServedReport {
  const report = fields(answer, 'statistics');
  return {
    since: number(report, 'since'),
    limits: readNumbers(report, 'limits'),
    served: list(own(report, 'served'), 'methods').map(readMethodReport),
  };
}

function readMethodReport(value: unknown): MethodReport {
  const method = fields(value, 'method');
  const latency = fields(own(method, 'latency'), 'latency');
  const failed = fields(own(method, 'failed'), 'failed calls');
  const codes = RPC_CODES.filter((code) => own(failed, code) !== undefined);
  return {
    service: text(method, 'service'),
    version: text(method, 'version'),
    method: text(method, 'method'),
    started: number(method, 'started'),
    succeeded: number(method, 'succeeded'),
    failed: Object.fromEntries(codes.map((code) => [code, number(failed, code)])),
    inFlight: number(method, 'inFlight'),
    bytesSent: number(method, 'bytesSent'),
    bytesReceived: number(method, 'bytesReceived'),
    latency: {
      count: number(latency, 'count'),
      sum: number(latency, 'sum'),
      mean: number(latency, 'mean'),
      p50: number(latency, 'p50'),
      p90: number(latency, 'p90'),
      p99: number(latency, 'p99'),
      max: number(latency, 'max'),
      buckets: readNumbers(latency, 'buckets'),
    },
  };
}

/** The most limits or buckets that are read. */
const MAX_NUMBERS = 1_000;

function readNumbers(value: Fields, name: string): number[] | undefined {
  if (own(value, name) === undefined) return undefined;
  return list(own(value, name), name)
    .slice(0, MAX_NUMBERS)
    .map((each) => (typeof each === 'number' ? each : fail(`${name} that are no numbers`)));
}
