/**
 * Standard Schema, version 1: the interface that zod, valibot, arktype and others share
 * (https://standardschema.dev).
 */

/** A schema of any library that follows the Standard Schema. */
export interface StandardSchemaV1<Input = unknown, Output = Input> {
  readonly '~standard': StandardProps<Input, Output>;
}

/** The properties of a schema. */
export interface StandardProps<Input = unknown, Output = Input> {
  readonly version: 1;
  /** The name of the library. */
  readonly vendor: string;
  readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
  /**
   * Converts the schema to JSON Schema (https://standardschema.dev/json-schema), for introspection.
   * Absent: the library does not have it.
   */
  readonly jsonSchema?: StandardJsonSchema | undefined;
  /** Never set. It carries the types. */
  readonly types?: { readonly input: Input; readonly output: Output } | undefined;
}

/**
 * The Standard JSON Schema of a schema. Both functions may throw, such as for a type that JSON
 * Schema does not have.
 */
export interface StandardJsonSchema {
  /** What the schema accepts. */
  readonly input: (options: { readonly target: string }) => Readonly<Record<string, unknown>>;
  /** What the schema returns. */
  readonly output: (options: { readonly target: string }) => Readonly<Record<string, unknown>>;
}

/** The value that the schema returns, or the issues that it found. */
export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] };

/** One issue of an invalid value, and where it is. */
export interface StandardIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** The type of the values that a schema accepts. */
export type SchemaInput<Schema extends StandardSchemaV1> = NonNullable<
  Schema['~standard']['types']
>['input'];

/** The type of the values that a schema returns, after its defaults and transformations. */
export type SchemaOutput<Schema extends StandardSchemaV1> = NonNullable<
  Schema['~standard']['types']
>['output'];

/**
 * The schemas of a method. Undefined: any value is accepted. For a stream they apply to each
 * message.
 */
export interface MethodSchemas {
  readonly input: StandardSchemaV1 | undefined;
  readonly output: StandardSchemaV1 | undefined;
}

export function isSchema(value: unknown): value is StandardSchemaV1 {
  // The schemas of some libraries are functions.
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false;
  const standard = (value as Partial<StandardSchemaV1>)['~standard'];
  return standard?.version === 1 && typeof standard.validate === 'function';
}
