/** The requests of one connection whose answers have not arrived. */
import { gettyError } from '../../../core/errors.js';
import { serverError, ZooKeeperError } from './errors.js';
import type { JuteReader } from './jute.js';
import type { Operation } from './operations.js';
import { encodeRequest, type ReplyHeader } from './protocol.js';

/**
 * Receives the answer of an operation. One of the methods is called, once, in the turn of the event
 * loop in which the answer is read.
 */
export interface AnswerReceiver<T> {
  succeed(value: T): void;
  fail(error: Error): void;
}

const MAX_XID = 2 ** 31 - 1;

export class InFlightRequests {
  readonly #host: string;
  /** The requests, by xid, in their order. */
  readonly #requests = new Map<
    number,
    { readonly operation: Operation<unknown>; readonly receiver: AnswerReceiver<unknown> }
  >();
  #lastXid = 0;
  /** How many requests were answered. */
  answered = 0;

  /** `host`: for messages. */
  constructor(host: string) {
    this.#host = host;
  }

  get isEmpty(): boolean {
    return this.#requests.size === 0;
  }

  /** Adds a request and returns its frame. Throws NOT_SENT if the frame is over `maxBytes`. */
  add<T>(operation: Operation<T>, receiver: AnswerReceiver<T>, maxBytes: number): Buffer {
    this.#lastXid = this.#lastXid === MAX_XID ? 1 : this.#lastXid + 1;
    const frame = encodeRequest(this.#lastXid, operation);
    if (frame.length > maxBytes) {
      const what = `${operation.name} ${operation.path.slice(0, 200)}`;
      throw new ZooKeeperError(
        'NOT_SENT',
        `ZooKeeper: ${what}: the request has ${frame.length} bytes; maxRequestBytes is ${maxBytes}`,
      );
    }
    this.#requests.set(this.#lastXid, {
      operation,
      receiver: receiver as AnswerReceiver<unknown>,
    });
    return frame;
  }

  /** Settles the request of an answer. Throws an error that must end the connection. */
  settle({ xid, error }: ReplyHeader, from: JuteReader): void {
    // ZooKeeper answers requests in their order.
    const [expected] = this.#requests.keys();
    const request = this.#requests.get(xid);
    if (request === undefined || xid !== expected) {
      throw gettyError(
        'BAD_FRAME',
        `${this.#host} answers request ${xid}, expected ${expected ?? 'none'}`,
      );
    }
    const { operation, receiver } = request;
    this.#requests.delete(xid);
    this.answered++;
    if (error !== 0) {
      receiver.fail(serverError(error, operation.name, operation.path));
      return;
    }
    let value: unknown;
    try {
      value = operation.read(from);
    } catch (failure) {
      receiver.fail(failure as Error);
      // An error of the server in the answer of a multi does not end the connection.
      if (!(failure instanceof ZooKeeperError)) throw failure;
      return;
    }
    receiver.succeed(value);
  }

  /** Fails all requests with CONNECTION_LOST. */
  failAll(cause: Error): void {
    for (const { operation, receiver } of this.#requests.values()) {
      const { name, path } = operation;
      const message = `ZooKeeper: ${name} ${path}: the connection was lost before the answer; it may have been done`;
      receiver.fail(new ZooKeeperError('CONNECTION_LOST', message, cause));
    }
    this.#requests.clear();
  }
}
