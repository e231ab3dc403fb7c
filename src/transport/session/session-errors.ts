/** The errors of a session. */

import { refusePromise } from '../../core/callbacks.js';
import { asGettyError, type GettyError, gettyError, messageOf } from '../../core/errors.js';

export function onOpenError(remoteAddress: string, cause: unknown): GettyError {
  return gettyError(
    'SESSION_REFUSED',
    `onOpen refused the session with ${remoteAddress}: ${messageOf(cause)}`,
    cause,
  );
}

/** Writing to the connection, or ending it, threw `cause`. */
export function lostError(remoteAddress: string, cause: unknown): GettyError {
  return asGettyError(cause, 'CONNECTION_LOST', `the connection to ${remoteAddress} was lost`);
}

/** `what`: the callback that has failed. */
export function handlerError(cause: unknown, what = 'a callback of the listener'): GettyError {
  return gettyError('HANDLER_FAILED', `${what} failed: ${messageOf(cause)}`, cause);
}

/** `silence`, `idleTimeout`: milliseconds. */
export function idleTimeoutError(
  remoteAddress: string,
  silence: number,
  idleTimeout: number,
): GettyError {
  return gettyError(
    'IDLE_TIMEOUT',
    `${remoteAddress} has been silent for ${silence} ms; idleTimeout is ${idleTimeout} ms`,
  );
}

/** `age`, `messageTimeout`: milliseconds. */
export function messageTimeoutError(
  remoteAddress: string,
  age: number,
  messageTimeout: number,
): GettyError {
  return gettyError(
    'MESSAGE_TIMEOUT',
    `${remoteAddress} began a message ${age} ms ago and has not ended it; messageTimeout is ${messageTimeout} ms`,
  );
}

/** For bytes with which read() of the codec threw `cause`. `what`: the object of `sent`. */
export function unreadableError(remoteAddress: string, what: string, cause: unknown): GettyError {
  return asGettyError(
    cause,
    'BAD_FRAME',
    `${remoteAddress} sent ${what} that the codec cannot read`,
  );
}

/** How many codecs may pass the same bytes on with Session.use(). */
const MAX_SWITCHES = 16;

/** Throws if `switches` codecs have passed the same bytes on, and that is too many. */
export function checkSwitches(switches: number): void {
  if (switches > MAX_SWITCHES) throw new Error('codecs pass the bytes to each other with use()');
}

/**
 * Throws BAD_FRAME if `result`, which read() of the codec returned, is a promise. An async function
 * returns one each time, so a codec is checked until it has returned a message. Returns whether
 * `result` is a message.
 */
export function checkReadResult(result: unknown): boolean {
  refusePromise('BAD_FRAME', 'read() of the codec', result);
  return result !== undefined;
}

/** `name`: the limit that closes the session, and `limit` its values. */
export function rateExceededError(remoteAddress: string, name: string, limit: string): GettyError {
  return gettyError('RATE_EXCEEDED', `${remoteAddress} sent more than ${name}, ${limit}`);
}

/** `rest`: bytes that have arrived in plain text behind the message that begins TLS. */
export function plainTextError(remoteAddress: string, rest: number): GettyError {
  return gettyError(
    'BAD_FRAME',
    `${remoteAddress} sent ${rest} bytes in plain text after the message that begins TLS`,
  );
}

/** `rest`: the bytes of the incomplete message. */
export function incompleteMessageError(remoteAddress: string, rest: number): GettyError {
  return gettyError(
    'BAD_FRAME',
    `${remoteAddress} ended the stream inside a message, after ${rest} bytes of it`,
  );
}

/** For a message of this side, of `size` bytes. */
export function sentTooLargeError(
  remoteAddress: string,
  size: number,
  maxMessageBytes: number,
): GettyError {
  return gettyError(
    'MESSAGE_TOO_LARGE',
    `a message to ${remoteAddress} has ${size} bytes; the session option maxMessageBytes is ${maxMessageBytes} at its sender`,
  );
}

/** For a message of the peer, of which `size` bytes or more have arrived. */
export function receivedTooLargeError(
  remoteAddress: string,
  size: number,
  maxMessageBytes: number,
): GettyError {
  return gettyError(
    'MESSAGE_TOO_LARGE',
    `a message from ${remoteAddress} has ${size} bytes or more; the session option maxMessageBytes is ${maxMessageBytes} at its receiver`,
  );
}

export function closedError(remoteAddress: string, cause?: unknown): GettyError {
  return gettyError('SESSION_CLOSED', `the session with ${remoteAddress} is closed`, cause);
}

/** `waiters`: the calls of send() and drained() that wait, and the bytes that they count as. */
export function blockedError(
  remoteAddress: string,
  queuedBytes: number,
  waiters: { readonly count: number; readonly bytes: number } | undefined,
  maxQueuedBytes: number,
): GettyError {
  const { count = 0, bytes = 0 } = waiters ?? {};
  const calls = bytes === 0 ? '' : ` and ${count} calls of send() or drained() wait`;
  return gettyError(
    'SESSION_BLOCKED',
    `${remoteAddress} does not read: ${queuedBytes} bytes are queued${calls}, maxQueuedBytes is ${maxQueuedBytes}`,
  );
}

/** For a codec that calls write() of the session while it encodes a message of that session. */
export function nestedWriteError(): GettyError {
  return gettyError(
    'ENCODE_FAILED',
    'a write to this session is not complete; write() of a codec must append to its output instead',
  );
}

/** For a send() whose signal has aborted before the call. */
export function abortedError(reason: unknown): GettyError {
  return gettyError(
    'ABORTED_BY_CALLER',
    'the signal of the caller aborted before anything was sent',
    reason,
  );
}
