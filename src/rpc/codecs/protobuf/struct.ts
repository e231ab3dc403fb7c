/**
 * Converts google.protobuf.Struct. protobuf-es keeps it in a field as a plain JSON object, by the
 * rules of its reflect API.
 */

import { type AnyMessage, setEntry } from './types.js';
import { cursor, throwTooManyObjects } from './value-reader.js';

const isObject = (value: unknown): value is AnyMessage =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const message = (name: string, fields: object): AnyMessage => ({
  $typeName: `google.protobuf.${name}`,
  ...fields,
});

/** Returns the Struct message of a JSON object; an empty one for undefined. */
export function structFromJson(json: unknown): AnyMessage {
  if (json !== undefined && !isObject(json))
    throw new TypeError('expected a plain object for a google.protobuf.Struct');
  const fields: AnyMessage = {};
  for (const [key, value] of Object.entries(json ?? {})) setEntry(fields, key, valueMessage(value));
  return message('Struct', { fields });
}

function valueMessage(json: unknown): AnyMessage {
  return message('Value', { kind: kindOf(json) });
}

function kindOf(json: unknown): { case: string | undefined; value?: unknown } {
  if (typeof json === 'number') return { case: 'numberValue', value: json };
  if (typeof json === 'string') return { case: 'stringValue', value: json };
  if (typeof json === 'boolean') return { case: 'boolValue', value: json };
  if (json === null) return { case: 'nullValue', value: 0 };
  if (Array.isArray(json))
    return {
      case: 'listValue',
      value: message('ListValue', { values: Array.from(json, valueMessage) }),
    };
  return isObject(json)
    ? { case: 'structValue', value: structFromJson(json) }
    : { case: undefined };
}

/**
 * Returns the JSON object of a decoded Struct. Each value counts as two objects: when a field
 * occurs many times, the gathered values are converted back and forth each time.
 */
export function structToJson(struct: AnyMessage): AnyMessage {
  const json: AnyMessage = {};
  for (const [key, value] of Object.entries(struct.fields as AnyMessage))
    setEntry(json, key, jsonOfValue(value as AnyMessage));
  return json;
}

function jsonOfValue(value: AnyMessage): unknown {
  cursor.left -= 2;
  if (cursor.left < 0) throwTooManyObjects();
  const kind = value.kind as { case: string | undefined; value?: unknown };
  if (kind.case === 'structValue') return structToJson(kind.value as AnyMessage);
  if (kind.case === 'listValue')
    return ((kind.value as AnyMessage).values as AnyMessage[]).map(jsonOfValue);
  return kind.case === undefined || kind.case === 'nullValue' ? null : kind.value;
}
