/** The fields of a message type by their names in JSON. */
import type { DescField, DescMessage } from '@bufbuild/protobuf';

const FIELDS = new WeakMap<DescMessage, ReadonlyMap<string, DescField>>();

/** Returns the fields by both names that JSON may use: `jsonName`, and the name in the schema. */
export function jsonFieldsOf(schema: DescMessage): ReadonlyMap<string, DescField> {
  let fields = FIELDS.get(schema);
  if (fields === undefined) {
    fields = new Map(
      schema.fields.flatMap((field) => [
        [field.name, field] as const,
        [field.jsonName, field] as const,
      ]),
    );
    FIELDS.set(schema, fields);
  }
  return fields;
}
