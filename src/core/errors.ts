/**
 * GettyError, the base class of all errors of this package, and its codes. docs/errors.md says for
 * each code when it occurs and what to do.
 */

/**
 * The codes of options, connections, sessions and registries. Failed calls have the codes of
 * RpcCode.
 */
export type ErrorCode =
  | 'BAD_ADDRESS'
  | 'BAD_OPTION'
  | 'BAD_FRAME'
  | 'MESSAGE_TOO_LARGE'
  | 'INFLATE_LIMIT'
  | 'LISTEN_FAILED'
  | 'CONNECT_FAILED'
  | 'CONNECTION_LOST'
  | 'SESSION_CLOSED'
  | 'SESSION_BLOCKED'
  | 'SESSION_REFUSED'
  | 'PEER_NOT_TRUSTED'
  | 'ENCODE_FAILED'
  | 'SEND_TIMEOUT'
  | 'IDLE_TIMEOUT'
  | 'MESSAGE_TIMEOUT'
  | 'RATE_EXCEEDED'
  | 'POOL_FULL'
  | 'TOPIC_LIMIT'
  | 'HANDLER_FAILED'
  | 'WARNINGS_SUPPRESSED'
  | 'ENDPOINT_CLOSED'
  | 'ABORTED_BY_CALLER'
  | 'SESSION_DESTROYED'
  | 'REGISTRY_FAILED'
  | 'SIMULATION_ABORTED'
  | 'SIMULATION_ACTIVE'
  | 'SIMULATION_FAILED'
  | 'SIMULATION_STALLED'
  | 'SIMULATION_TIMEOUT'
  | 'HOST_DOWN';

/**
 * The canonical codes of gRPC, in the order of their numbers, which begin at 1. Source:
 * https://grpc.io/docs/guides/status-codes/
 */
export const RPC_CODES = [
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
] as const;

/** The code of a failed call. */
export type RpcCode = (typeof RPC_CODES)[number];

/**
 * The base class of every error that this package throws, rejects with or reports. `code` says what
 * happened, `message` says it for people, and `cause` is the underlying error, if there is one.
 *
 * ```ts
 * if (error instanceof GettyError && error.code === 'CONNECT_FAILED') …
 * ```
 */
export class GettyError extends Error {
  /** What happened. Codes are stable; messages may change between versions. */
  readonly code: ErrorCode | RpcCode;

  constructor(code: ErrorCode | RpcCode, message: string, cause?: unknown) {
    super(textOf(message), cause === undefined ? undefined : { cause });
    this.name = 'GettyError';
    this.code = code;
  }
}

/** `message` as Error makes a text of it, but a symbol or an object that throws is no TypeError. */
function textOf(message: unknown): string {
  if (typeof message === 'string') return message;
  return message === undefined ? '' : messageOf(message);
}

/** Create a GettyError with a code that is not an RpcCode. */
export function gettyError(code: ErrorCode, message: string, cause?: unknown): GettyError {
  return new GettyError(code, message, cause);
}

/** `value instanceof type`; false when that throws, as for a revoked Proxy. Never throws. */
export function isInstance<T>(
  value: unknown,
  type: abstract new (...args: never[]) => T,
): value is T {
  try {
    return value instanceof type;
  } catch {
    return false;
  }
}

/** The code of a GettyError; undefined for anything else. Never throws. */
export function codeOf(error: unknown): GettyError['code'] | undefined {
  try {
    if (!(error instanceof GettyError) || typeof error.message !== 'string') return undefined;
    const { code } = error;
    return typeof code === 'string' ? code : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Whether `error` is a GettyError whose code and message are still strings: a program can overwrite
 * them. Never throws.
 */
function isGettyError(error: unknown): error is GettyError {
  try {
    return (
      error instanceof GettyError &&
      typeof error.code === 'string' &&
      typeof error.message === 'string'
    );
  } catch {
    return false;
  }
}

/**
 * A GettyError as it is. Any other value becomes the cause of a new GettyError with `code`, whose
 * message begins with `what`. Never throws.
 */
export function asGettyError(thrown: unknown, code: ErrorCode, what: string): GettyError {
  return isGettyError(thrown) ? thrown : gettyError(code, `${what}: ${messageOf(thrown)}`, thrown);
}

/** UTF-16 units. A message that contains a longer one could exceed the longest string. */
export const MAX_MESSAGE_LENGTH = 10_000;
/** The errors of an AggregateError without a message that are shown. */
const MAX_SHOWN_ERRORS = 10;

/**
 * The message of an Error, or the string form of any other thrown value, cut at
 * MAX_MESSAGE_LENGTH. Never throws.
 */
export function messageOf(error: unknown): string {
  // The AggregateError of a name whose addresses all fail has an empty message in Node.js. Its
  // errors are not searched for others: they may contain themselves.
  const parts = errorsOf(error)?.map(ownMessageOf) ?? [ownMessageOf(error)];
  const message = parts.join(', ');
  return message.length > MAX_MESSAGE_LENGTH ? `${message.slice(0, MAX_MESSAGE_LENGTH)}…` : message;
}

/** The first errors of an AggregateError without a message. Never throws. */
function errorsOf(error: unknown): unknown[] | undefined {
  try {
    if (!(error instanceof AggregateError) || error.message !== '') return undefined;
    return error.errors.slice(0, MAX_SHOWN_ERRORS);
  } catch {
    return undefined;
  }
}

function ownMessageOf(error: unknown): string {
  try {
    const message = String(error instanceof Error ? error.message : error);
    return message.slice(0, MAX_MESSAGE_LENGTH + 1);
  } catch {
    return 'a value that has no string form';
  }
}
