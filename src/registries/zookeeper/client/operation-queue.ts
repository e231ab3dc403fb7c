/** The operations of a client that have not settled: waiting for a connection, or in flight. */
import { messageOf } from '../../../core/errors.js';
import { startTimer } from '../../../core/timers.js';
import { ZooKeeperError } from './errors.js';
import type { AnswerReceiver } from './in-flight-requests.js';
import type { Operation } from './operations.js';
import type { ServerConnection } from './server-connection.js';
import type { ZooKeeperSession } from './session.js';

interface Task extends AnswerReceiver<unknown> {
  readonly operation: Operation<unknown>;
}

export interface OperationQueueOptions {
  readonly maxPending: number;
  readonly maxRequestBytes: number;
}

/**
 * Called with the outcome of an operation before the next frame is read: its event may be in that
 * frame, so its watcher is added here.
 */
export type OnSettled = (error: Error | undefined) => void;

export class OperationQueue {
  readonly #session: ZooKeeperSession;
  readonly #options: OperationQueueOptions;
  /** The operations that wait for a connection, in order. */
  readonly #unsent = new Set<Task>();
  #pending = 0;

  constructor(session: ZooKeeperSession, options: OperationQueueOptions) {
    this.#session = session;
    this.#options = options;
  }

  /**
   * Sends the operation, now or when there is a connection. `timeout`: in milliseconds. Rejects
   * with a ZooKeeperError.
   */
  run<T>(operation: Operation<T>, timeout: number, onSettled?: OnSettled): Promise<T> {
    const { maxPending } = this.#options;
    if (this.#pending >= maxPending) {
      const message = `ZooKeeper: ${operation.name} ${operation.path}: ${this.#pending} operations are pending; maxPending is ${maxPending}`;
      return Promise.reject(new ZooKeeperError('NOT_SENT', message));
    }
    return this.runLast(operation, timeout, onSettled);
  }

  /** As run(), without the limit `maxPending`. */
  runLast<T>(operation: Operation<T>, timeout: number, onSettled?: OnSettled): Promise<T> {
    this.#pending++;
    return new Promise<T>((resolve, reject) => {
      let isSettled = false;
      const settle = (error: Error | undefined): boolean => {
        if (isSettled) return false;
        isSettled = true;
        this.#pending--;
        this.#unsent.delete(task);
        clearTimeout(timer);
        onSettled?.(error);
        return true;
      };
      const task: Task = {
        operation,
        succeed: (value) => settle(undefined) && resolve(value as T),
        fail: (error) => settle(error) && reject(error),
      };
      // The session keeps the process alive, by its connection or by its attempts to connect.
      const timer = startTimer(() => task.fail(this.#timeoutError(task, timeout)), timeout).unref();
      this.#unsent.add(task);
      if (this.#session.connection !== undefined) this.#send(task, this.#session.connection);
    });
  }

  /** Sends the operations that wait for a connection. */
  sendAll(connection: ServerConnection): void {
    for (const task of [...this.#unsent]) this.#send(task, connection);
  }

  /** Fails the operations that wait for a connection. */
  failUnsent(): void {
    for (const task of [...this.#unsent]) task.fail(closedError(task.operation));
  }

  #send(task: Task, connection: ServerConnection): void {
    this.#unsent.delete(task);
    try {
      connection.request(task.operation, task, this.#options.maxRequestBytes);
    } catch (error) {
      task.fail(error as Error);
    }
  }

  #timeoutError(task: Task, timeout: number): Error {
    const { name, path } = task.operation;
    if (!this.#unsent.has(task)) {
      const message = `ZooKeeper: ${name} ${path}: no answer within ${timeout} ms; it may have been done`;
      return new ZooKeeperError('OPERATION_TIMEOUT', message);
    }
    const { lastFailure } = this.#session;
    const reason = lastFailure === undefined ? '' : `: ${messageOf(lastFailure)}`;
    return new ZooKeeperError(
      'OPERATION_TIMEOUT',
      `ZooKeeper: ${name} ${path}: no connection within ${timeout} ms${reason}`,
      lastFailure,
    );
  }
}

export function closedError({ name, path }: Operation<unknown>): Error {
  return new ZooKeeperError('CLOSED', `ZooKeeper: ${name} ${path}: the client is closed`);
}
