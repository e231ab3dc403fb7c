/** What a message of a Protobuf schema is made of, in the words of a .proto file. */
import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import type { FieldDescription, MessageDescription } from '../../types.js';

export function describeSchema({ typeName, fields }: DescMessage): MessageDescription {
  return { vendor: 'protobuf', type: typeName, fields: fields.map(describeField) };
}

function describeField(field: DescField): FieldDescription {
  const { name, number, oneof } = field;
  return { name, number, type: typeOf(field), ...(oneof !== undefined && { oneof: oneof.name }) };
}

/** `repeated shop.Item`, `map<string, int32>`. */
function typeOf(field: DescField): string {
  if (field.fieldKind === 'list') return `repeated ${nameOf(field)}`;
  if (field.fieldKind === 'map') return `map<${scalar(field.mapKey)}, ${nameOf(field)}>`;
  return nameOf(field);
}

/** Of a value, or of what a list or map holds. */
function nameOf({ message, enum: names, scalar: type }: DescField): string {
  return message?.typeName ?? names?.typeName ?? scalar(type);
}

function scalar(type: ScalarType | undefined): string {
  return type === undefined ? 'unknown' : ScalarType[type].toLowerCase();
}
