/** Answers the questions of the page about the service or the node that it shows. */
import type { FileRegistry } from '@bufbuild/protobuf';
import { messageOf } from '../../core/errors.js';
import {
  Admin,
  type MethodDescription,
  RpcError,
  type ServerStatus,
  type ServiceDescription,
  type SessionReport,
} from '../../rpc/index.js';
import { printable } from '../output/printable.js';
import { DescriptorReader } from '../target/descriptors.js';
import { describeServer, listSessions } from '../target/introspection.js';
import type { Terminal } from '../terminal.js';
import { exampleOf, formSchemaOf } from './call/form-schema.js';
import { protobufSchema } from './call/protobuf-schema.js';
import { SchemaLimit } from './call/schema-limit.js';
import { type FleetNode, MAX_METHODS } from './fleet/fleet-node.js';
import type { TimedRate } from './fleet/latency-window.js';
import { methodRow, type NamedMethod, pointOf } from './fleet/points.js';
import type {
  CallableRow,
  FormSchema,
  NodeDetail,
  ProcessState,
  ServiceDetail,
  SessionRow,
} from './types.js';

/** The most sessions of a node that the page gets. */
const MAX_SESSIONS = 200;

/** The methods of a service over `nodes`, and the calls of each node. */
export function serviceDetail(
  nodes: readonly FleetNode[],
  name: string,
  version: string,
): ServiceDetail {
  const methods = new Map<string, { row: NamedMethod; rates: TimedRate[] }>();
  for (const node of nodes)
    for (const { rate, ...row } of node.methodRates()) {
      if (row.service !== name || row.version !== version) continue;
      const found = methods.get(row.method) ?? { row, rates: [] };
      if (rate !== undefined) found.rates.push(rate);
      if (methods.size < MAX_METHODS || methods.has(row.method)) methods.set(row.method, found);
    }
  return {
    methods: [...methods.values()].map(({ row, rates }) => methodRow(row, rates)),
    nodes: nodes.map((node) => {
      const rates = node.rates.filter(
        (rate) => printable(rate.service) === name && printable(rate.version) === version,
      );
      const [rate, errors, , p99] = pointOf(rates);
      return { key: node.key, rate: rate ?? 0, errors: errors ?? 0, p99 };
    }),
  };
}

/** Asks a node for what its view shows. Never rejects: `missing` has the errors. */
export async function nodeDetail(node: FleetNode, terminal: Terminal): Promise<NodeDetail> {
  const methods = node
    .methodRates()
    .map(({ rate, ...row }) => methodRow(row, rate === undefined ? [] : [rate]));
  const { client } = node;
  if (client === undefined)
    return { methods, sessions: [], process: {}, missing: [node.reason || 'it was not asked yet'] };
  const { status } = node;
  const missing: string[] = [];
  const addMissing = (what: string, error: unknown): void =>
    void missing.push(printable(`${what}: ${messageOf(error)}`, 300));
  const sessions = await listSessions(client, MAX_SESSIONS, terminal).catch((error) =>
    addMissing('sessions', error),
  );
  return {
    methods,
    // A node may report more than it was asked for.
    sessions: (sessions?.sessions ?? []).slice(0, MAX_SESSIONS).map(sessionRow),
    totalSessions: sessions?.total,
    process: status === undefined ? {} : processOf(status),
    missing,
  };
}

function sessionRow(session: SessionReport): SessionRow {
  const { id, peer, identity, serving, served } = session;
  const { age, bytesRead, bytesWritten, queuedBytes } = session;
  return {
    id: printable(id),
    peer: printable(peer),
    identity: identity === undefined ? undefined : printable(identity),
    age,
    bytesRead,
    bytesWritten,
    queuedBytes,
    serving,
    served: served.succeeded + served.failed,
    failed: served.failed,
  };
}

function processOf({ process }: ServerStatus): ProcessState {
  const { pid, uptime, rss, heapUsed, eventLoopDelay, version } = process;
  return {
    pid,
    uptime,
    rss,
    heapUsed,
    loopDelay: eventLoopDelay?.p99,
    version: version === undefined ? undefined : printable(version),
  };
}

/** The methods of a node, with their schemas. Rejects if the node does not describe them. */
export async function callableMethods(
  { client, reason }: FleetNode,
  terminal: Terminal,
): Promise<CallableRow[]> {
  if (client === undefined) throw new RpcError('UNAVAILABLE', reason || 'it was not asked yet');
  const rows: CallableRow[] = [];
  const limit = new SchemaLimit();
  const reader = new DescriptorReader(client, terminal);
  for (const service of await describeServer(client, terminal)) {
    if (service.name === Admin.name) continue;
    const registry = hasProtobuf(service)
      ? await reader.read(service.name).catch(() => undefined)
      : undefined;
    for (const method of service.methods) {
      if (rows.length >= MAX_METHODS) return rows;
      rows.push(callableRow(service, method, registry, limit));
    }
  }
  return rows;
}

const hasProtobuf = ({ methods }: ServiceDescription): boolean =>
  methods.some(({ input }) => input?.type !== undefined);

function callableRow(
  { name, version, codecs }: ServiceDescription,
  { name: method, kind, timeout, idempotent, input }: MethodDescription,
  registry: FileRegistry | undefined,
  limit: SchemaLimit,
): CallableRow {
  const schema = schemaOf(input, registry, limit);
  const example = exampleOf(schema);
  return {
    service: printable(name),
    version: printable(version),
    method: printable(method),
    kind,
    codecs,
    timeout,
    idempotent,
    input: schema,
    example: example === undefined ? '' : JSON.stringify(example, undefined, 2),
  };
}

/** Undefined: the node does not describe the argument, or the limit is reached. */
function schemaOf(
  input: MethodDescription['input'],
  registry: FileRegistry | undefined,
  limit: SchemaLimit,
): FormSchema | undefined {
  const type = input?.type;
  const known = type === undefined ? undefined : registry && protobufSchema(registry, type, limit);
  const schema = known ?? formSchemaOf(input, limit);
  return limit.isReached ? undefined : schema;
}
