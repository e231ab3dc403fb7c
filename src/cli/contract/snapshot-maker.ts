/** Makes a snapshot of described services. Equal services give equal text. */

import {
  type FieldDescription,
  type MessageDescription,
  type MethodDescription,
  RpcError,
} from '../../rpc/index.js';
import type { DescribedService } from '../describe/described-fleet.js';
import { jsonText } from '../output/printable.js';
import { compareText, withSortedKeys } from './canonical.js';
import { ProtobufCollector } from './protobuf/protobuf-collector.js';
import {
  type ContractSnapshot,
  isOwnService,
  type MessageSnapshot,
  type MethodSnapshot,
  type ProtobufField,
  type ProtobufMessage,
  type ServiceSnapshot,
  SNAPSHOT_FORMAT,
  type UnreadSnapshot,
} from './snapshot.js';

/** The most fields and enum values of a snapshot. A file with more would be too large to read. */
const MAX_PARTS = 300_000;

/**
 * A snapshot of services, without those of getty itself. `unread`: the services that no node
 * describes. Throws RESOURCE_EXHAUSTED if the services have too many Protobuf fields.
 */
export function makeSnapshot(
  services: readonly DescribedService[],
  unread: readonly UnreadSnapshot[] = [],
): ContractSnapshot {
  let parts = 0;
  const snapshots = services
    .filter((service) => !isOwnService(service))
    .map((service) => {
      const snapshot = snapshotOf(service);
      for (const { fields } of Object.values(snapshot.messages)) parts += fields.length;
      for (const { values } of Object.values(snapshot.enums)) parts += values.length;
      if (parts <= MAX_PARTS) return snapshot;
      throw new RpcError(
        'RESOURCE_EXHAUSTED',
        `the services have more than ${MAX_PARTS} Protobuf fields and enum values`,
      );
    });
  const others = unread.filter((service) => !isOwnService(service)).sort(byName);
  return {
    format: SNAPSHOT_FORMAT,
    services: snapshots.sort(byName),
    unread: others.length > 0 ? others : undefined,
  };
}

const byName = (a: UnreadSnapshot, b: UnreadSnapshot): number =>
  compareText(a.name, b.name) || compareText(a.version, b.version);

/** The text of a snapshot, as a file has it. */
export function snapshotText(snapshot: ContractSnapshot, indent: number): string {
  return jsonText(withSortedKeys(snapshot), indent);
}

function snapshotOf(service: DescribedService): ServiceSnapshot {
  const { name, version, groups, codecs, methods, registry } = service;
  const collector = new ProtobufCollector(registry);
  for (const { input, output } of methods)
    for (const message of [input, output]) addMessage(message, collector);
  const { messages, enums } = collector;
  return {
    name,
    version,
    groups: groups && [...groups].sort(compareText),
    codecs: [...codecs].sort(compareText),
    methods: methods.map(methodOf).sort((a, b) => compareText(a.name, b.name)),
    messages,
    enums,
  };
}

function methodOf(method: MethodDescription): MethodSnapshot {
  const { name, kind, idempotent, timeout, input, output } = method;
  return { name, kind, idempotent, timeout, input: messageOf(input), output: messageOf(output) };
}

function messageOf(message: MessageDescription | undefined): MessageSnapshot | undefined {
  if (message === undefined) return undefined;
  const { vendor, type, jsonSchema, jsonSchemaOmitted } = message;
  return { vendor, type, jsonSchema, jsonSchemaOmitted };
}

function addMessage(message: MessageDescription | undefined, collector: ProtobufCollector): void {
  const { type, fields } = message ?? {};
  if (type === undefined || collector.add(type) || fields === undefined) return;
  collector.addPartial(type, partialMessage(fields));
}

/** The message of a server that describes its fields and gives no descriptors. */
function partialMessage(fields: readonly FieldDescription[]): ProtobufMessage {
  return {
    isPartial: true,
    fields: fields.map(partialField).sort((a, b) => a.number - b.number),
  };
}

function partialField({ name, number, type, oneof }: FieldDescription): ProtobufField {
  const [, mapKey, mapValue] = /^map<(\w+), (.+)>$/.exec(type) ?? [];
  if (mapValue !== undefined) return { name, number, type: mapValue, mapKey, cardinality: 'map' };
  const item = /^repeated (.+)$/.exec(type)?.[1];
  if (item !== undefined) return { name, number, type: item, cardinality: 'repeated' };
  return { name, number, type, cardinality: 'unknown', oneof };
}
