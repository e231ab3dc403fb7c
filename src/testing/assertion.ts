/** The errors of test cases, which test runners show with the expected and the actual value. */
import { AssertionError } from 'node:assert';
import { inspect } from 'node:util';
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

/** The most characters of shown(). */
const MAX_SHOWN = 200;

/** A value in one line of limited length. */
export function shown(value: unknown): string {
  const text = inspect(value, { breakLength: Number.POSITIVE_INFINITY, maxArrayLength: 32 });
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}

/** `1 byte`, `2 bytes`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
