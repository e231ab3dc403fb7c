/** Exceptions that nothing caught, and rejections that nothing handled, of the whole process. */

type RejectionListener = NodeJS.UnhandledRejectionListener;
type ExceptionListener = NodeJS.UncaughtExceptionListener;

/** Who takes an error. They return false for an error that is not of the simulation. */
export interface UncaughtErrorHandlers {
  onRejection(reason: unknown, promise: Promise<unknown>): boolean;
  onException(error: unknown): boolean;
}

/**
 * Takes the errors from the listeners of the program between start() and stop(), and gives them
 * those that are not of the simulation.
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
    // Without a listener Node.js makes it an exception.
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
    // Without a listener Node.js ends the process, with another exit code if a listener throws.
    this.stop();
    process.nextTick(() => {
      throw error;
    });
  }
}
