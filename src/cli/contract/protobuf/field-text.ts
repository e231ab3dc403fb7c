/** Fields of Protobuf messages as text. */
import type { ProtobufField } from '../snapshot.js';

/** The type as in a .proto file: `repeated shop.Item`, `map<string, int32>`. */
export function fieldType({ cardinality, mapKey, type }: ProtobufField): string {
  if (mapKey !== undefined) return `map<${mapKey}, ${type}>`;
  return cardinality === 'repeated' || cardinality === 'required' ? `${cardinality} ${type}` : type;
}

/** `repeated shop.Item items = 3`. */
export function fieldText(field: ProtobufField): string {
  return `${fieldType(field)} ${field.name} = ${field.number}`;
}
