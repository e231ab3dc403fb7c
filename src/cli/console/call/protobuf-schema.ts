/** The schema of a form for a Protobuf message, in its JSON form. */
import {
  type DescField,
  type DescMessage,
  type FileRegistry,
  ScalarType,
} from '@bufbuild/protobuf';
import type { FormSchema } from '../types.js';
import type { SchemaLimit } from './schema-limit.js';

/** The most levels of messages in messages. */
const MAX_DEPTH = 5;
/** The most fields of one schema. */
const MAX_FIELDS = 400;

/** Messages that have a JSON form of their own. */
const OWN_FORMS: Readonly<Record<string, FormSchema>> = {
  'google.protobuf.Timestamp': { type: 'string', description: 'such as 2026-01-31T12:00:00Z' },
  'google.protobuf.Duration': { type: 'string', description: 'such as 1.5s' },
  'google.protobuf.FieldMask': { type: 'string', description: 'names of fields, with commas' },
  'google.protobuf.Struct': { type: 'object' },
  'google.protobuf.Value': {},
  'google.protobuf.ListValue': { type: 'array' },
  'google.protobuf.Any': { type: 'object', description: 'with "@type"' },
  'google.protobuf.StringValue': { type: 'string' },
  'google.protobuf.BytesValue': { type: 'string', description: 'base64' },
  'google.protobuf.BoolValue': { type: 'boolean' },
  'google.protobuf.Int32Value': { type: 'integer' },
  'google.protobuf.UInt32Value': { type: 'integer' },
  'google.protobuf.Int64Value': { type: 'string' },
  'google.protobuf.UInt64Value': { type: 'string' },
  'google.protobuf.FloatValue': { type: 'number' },
  'google.protobuf.DoubleValue': { type: 'number' },
};

/** JSON has 64-bit integers and bytes as strings. */
const TEXT_SCALARS: ReadonlySet<ScalarType> = new Set([
  ScalarType.STRING,
  ScalarType.BYTES,
  ScalarType.INT64,
  ScalarType.UINT64,
  ScalarType.SINT64,
  ScalarType.FIXED64,
  ScalarType.SFIXED64,
]);

/** Undefined: the registry does not have the message. */
export function protobufSchema(
  registry: FileRegistry,
  type: string,
  limit: SchemaLimit,
): FormSchema | undefined {
  const message = registry.getMessage(type);
  return message === undefined ? undefined : new MessageReader(limit).read(message, 0);
}

class MessageReader {
  readonly #limit: SchemaLimit;
  #fields = 0;

  constructor(limit: SchemaLimit) {
    this.#limit = limit;
  }

  read(message: DescMessage, depth: number): FormSchema {
    if (Object.hasOwn(OWN_FORMS, message.typeName))
      return OWN_FORMS[message.typeName] as FormSchema;
    // A message may contain itself. The form shows deeper messages as JSON.
    if (depth > MAX_DEPTH) return { type: 'object' };
    const properties: Record<string, FormSchema> = Object.create(null);
    for (const field of message.fields) {
      if (++this.#fields > MAX_FIELDS || this.#limit.isReached) break;
      const schema = this.#field(field, depth);
      const oneof = field.oneof === undefined ? '' : `one of ${field.oneof.name}`;
      const description = [schema.description ?? '', oneof]
        .filter((text) => text !== '')
        .join('; ');
      properties[this.#limit.text(field.jsonName)] = {
        ...schema,
        description: description === '' ? undefined : this.#limit.text(description),
      };
    }
    return { type: 'object', properties };
  }

  #field(field: DescField, depth: number): FormSchema {
    switch (field.fieldKind) {
      case 'scalar':
        return scalar(field.scalar);
      case 'enum':
        return {
          enum: field.enum.values.slice(0, MAX_FIELDS).map(({ name }) => this.#limit.text(name)),
        };
      case 'message':
        return this.read(field.message, depth + 1);
      case 'list':
        return { type: 'array' };
      case 'map':
        return { type: 'object', description: 'a map' };
    }
  }
}

function scalar(type: ScalarType): FormSchema {
  if (type === ScalarType.BYTES) return { type: 'string', description: 'base64' };
  if (TEXT_SCALARS.has(type)) return { type: 'string' };
  if (type === ScalarType.BOOL) return { type: 'boolean' };
  return { type: type === ScalarType.DOUBLE || type === ScalarType.FLOAT ? 'number' : 'integer' };
}
