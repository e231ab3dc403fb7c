/** Exceptions that nothing caught, and rejections that nothing handled, of the whole process. */

type RejectionListener = NodeJS.UnhandledRejectionListener;
type ExceptionListener = NodeJS.UncaughtExceptionListener;

/** Handle an error of the simulation. They return false for another error, and do nothing. */
export interface UncaughtErrorHandlers {
  onRejection(reason: unknown, promise: Promise<unknown>): boolean;
  onException(error: unknown): boolean;
}

/**
 * Replaces the listeners of the program between start() and stop(). Errors that are not of the
 * simulation are passed to these listeners.
 */
export class UncaughtErrors {
  readonly #handlers: UncaughtErrorHandlers;
  #isStarted = false;
  #rejectionListeners: RejectionListener[] = [];
  #exceptionListeners: ExceptionListener[] = [];

  constructor(handlers: UncaughtErrorHandlers) {
    this.#handlers = handlers;
  }

  start(): void {
    this.#isStarted = true;
    this.#rejectionListeners = process.listeners('unhandledRejection');
    this.#exceptionListeners = process.listeners('uncaughtException');
    process.removeAllListeners('unhandledRejection').on('unhandledRejection', this.#onRejection);
    process.removeAllListeners('uncaughtException').on('uncaughtException', this.#onException);
  }

  stop(): void {
    if (!this.#isStarted) return;
    this.#isStarted = false;
    process.off('unhandledRejection', this.#onRejection);
    process.off('uncaughtException', this.#onException);
    for (const listener of this.#rejectionListeners) process.on('unhandledRejection', listener);
    for (const listener of this.#exceptionListeners) process.on('uncaughtException', listener);
    this.#rejectionListeners = [];
    this.#exceptionListeners = [];
  }

  readonly #onRejection: RejectionListener = (reason, promise) => {
    if (this.#handlers.onRejection(reason, promise)) return;
    // Without a listener Node.js treats a rejection as an exception.
    if (this.#rejectionListeners.length === 0)
      this.#passException(reason as Error, 'unhandledRejection');
    for (const listener of this.#rejectionListeners) listener.call(process, reason, promise);
  };

  readonly #onException: ExceptionListener = (error, origin) => {
    if (!this.#handlers.onException(error)) this.#passException(error, origin);
  };

  #passException(error: Error, origin: NodeJS.UncaughtExceptionOrigin): void {
    for (const listener of this.#exceptionListeners) listener.call(process, error, origin);
    if (this.#exceptionListeners.length > 0) return;
    // Without a listener Node.js ends the process with the exit code 1. A throw here, which is in a
    // listener, would end it with another code.
    this.stop();
    process.nextTick(() => {
      throw error;
    });
  }
}
