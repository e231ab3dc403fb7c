/** Collects the Protobuf messages and enums that the methods of a service need. */
import {
  type DescEnum,
  type DescField,
  type DescMessage,
  type FileRegistry,
  ScalarType,
} from '@bufbuild/protobuf';
import { FeatureSet_FieldPresence } from '@bufbuild/protobuf/wkt';
import { compareText } from '../canonical.js';
import type { Cardinality, ProtobufEnum, ProtobufField, ProtobufMessage } from '../snapshot.js';
import { isWellKnown } from './protobuf-types.js';

export class ProtobufCollector {
  readonly #registry: FileRegistry | undefined;
  // Without a prototype: `constructor` is a valid name.
  readonly messages: Record<string, ProtobufMessage> = Object.create(null);
  readonly enums: Record<string, ProtobufEnum> = Object.create(null);

  constructor(registry: FileRegistry | undefined) {
    this.#registry = registry;
  }

  /**
   * Adds a message, and the messages and enums of its fields, except well-known ones. False: there
   * is no descriptor of the message, and it is not well known.
   */
  add(name: string): boolean {
    const first = this.#registry?.getMessage(name);
    if (first === undefined) return isWellKnown(name);
    const queue: DescMessage[] = [first];
    for (let message = queue.pop(); message !== undefined; message = queue.pop()) {
      if (Object.hasOwn(this.messages, message.typeName) || isWellKnown(message.typeName)) continue;
      this.messages[message.typeName] = messageOf(message);
      for (const field of message.fields) {
        if (field.message !== undefined) queue.push(field.message);
        if (field.enum !== undefined) this.#addEnum(field.enum);
      }
    }
    return true;
  }

  #addEnum(found: DescEnum): void {
    if (Object.hasOwn(this.enums, found.typeName) || isWellKnown(found.typeName)) return;
    this.enums[found.typeName] = enumOf(found);
  }

  /** Adds a message of which only the fields are known. */
  addPartial(name: string, message: ProtobufMessage): void {
    this.messages[name] = message;
  }
}

function messageOf({ fields, proto }: DescMessage): ProtobufMessage {
  return {
    fields: fields.map(fieldOf).sort((a, b) => a.number - b.number),
    reservedNames: listOf([...proto.reservedName].sort(compareText)),
    // In a descriptor the end of a range is exclusive for messages, and inclusive for enums.
    reservedNumbers: listOf(
      proto.reservedRange.map(({ start, end }): [number, number] => [start, end - 1]).sort(byFirst),
    ),
  };
}

function enumOf({ values, proto, open }: DescEnum): ProtobufEnum {
  return {
    isClosed: open ? undefined : true,
    values: values
      .map(({ name, number }) => ({ name, number }))
      .sort((a, b) => a.number - b.number || compareText(a.name, b.name)),
    reservedNames: listOf([...proto.reservedName].sort(compareText)),
    reservedNumbers: listOf(
      proto.reservedRange.map(({ start, end }): [number, number] => [start, end]).sort(byFirst),
    ),
  };
}

const byFirst = ([a]: readonly number[], [b]: readonly number[]): number => (a ?? 0) - (b ?? 0);

/** Undefined, which JSON leaves out, for an empty list. */
const listOf = <T>(list: readonly T[]): readonly T[] | undefined =>
  list.length === 0 ? undefined : list;

function fieldOf(field: DescField): ProtobufField {
  const { name, number, oneof, jsonName, fieldKind } = field;
  const isDelimited = 'delimitedEncoding' in field && field.delimitedEncoding;
  return {
    name,
    number,
    type: typeOf(field),
    mapKey: fieldKind === 'map' ? scalarName(field.mapKey) : undefined,
    cardinality: cardinalityOf(field),
    oneof: oneof?.name,
    jsonName: jsonName === defaultJsonName(name) ? undefined : jsonName,
    isDelimited: isDelimited ? true : undefined,
  };
}

function typeOf({ message, enum: named, scalar }: DescField): string {
  return message?.typeName ?? named?.typeName ?? scalarName(scalar);
}

function scalarName(type: ScalarType | undefined): string {
  return type === undefined ? 'unknown' : ScalarType[type].toLowerCase();
}

function cardinalityOf({ fieldKind, presence }: DescField): Cardinality {
  if (fieldKind === 'list') return 'repeated';
  if (fieldKind === 'map') return 'map';
  if (presence === FeatureSet_FieldPresence.LEGACY_REQUIRED) return 'required';
  return presence === FeatureSet_FieldPresence.IMPLICIT ? 'single' : 'optional';
}

/** The name that protoc derives: `user_id` is `userId`. */
function defaultJsonName(name: string): string {
  return name.replace(/_+([^_]?)/g, (_, next: string) => next.toUpperCase());
}
