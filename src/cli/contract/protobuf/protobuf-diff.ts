/** Compares two versions of the Protobuf messages of a service. */
import { type ChangeList, placeIn } from '../change-list.js';
import type { ProtobufField, ProtobufMessage, ServiceSnapshot } from '../snapshot.js';
import { EnumDiff } from './enum-diff.js';
import { FieldDiff, type MessageComparison } from './field-diff.js';
import { fieldText } from './field-text.js';
import { isWellKnown } from './protobuf-types.js';
import { isReserved } from './reserved.js';

type Messages = Pick<ServiceSnapshot, 'messages' | 'enums' | 'codecs'>;

export class ProtobufDiff implements MessageComparison {
  readonly #before: Messages;
  readonly #after: Messages;
  readonly #service: string;
  readonly #list: ChangeList;
  readonly #hasJson: boolean;
  /** The pairs of messages to compare. A list instead of calls: messages may have many levels. */
  readonly #queue: (readonly [before: string, after: string])[] = [];
  readonly #seen = new Set<string>();
  readonly #enums: EnumDiff;

  /** `service`: its name and version, for the places of changes. */
  constructor(before: Messages, after: Messages, service: string, list: ChangeList) {
    this.#before = before;
    this.#after = after;
    this.#service = service;
    this.#list = list;
    this.#hasJson = before.codecs.includes('json') && after.codecs.includes('json');
    this.#enums = new EnumDiff(before, after, service, this.#hasJson, list);
  }

  /** Compares two messages, and those that their fields need. */
  compare(before: string, after: string): void {
    this.#add(before, after);
    for (let pair = this.#queue.pop(); pair !== undefined; pair = this.#queue.pop()) {
      if (!this.#list.step()) return;
      this.#compareMessages(...pair);
    }
  }

  #add(before: string, after: string): void {
    const key = `${before}\n${after}`;
    if (this.#seen.has(key)) return;
    this.#seen.add(key);
    this.#queue.push([before, after]);
  }

  #compareMessages(before: string, after: string): void {
    const where = placeIn(this.#service, ` ${after}`);
    if (before !== after) this.#list.add('protobuf-message-renamed', where, `${before} → ${after}`);
    if (isWellKnown(before) && before === after) return;
    const from = own(this.#before.messages, before);
    const to = own(this.#after.messages, after);
    if (from === undefined || to === undefined) {
      const which = from === undefined ? 'old' : 'new';
      return this.#list.skip(where, `the ${which} snapshot does not describe the message`);
    }
    if (from.isPartial || to.isPartial)
      this.#list.skip(
        where,
        'without descriptors its presence, reserved fields and nested messages are not known',
      );
    this.#compareFields(from, to, where);
  }

  #compareFields(before: ProtobufMessage, after: ProtobufMessage, where: string): void {
    if (!this.#list.step(before.fields.length + after.fields.length)) return;
    const byNumber = byKey(after.fields, ({ number }) => number);
    const byName = byKey(after.fields, ({ name }) => name);
    const numbersBefore = byKey(before.fields, ({ number }) => number);
    const namesBefore = byKey(before.fields, ({ name }) => name);
    const diff = new FieldDiff(this, before, after, this.#hasJson, this.#list);
    for (const field of before.fields) {
      if (this.#list.isStopped) return;
      const at = placeIn(where, `.${field.name}`);
      const found = byNumber.get(field.number);
      const moved = byName.get(field.name);
      if (moved !== undefined && moved.number !== field.number)
        this.#list.add(
          'protobuf-field-number-changed',
          at,
          `${field.name} = ${field.number} → ${moved.number}`,
        );
      if (found !== undefined && moved !== undefined && moved !== found)
        diff.addReuse(field, found, at);
      else if (found !== undefined) diff.compare(field, found, at);
      else if (moved === undefined) this.#addRemoved(field, after, at);
    }
    for (const field of after.fields) {
      if (this.#list.isStopped) return;
      if (!numbersBefore.has(field.number) && !namesBefore.has(field.name))
        this.#list.add(
          field.cardinality === 'required'
            ? 'protobuf-required-field-added'
            : 'protobuf-field-added',
          placeIn(where, `.${field.name}`),
          `new: ${fieldText(field)}`,
        );
    }
  }

  #addRemoved(field: ProtobufField, after: ProtobufMessage, where: string): void {
    const isKept = isReserved(after, field, this.#hasJson) || after.isPartial === true;
    this.#list.add(
      isKept ? 'protobuf-field-removed' : 'protobuf-field-removed-unreserved',
      where,
      `gone: ${fieldText(field)}`,
    );
  }

  kindOf(version: 'before' | 'after', type: string): 'enum' | 'message' | undefined {
    const { messages, enums } = version === 'before' ? this.#before : this.#after;
    if (Object.hasOwn(enums, type)) return 'enum';
    return Object.hasOwn(messages, type) || isWellKnown(type) ? 'message' : undefined;
  }

  follow(kind: 'enum' | 'message', before: string, after: string): void {
    if (kind === 'message') this.#add(before, after);
    else this.#enums.compare(before, after);
  }
}

function own<T>(record: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}

function byKey<Key>(
  fields: readonly ProtobufField[],
  keyOf: (field: ProtobufField) => Key,
): Map<Key, ProtobufField> {
  return new Map(fields.map((field) => [keyOf(field), field]));
}
