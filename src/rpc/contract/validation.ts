/**
 * What schemas make of arguments and answers, on the side that serves: the argument before the
 * handler, the answer after it.
 */

import { promiseOf } from '../../core/callbacks.js';
import { isInstance } from '../../core/errors.js';
import { streamsInput, streamsReplies } from '../calls/client-call.js';
import { RpcError } from '../errors.js';
import { isIterable, iteratorOf } from '../streams/flow-control.js';
import type { CallContext, Handler, Messages, Method } from '../types.js';
import type { StandardIssue, StandardSchemaV1 } from './standard-schema.js';

/**
 * The value that the schema makes of it, or a promise of that. Throws, or rejects with, an
 * RpcError.
 */
export type Check = (value: unknown) => unknown;

type Named = Pick<Method, 'service' | 'name' | 'schemas'>;

/**
 * How many things that are wrong are said, and how much of each: keys are the caller's, and may be
 * long.
 */
const MOST_ISSUES = 5;
const LONGEST_ISSUE = 200;

/**
 * For an argument, or one message of a stream of them: INVALID_ARGUMENT that says what is wrong,
 * and where.
 */
export function inputCheck({ service, name, schemas }: Named): Check | undefined {
  const what = `the argument of ${service}.${name}`;
  return checkOf(
    schemas?.input,
    what,
    (issues) =>
      new RpcError('INVALID_ARGUMENT', `${what} is not what it takes: ${describe(issues)}`),
  );
}

/**
 * For an answer, or one message of a stream of them: INTERNAL. What is wrong is the server's
 * affair, and stays in the cause.
 */
export function outputCheck({ service, name, schemas }: Named): Check | undefined {
  const what = `the answer of ${service}.${name}`;
  return checkOf(
    schemas?.output,
    what,
    (issues) =>
      new RpcError('INTERNAL', `${what} is not what its contract says`, {
        cause: new TypeError(describe(issues)),
      }),
  );
}

function checkOf(
  schema: StandardSchemaV1 | undefined,
  what: string,
  refuse: (issues: readonly StandardIssue[]) => RpcError,
): Check | undefined {
  if (schema === undefined) return undefined;
  const standard = schema['~standard'];
  type Result = Awaited<ReturnType<typeof standard.validate>>;
  const read = (result: Result): unknown => {
    if (result.issues) throw refuse(result.issues);
    return result.value;
  };
  const failed = (error: unknown): never => {
    throw isInstance(error, RpcError)
      ? error
      : new RpcError('INTERNAL', `the schema for ${what} failed`, { cause: error });
  };
  return (value) => {
    try {
      const result = standard.validate(value);
      return (
        promiseOf(result)
          ?.then((given) => read(given as Result))
          .catch(failed) ?? read(result as Result)
      );
    } catch (error) {
      return failed(error);
    }
  };
}

/** `address.zip: expected text; name: too long`. */
function describe(issues: readonly StandardIssue[]): string {
  const told = issues.slice(0, MOST_ISSUES).map(({ message, path = [] }) => {
    const where = path.map((part) => String(typeof part === 'object' ? part.key : part)).join('.');
    return shorten(where === '' ? message : `${where}: ${message}`);
  });
  if (issues.length > MOST_ISSUES) told.push(`and ${issues.length - MOST_ISSUES} more`);
  return told.join('; ');
}

function shorten(text: string): string {
  return text.length > LONGEST_ISSUE ? `${text.slice(0, LONGEST_ISSUE)}…` : text;
}

/**
 * The handler between the checks of its method's schemas; the very handler where there are none. Of
 * a stream each message is checked.
 */
export function validated(method: Method, handler: Handler): Handler {
  const { kind } = method;
  const checkInput = eachOf(inputCheck(method), streamsInput(kind));
  const checkOutput =
    kind === 'oneway' || kind === 'noReply'
      ? undefined
      : eachOf(outputCheck(method), streamsReplies(kind));
  const checked: Handler =
    checkInput === undefined
      ? handler
      : (given, context) =>
          after(checkInput(given), (input) =>
            handler(input, input === given ? context : (context.with({ input }) as CallContext)),
          );
  return checkOutput === undefined
    ? checked
    : (input, context) => after(checked(input, context), checkOutput);
}

function eachOf(check: Check | undefined, streams: boolean): Check | undefined {
  if (check === undefined || !streams) return check;
  // What is no stream is the next one's to refuse.
  return (value) => (isIterable(value) ? new CheckedStream(value, check) : value);
}

/** Without a promise where there is none. */
function after(value: unknown, next: (value: unknown) => unknown): unknown {
  return promiseOf(value)?.then(next) ?? next(value);
}

/**
 * A stream of what the check makes of each item. It ends at the first that is wrong, and its source
 * is left.
 */
class CheckedStream implements AsyncIterable<unknown> {
  readonly #source: Messages<unknown>;
  readonly #check: Check;

  constructor(source: Messages<unknown>, check: Check) {
    this.#source = source;
    this.#check = check;
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<unknown> {
    const items = iteratorOf(this.#source);
    return {
      next: async () => {
        const item = await items.next();
        if (item.done) return item;
        try {
          return { done: false, value: await this.#check(item.value) };
        } catch (error) {
          await items.return?.();
          throw error;
        }
      },
      return: async (value) => (await items.return?.(value)) ?? { done: true, value },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }
}
