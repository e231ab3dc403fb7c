/** Validates arguments and replies with the schemas of a method, on the serving side. */

import { promiseOf } from '../../core/callbacks.js';
import { isInstance } from '../../core/errors.js';
import { RpcError } from '../errors.js';
import { streamsInput, streamsReplies } from '../method-kind.js';
import { closeIterator, isIterable, iteratorOf } from '../streams/item-iterator.js';
import type { CallContext, Handler, Messages, Method } from '../types.js';
import type { StandardIssue, StandardSchemaV1 } from './standard-schema.js';

/**
 * Returns the value that the schema made, or a promise of it. Throws, or rejects with, an RpcError.
 */
type Validate = (value: unknown) => unknown;

type MethodInfo = Pick<Method, 'service' | 'name' | 'schemas'>;

/**
 * The most issues in a message, and the most characters of each. The keys in a path come from the
 * caller and may be long.
 */
const MAX_ISSUES = 5;
const MAX_ISSUE_CHARACTERS = 200;

/**
 * Returns the validation of an argument, or of one message of a stream of arguments. An invalid one
 * is INVALID_ARGUMENT with the issues and where they are.
 */
function inputValidation({ service, name, schemas }: MethodInfo): Validate | undefined {
  const what = `the argument of ${service}.${name}`;
  return validationOf(
    schemas?.input,
    what,
    (issues) => new RpcError('INVALID_ARGUMENT', `${what} is invalid: ${describe(issues)}`),
  );
}

/**
 * Returns the validation of a reply, or of one message of a stream of replies. An invalid one is
 * INTERNAL; the issues are in the cause and do not leave the server.
 */
function outputValidation({ service, name, schemas }: MethodInfo): Validate | undefined {
  const what = `the reply of ${service}.${name}`;
  return validationOf(
    schemas?.output,
    what,
    (issues) =>
      new RpcError('INTERNAL', `${what} is invalid`, {
        cause: new TypeError(describe(issues)),
      }),
  );
}

function validationOf(
  schema: StandardSchemaV1 | undefined,
  what: string,
  errorOf: (issues: readonly StandardIssue[]) => RpcError,
): Validate | undefined {
  if (schema === undefined) return undefined;
  const standard = schema['~standard'];
  type Result = Awaited<ReturnType<typeof standard.validate>>;
  const read = (result: Result): unknown => {
    if (result.issues) throw errorOf(result.issues);
    return result.value;
  };
  const throwSchemaError = (error: unknown): never => {
    throw isInstance(error, RpcError)
      ? error
      : new RpcError('INTERNAL', `the schema of ${what} failed`, { cause: error });
  };
  return (value) => {
    try {
      const result = standard.validate(value);
      return (
        promiseOf(result)
          ?.then((given) => read(given as Result))
          .catch(throwSchemaError) ?? read(result as Result)
      );
    } catch (error) {
      return throwSchemaError(error);
    }
  };
}

/** Returns the issues as text: `address.zip: expected text; name: too long`. */
function describe(issues: readonly StandardIssue[]): string {
  const texts = issues.slice(0, MAX_ISSUES).map(({ message, path = [] }) => {
    const where = path.map((part) => String(typeof part === 'object' ? part.key : part)).join('.');
    return shorten(where === '' ? message : `${where}: ${message}`);
  });
  if (issues.length > MAX_ISSUES) texts.push(`and ${issues.length - MAX_ISSUES} more`);
  return texts.join('; ');
}

function shorten(text: string): string {
  return text.length > MAX_ISSUE_CHARACTERS ? `${text.slice(0, MAX_ISSUE_CHARACTERS)}…` : text;
}

/**
 * Returns a handler that validates the argument and the reply, or messages of streams. Returns
 * `handler` itself when the method has no schemas.
 */
export function withValidation(method: Method, handler: Handler): Handler {
  const { kind } = method;
  const validateInput = forEachMessage(inputValidation(method), streamsInput(kind));
  const validateOutput =
    kind === 'oneway' || kind === 'noReply'
      ? undefined
      : forEachMessage(outputValidation(method), streamsReplies(kind));
  const validated: Handler =
    validateInput === undefined
      ? handler
      : (given, context) =>
          then(validateInput(given), (input) =>
            handler(input, input === given ? context : (context.with({ input }) as CallContext)),
          );
  return validateOutput === undefined
    ? validated
    : (input, context) => then(validated(input, context), validateOutput);
}

function forEachMessage(validate: Validate | undefined, streams: boolean): Validate | undefined {
  if (validate === undefined || !streams) return validate;
  // A value that is no stream is refused by the next stage.
  return (value) => (isIterable(value) ? new ValidatedStream(value, validate) : value);
}

/** Calls `next` with the value. No promise is made for a value that is none. */
function then(value: unknown, next: (value: unknown) => unknown): unknown {
  return promiseOf(value)?.then(next) ?? next(value);
}

/** A stream of validated messages. At the first invalid one it ends and closes its source. */
class ValidatedStream implements AsyncIterable<unknown> {
  readonly #source: Messages<unknown>;
  readonly #validate: Validate;

  constructor(source: Messages<unknown>, validate: Validate) {
    this.#source = source;
    this.#validate = validate;
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<unknown> {
    const items = iteratorOf(this.#source);
    let isClosed = false;
    return {
      next: async () => {
        const item = await items.next();
        if (item.done) return item;
        try {
          return { done: false, value: await this.#validate(item.value) };
        } catch (error) {
          isClosed = true;
          closeIterator(items);
          throw error;
        }
      },
      return: async (value) =>
        (isClosed ? undefined : await items.return?.(value)) ?? { done: true, value },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }
}
