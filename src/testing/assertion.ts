/** The errors of test cases, which test runners show with the expected and the actual value. */
import { AssertionError } from 'node:assert';
import { codeOf, messageOf } from '../core/errors.js';

/** Throws an AssertionError. `cause`: the error that the code under test threw, if it did. */
export function fail(message: string, expected: unknown, actual: unknown, cause?: unknown): never {
  const error = new AssertionError({ message, expected, actual });
  if (cause !== undefined) error.cause = cause;
  throw error;
}

/** The code or class of an error, and its message. */
export function describeError(error: unknown): string {
  if (error === undefined) return 'no error';
  const name = error instanceof Error ? error.name : typeof error;
  return `${codeOf(error) ?? name}: ${messageOf(error)}`;
}
