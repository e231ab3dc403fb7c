/** Schemas that are made without a library. */
import type { StandardResult, StandardSchemaV1 } from '../../../src/rpc/index.js';

/** Makes a schema without a library. */
export function schema<Input, Output = Input>(
  validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>,
): StandardSchemaV1<Input, Output> {
  return { '~standard': { version: 1, vendor: 'test', validate } };
}

/** Accepts a text of digits and returns a number. */
export const digits = schema<string, number>((value) =>
  typeof value === 'string' && /^\d+$/.test(value)
    ? { value: Number(value) }
    : { issues: [{ message: 'expected digits' }] },
);
/** The same as `digits`, asynchronously. */
export const slowDigits = schema<string, number>(async (value) =>
  digits['~standard'].validate(value),
);
/** Accepts a number and returns its hexadecimal text. */
export const hex = schema<number, string>((value) =>
  typeof value === 'number'
    ? { value: value.toString(16) }
    : { issues: [{ message: `not a number: ${value}` }] },
);
