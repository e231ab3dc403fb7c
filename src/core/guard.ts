import { type GettyError, gettyError, messageOf } from './errors.js';

/**
 * Calls `handle(subject, argument)`, which handles one event of the network. If it throws, `failed`
 * is called with the subject and the error. So a fault closes one connection, and the process
 * continues. Each event with bytes of a peer is handled by this function, or by a `try` block of
 * the same kind. `failed` must not throw. Pass functions of a module, so that no closure is created
 * per event.
 */
export function guard<Subject, Argument>(
  handle: (subject: Subject, argument: Argument) => void,
  failed: (subject: Subject, error: unknown) => void,
  subject: Subject,
  argument: Argument,
): void {
  try {
    handle(subject, argument);
  } catch (error) {
    failed(subject, error);
  }
}

/**
 * Returns a function that calls `handle` and does not throw: `failed` is called with the error. For
 * work of a later turn, which needs a closure anyway.
 */
export function guarded(handle: () => void, failed: (error: unknown) => void): () => void {
  return () => {
    try {
      handle();
    } catch (error) {
      failed(error);
    }
  };
}

/** The CONNECTION_LOST error of a connection whose received bytes caused the exception `error`. */
export function faultError(remoteAddress: string, error: unknown): GettyError {
  return gettyError(
    'CONNECTION_LOST',
    `handling what ${remoteAddress} sent failed: ${messageOf(error)}`,
    error,
  );
}
