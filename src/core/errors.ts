/**
 * Every error of the package is a GettyError: a stable `code` to switch on, a message that says
 * what was given and what was expected, and the cause where there is one. docs/errors.md explains
 * each code.
 */

/**
 * The codes of the transport and of options; the rpc layer adds the canonical gRPC names (RpcCode).
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
  | 'POOL_FULL'
  | 'HANDLER_FAILED'
  | 'ENDPOINT_CLOSED'
  | 'ABORTED_BY_CALLER'
  | 'SESSION_DESTROYED'
  | 'REGISTRY_FAILED';

/**
 * The canonical names of gRPC, in the order of their numbers from 1
 * (https://grpc.io/docs/guides/status-codes/).
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

/** The base of every error that this package throws or reports. */
export class GettyError extends Error {
  /** Stable; switch on it rather than on the message. */
  readonly code: ErrorCode | RpcCode;

  constructor(code: ErrorCode | RpcCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'GettyError';
    this.code = code;
  }
}

/** Make a GettyError with one of the transport's codes. */
export function gettyError(code: ErrorCode, message: string, cause?: unknown): GettyError {
  return new GettyError(code, message, cause);
}

/**
 * `value instanceof type`; false for a value that cannot be looked at, such as a revoked Proxy.
 * Never throws.
 */
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
  return isGettyError(error) ? error.code : undefined;
}

/**
 * False for a GettyError whose code or message was set to what is no text, or cannot be read. Never
 * throws.
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
 * A GettyError as it is. Anything else that was thrown becomes the cause of one with `code`; `what`
 * begins its message. Never throws.
 */
export function asGettyError(thrown: unknown, code: ErrorCode, what: string): GettyError {
  return isGettyError(thrown) ? thrown : gettyError(code, `${what}: ${messageOf(thrown)}`, thrown);
}

/**
 * The text of anything thrown, for messages: an Error's own message, or the value's string. Never
 * throws.
 */
export function messageOf(error: unknown): string {
  try {
    // Node's failure to reach any address of a name has no message of its own.
    if (error instanceof AggregateError && error.message === '')
      return error.errors.map(messageOf).join(', ');
    return String(error instanceof Error ? error.message : error);
  } catch {
    return 'a value that has no string form';
  }
}
