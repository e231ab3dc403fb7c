/** Makes the object whose methods are a contract's. */

import { settle as settlePromise } from '../../core/callbacks.js';
import { gettyError, messageOf } from '../../core/errors.js';
import { badOption } from '../../core/options.js';
import { warn } from '../../core/warning.js';
import {
  ClientCall,
  checkTimeout,
  LeaveSignal,
  LinkedCall,
  StreamCall,
  streams,
  streamsReplies,
} from '../calls/client-call.js';
import { RpcError } from '../errors.js';
import { checkStubNames } from '../option-names.js';
import { invokeUntilEnd } from '../streams/stream-end.js';
import type {
  Callback,
  CallOptions,
  CodecName,
  Contract,
  Invoke,
  Method,
  MethodSpecs,
  Replies,
  Stub,
  StubOptions,
} from '../types.js';

/**
 * `timeout`: milliseconds for calls and methods that do not say; not for streams. Throws
 * BAD_OPTION.
 */
export function makeStub<Specs extends MethodSpecs>(
  contract: Contract<Specs>,
  invoke: Invoke,
  timeout: number,
  options: StubOptions = {},
): Stub<Specs> {
  if (!(contract?.methods instanceof Map))
    throw badOption('contract', contract, 'what contract() returns');
  checkStubNames(options);
  const codec = options.codec ?? contract.codec;
  if (!contract.codecs.includes(codec))
    throw badOption('codec', codec, `one of ${contract.name}'s: ${contract.codecs.join(', ')}`);
  // Without a prototype, for a method may be called toString; and not from Object.create(null),
  // which V8 makes a dictionary.
  const stub: Record<string, unknown> = Object.setPrototypeOf({}, null);
  for (const [name, method] of contract.methods)
    stub[name] = stubMethod(method, codec, invoke, timeout);
  return stub as Stub<Specs>;
}

function stubMethod(method: Method, codec: CodecName, invoke: Invoke, timeout: number): unknown {
  const limit = checkTimeout(
    method.timeout ?? (streams(method.kind) ? Number.POSITIVE_INFINITY : timeout),
  );
  if (streamsReplies(method.kind)) {
    return (input: unknown, options?: CallOptions): Replies<unknown> =>
      new ReplyStream(invoke, () => ClientCall.make(method, input, codec, limit, options));
  }
  // A plain call is the common case, and must not pay for the others.
  const call = (
    input: unknown,
    second?: CallOptions | Callback<unknown>,
    third?: Callback<unknown>,
  ): Promise<unknown> | void => {
    if (typeof second === 'function') return settle(call(input) as Promise<unknown>, second);
    if (third !== undefined) return settle(call(input, second) as Promise<unknown>, third);
    try {
      return begin(invoke, ClientCall.make(method, input, codec, limit, second));
    } catch (error) {
      return Promise.reject(error);
    }
  };
  return call;
}

/** Do the call; what it follows is released at its end. */
function begin(invoke: Invoke, call: ClientCall): Promise<unknown> {
  return call instanceof LinkedCall ? invokeUntilEnd(invoke, call, call.release) : invoke(call);
}

function settle(promise: Promise<unknown>, callback: Callback<unknown>): void {
  promise
    .then(
      (reply) => callback(null, reply),
      (error) => callback(error),
    )
    .catch((error) =>
      warn(
        gettyError('HANDLER_FAILED', `the callback of a call failed: ${messageOf(error)}`, error),
      ),
    );
}

const DONE: IteratorResult<never, undefined> = { done: true, value: undefined };

/** The call begins with the iteration, so that one which nobody reads is never made. */
class ReplyStream implements Replies<unknown>, AsyncIterator<unknown, undefined> {
  readonly #invoke: Invoke;
  readonly #make: () => ClientCall;
  #leave: LeaveSignal | undefined;
  #iterator:
    | Promise<AsyncIterator<unknown, undefined>>
    | AsyncIterator<unknown, undefined>
    | undefined;
  /** Those who wait for replies of a call that has not begun. */
  #waiting: ((end: IteratorResult<never, undefined>) => void)[] = [];
  #iterated = false;
  #left = false;

  constructor(invoke: Invoke, make: () => ClientCall) {
    this.#invoke = invoke;
    this.#make = make;
  }

  [Symbol.asyncIterator](): AsyncIterator<unknown, undefined> {
    if (this.#iterated)
      throw new RpcError(
        'FAILED_PRECONDITION',
        'the replies of one call are iterated once; call again for others',
      );
    this.#iterated = true;
    return this;
  }

  async #begin(): Promise<AsyncIterator<unknown, undefined>> {
    const made = this.#make();
    const leave = new LeaveSignal(made.signal);
    this.#leave = leave;
    const call = new StreamCall(made, leave);
    try {
      const replies =
        made instanceof LinkedCall
          ? invokeUntilEnd(this.#invoke, call, made.release)
          : this.#invoke(call);
      const iterator = ((await replies) as AsyncIterable<unknown>)[Symbol.asyncIterator]();
      this.#iterator = iterator;
      this.#waiting = [];
      if (this.#left) this.#endEarly(iterator);
      return iterator;
    } catch (error) {
      leave.end();
      throw error;
    }
  }

  /** It has begun all the same. */
  #endEarly(iterator: AsyncIterator<unknown, undefined>): void {
    settlePromise(() => iterator.return?.()).catch(() => {});
  }

  next(): Promise<IteratorResult<unknown, undefined>> {
    if (this.#left) return Promise.resolve(DONE);
    this.#iterator ??= this.#begin();
    if ('then' in this.#iterator) return this.#firstOf(this.#iterator);
    return this.#leave?.isLinked
      ? this.#lastOf(this.#iterator.next(), this.#leave)
      : this.#iterator.next();
  }

  #firstOf(
    begun: Promise<AsyncIterator<unknown, undefined>>,
  ): Promise<IteratorResult<unknown, undefined>> {
    return new Promise((resolve, reject) => {
      this.#waiting.push(resolve);
      begun.then((iterator) => (this.#left ? DONE : iterator.next())).then(resolve, reject);
    });
  }

  /** As `step`, and the call lets go of its signal with the last one. */
  async #lastOf(
    step: Promise<IteratorResult<unknown, undefined>>,
    leave: LeaveSignal,
  ): Promise<IteratorResult<unknown, undefined>> {
    let isLast = true;
    try {
      const result = await step;
      isLast = result.done === true;
      return result;
    } finally {
      if (isLast) leave.end();
    }
  }

  /** Settles at once, also while the call waits to begin: then it is cancelled. */
  async return(): Promise<IteratorResult<unknown, undefined>> {
    this.#left = true;
    for (const settleWaiting of this.#waiting) settleWaiting(DONE);
    this.#waiting = [];
    try {
      const begun =
        this.#iterator !== undefined && !('then' in this.#iterator) ? this.#iterator : undefined;
      // First the stream ends, so that what waits for an item learns that; then the call, for what
      // an interceptor has wrapped around the stream.
      const left = begun?.return?.();
      this.#leave?.leave();
      await left;
    } catch {
      // The reader has left and wants no more.
    }
    return DONE;
  }
}
