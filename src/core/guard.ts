import { type GettyError, gettyError, messageOf } from './errors.js';

/**
 * Calls `handle(subject, argument)`, the handling of one event from the network. If it throws,
 * `failed` is called with the subject and what was thrown: one connection is lost, and the process
 * goes on. Every event by which a peer's bytes arrive is handled through this function. `failed`
 * must not throw. Both are functions of the module, so that a call makes no closure.
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
 * `handle` as a function that does not throw: `failed` is called with what it throws. For what goes
 * on later, when a closure is made anyway.
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

/**
 * The CONNECTION_LOST error of a connection that ends because handling what the peer sent threw
 * `error`.
 */
export function faultError(remoteAddress: string, error: unknown): GettyError {
  return gettyError(
    'CONNECTION_LOST',
    `handling what ${remoteAddress} sent failed: ${messageOf(error)}`,
    error,
  );
}
