/**
 * Every error of the package is a GettyError: a stable `code` to switch on, a message that says what was given and
 * what was expected, and the cause where there is one. docs/errors.md explains each code.
 */

/** The codes of the transport and of options; the rpc layer adds the canonical gRPC names (RpcCode). */
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
  | 'REGISTRY_FAILED';

/** The base of every error that this package throws or reports. */
export class GettyError extends Error {
  /** Stable; switch on it rather than on the message. */
  readonly code: string;

  constructor(code: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'GettyError';
    this.code = code;
  }
}

/** Make a GettyError with one of the transport's codes. */
export function gettyError(code: ErrorCode, message: string, cause?: unknown): GettyError {
  return new GettyError(code, message, cause);
}

/** The text of anything thrown, for messages: an Error's own message, or the value's string. Never throws. */
export function messageOf(error: unknown): string {
  try {
    // Node's failure to reach any address of a name has no message of its own.
    if (error instanceof AggregateError && error.message === '') return error.errors.map(messageOf).join(', ');
    return String(error instanceof Error ? error.message : error);
  } catch {
    return 'a value that has no string form';
  }
}
