/** Compares two versions of the methods of a service. */
import { type ChangeList, placeIn } from './change-list.js';
import type { ProtobufDiff } from './protobuf/protobuf-diff.js';
import type { Direction } from './schema/schema-comparison.js';
import { SchemaDiff } from './schema/schema-diff.js';
import type { MessageSnapshot, MethodSnapshot } from './snapshot.js';

type Messages = Pick<ProtobufDiff, 'compare'>;

/** Adds the changes to `list`. `service`: its name and version. `messages`: those of Protobuf. */
export function compareMethods(
  before: readonly MethodSnapshot[],
  after: readonly MethodSnapshot[],
  service: string,
  messages: Messages,
  list: ChangeList,
): void {
  const byName = new Map(after.map((method) => [method.name, method]));
  for (const method of before) {
    const found = byName.get(method.name);
    if (!list.step()) return;
    const place = placeIn(service, ` ${method.name}`);
    byName.delete(method.name);
    if (found === undefined) list.add('method-removed', place, `gone: ${method.kind}`);
    else compareMethod(method, found, place, messages, list);
  }
  for (const { name, kind } of byName.values())
    list.add('method-added', placeIn(service, ` ${name}`), `new: ${kind}`);
}

function compareMethod(
  before: MethodSnapshot,
  after: MethodSnapshot,
  place: string,
  messages: Messages,
  list: ChangeList,
): void {
  if (before.kind !== after.kind) list.add('kind-changed', place, `${before.kind} → ${after.kind}`);
  if (before.idempotent !== after.idempotent)
    list.add(
      after.idempotent ? 'idempotent-added' : 'idempotent-removed',
      place,
      after.idempotent ? 'now idempotent' : 'no longer idempotent',
    );
  compareTimeouts(before.timeout, after.timeout, place, list);
  for (const direction of ['input', 'output'] as const)
    if (direction === 'input' || (hasReply(before) && hasReply(after)))
      compareMessages(
        direction,
        before[direction],
        after[direction],
        `${place} ${direction}`,
        messages,
        list,
      );
}

const hasReply = ({ kind }: MethodSnapshot): boolean => kind !== 'oneway' && kind !== 'noReply';

function compareTimeouts(
  before: number | undefined,
  after: number | undefined,
  place: string,
  list: ChangeList,
): void {
  if (before === after) return;
  const textOf = (timeout: number | undefined): string =>
    timeout === undefined ? 'that of the client' : `${timeout} ms`;
  const isShorter = (after ?? Number.POSITIVE_INFINITY) < (before ?? Number.POSITIVE_INFINITY);
  list.add(
    isShorter ? 'timeout-shortened' : 'timeout-lengthened',
    place,
    `${textOf(before)} → ${textOf(after)}`,
  );
}

function compareMessages(
  direction: Direction,
  before: MessageSnapshot | undefined,
  after: MessageSnapshot | undefined,
  place: string,
  messages: Messages,
  list: ChangeList,
): void {
  if (before?.type !== undefined && after?.type !== undefined)
    return messages.compare(before.type, after.type);
  if (before?.jsonSchema !== undefined && after?.jsonSchema !== undefined)
    return new SchemaDiff(direction, before.jsonSchema, after.jsonSchema, list).compareAll(place);
  list.skip(place, reasonOf(before, after));
}

/** Why two messages cannot be compared. */
function reasonOf(before: MessageSnapshot | undefined, after: MessageSnapshot | undefined): string {
  const [from, to] = [textOf(before), textOf(after)];
  return from === to ? `both snapshots have ${from}` : `${from} → ${to}`;
}

function textOf(message: MessageSnapshot | undefined): string {
  if (message === undefined) return 'no description of it';
  const { vendor, type, jsonSchema, jsonSchemaOmitted } = message;
  if (type !== undefined) return `the Protobuf message ${type}`;
  if (jsonSchema !== undefined) return `a JSON Schema of ${vendor}`;
  if (jsonSchemaOmitted === 'failed') return `a schema of ${vendor} that has no JSON Schema`;
  if (jsonSchemaOmitted === 'too-large') return `a schema of ${vendor} that is too large`;
  return `a schema of ${vendor} without JSON Schema`;
}
