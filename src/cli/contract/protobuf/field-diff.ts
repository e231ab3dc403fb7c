/** Compares the fields that have one number in two versions of a Protobuf message. */
import type { ChangeList } from '../change-list.js';
import type { ProtobufField, ProtobufMessage } from '../snapshot.js';
import { fieldType } from './field-text.js';
import { hasSameEncoding, hasSameJson, isScalar } from './protobuf-types.js';

/** What FieldDiff needs of ProtobufDiff. */
export interface MessageComparison {
  /** Undefined if the snapshot does not describe the type. Well-known types are messages. */
  kindOf(version: 'before' | 'after', type: string): 'enum' | 'message' | undefined;
  /** Compares the messages or enums that are the type of a field. */
  follow(kind: 'enum' | 'message', before: string, after: string): void;
}

export class FieldDiff {
  readonly #messages: MessageComparison;
  readonly #oneofsBefore: ReadonlyMap<string, Oneof>;
  readonly #oneofsAfter: ReadonlyMap<string, Oneof>;
  readonly #hasJson: boolean;
  readonly #list: ChangeList;

  constructor(
    messages: MessageComparison,
    before: ProtobufMessage,
    after: ProtobufMessage,
    hasJson: boolean,
    list: ChangeList,
  ) {
    this.#messages = messages;
    this.#oneofsBefore = oneofsOf(before, after);
    this.#oneofsAfter = oneofsOf(after, before);
    this.#hasJson = hasJson;
    this.#list = list;
  }

  /** Adds that `after` has the number of `before`, and is another field. */
  addReuse(before: ProtobufField, after: ProtobufField, where: string): void {
    const [from, to] = [before, after].map((field) => `${fieldType(field)} ${field.name}`);
    this.#list.add('protobuf-field-number-reused', where, `${before.number}: ${from} → ${to}`);
  }

  /** Compares two fields with one number. If both name and type differ, they are two fields. */
  compare(before: ProtobufField, after: ProtobufField, where: string): void {
    const isSameType = this.#hasSameEncoding(before, after) && isList(before) === isList(after);
    if (before.name !== after.name && !isSameType) return this.addReuse(before, after, where);
    this.#compareNames(before, after, where);
    this.#compareCardinality(before, after, where);
    this.#compareTypes(before, after, where);
    this.#compareOneofs(before, after, where);
  }

  #compareNames(before: ProtobufField, after: ProtobufField, where: string): void {
    const [from, to] = [before, after].map(({ name, jsonName }) =>
      jsonName === undefined ? name : `${name} (json_name ${jsonName})`,
    );
    if (from === to) return;
    const rule = this.#hasJson ? 'protobuf-field-renamed-json' : 'protobuf-field-renamed';
    this.#list.add(rule, where, `${from} → ${to}`);
  }

  #compareCardinality(before: ProtobufField, after: ProtobufField, where: string): void {
    const [from, to] = [before.cardinality, after.cardinality];
    if (from === to) return;
    const what = `${from} → ${to}`;
    if (isList(before) || isList(after))
      this.#list.add('protobuf-field-cardinality-changed', where, what);
    else if (from === 'unknown' || to === 'unknown') return;
    else if (from === 'required' || to === 'required')
      this.#list.add('protobuf-field-required-changed', where, what);
    else if (before.oneof === after.oneof)
      this.#list.add('protobuf-field-presence-changed', where, what);
  }

  #compareTypes(before: ProtobufField, after: ProtobufField, where: string): void {
    const [from, to] = [this.#kindOf('before', before), this.#kindOf('after', after)];
    const what = `${fieldType(before)} → ${fieldType(after)}`;
    const isKeyChanged = before.mapKey !== after.mapKey && isList(before) && isList(after);
    if (!this.#hasSameEncoding(before, after) || isKeyChanged)
      return this.#list.add('protobuf-field-type-changed', where, what);
    if (from === to && (from === 'enum' || from === 'message'))
      return this.#messages.follow(from, before.type, after.type);
    if (from === undefined || to === undefined) {
      if (before.type !== after.type)
        this.#list.skip(where, `the snapshots do not describe both types: ${what}`);
      return;
    }
    if (from === to) return;
    this.#list.add('protobuf-field-type-compatible', where, what);
    if (this.#hasJson && !hasSameJson(from, to))
      this.#list.add('protobuf-field-type-json', where, what);
  }

  #hasSameEncoding(before: ProtobufField, after: ProtobufField): boolean {
    if ((before.isDelimited === true) !== (after.isDelimited === true)) return false;
    const [from, to] = [this.#kindOf('before', before), this.#kindOf('after', after)];
    if (from !== undefined && to !== undefined) return hasSameEncoding(from, to);
    // A type that is not described is an enum or a message.
    const known = from ?? to;
    return known === undefined || !isScalar(known) || known === 'bytes';
  }

  /** A scalar type, `enum` or `message`; undefined if the snapshot does not describe the type. */
  #kindOf(version: 'before' | 'after', { type }: ProtobufField): string | undefined {
    return isScalar(type) ? type : this.#messages.kindOf(version, type);
  }

  #compareOneofs(before: ProtobufField, after: ProtobufField, where: string): void {
    const [from, to] = [before.oneof, after.oneof];
    if (from === to) return;
    const what = `${oneofText(from)} → ${oneofText(to)}`;
    const oneof = this.#oneofsAfter.get(to ?? '');
    // The fields that both versions have decide whether it is one oneof with another name.
    if (oneof?.members === this.#oneofsBefore.get(from ?? '')?.members)
      this.#list.add('protobuf-oneof-renamed', where, what);
    else if (from === undefined && oneof?.size === 1)
      this.#list.add('protobuf-field-oneof-new', where, what);
    else this.#list.add('protobuf-field-oneof-moved', where, what);
  }
}

/** The fields of a oneof that both versions have. */
interface Oneof {
  /** Their numbers as text. */
  readonly members: string;
  readonly size: number;
}

function oneofsOf(message: ProtobufMessage, other: ProtobufMessage): Map<string, Oneof> {
  const known = new Set(other.fields.map(({ number }) => number));
  const members = new Map<string, number[]>();
  for (const { oneof, number } of message.fields) {
    if (oneof === undefined || !known.has(number)) continue;
    const list = members.get(oneof);
    if (list === undefined) members.set(oneof, [number]);
    else list.push(number);
  }
  const oneofs = [...members].map(
    ([name, numbers]) => [name, { members: numbers.join(), size: numbers.length }] as const,
  );
  return new Map(oneofs);
}

const isList = ({ cardinality }: ProtobufField): boolean =>
  cardinality === 'repeated' || cardinality === 'map';

const oneofText = (oneof: string | undefined): string =>
  oneof === undefined ? 'no oneof' : `oneof ${oneof}`;
