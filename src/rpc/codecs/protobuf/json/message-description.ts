/** Describes the messages of a Protobuf schema for introspection, in the terms of a .proto file. */
import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import type { FieldDescription, MessageDescription } from '../../types.js';

export function describeSchema({ typeName, fields }: DescMessage): MessageDescription {
  return { vendor: 'protobuf', type: typeName, fields: fields.map(describeField) };
}

function describeField(field: DescField): FieldDescription {
  const { name, number, oneof } = field;
  return { name, number, type: typeOf(field), ...(oneof !== undefined && { oneof: oneof.name }) };
}

/** Returns the type of a field: `repeated shop.Item`, `map<string, int32>`. */
function typeOf(field: DescField): string {
  if (field.fieldKind === 'list') return `repeated ${nameOf(field)}`;
  if (field.fieldKind === 'map') return `map<${scalar(field.mapKey)}, ${nameOf(field)}>`;
  return nameOf(field);
}

/** Returns the type of a value, or of the values of a list or map. */
function nameOf({ message, enum: names, scalar: type }: DescField): string {
  return message?.typeName ?? names?.typeName ?? scalar(type);
}

function scalar(type: ScalarType | undefined): string {
  return type === undefined ? 'unknown' : ScalarType[type].toLowerCase();
}
