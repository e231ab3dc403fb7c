/** The stub: an object with a function for each method of a contract. */

import { markHandled, notifyOrWarn } from '../../core/callbacks.js';
import { badOption } from '../../core/options.js';
import { ClientCall, checkTimeout, LinkedCall, plainShape } from '../calls/client-call.js';
import { RpcError } from '../errors.js';
import { isStreaming, streamsInput, streamsReplies } from '../method-kind.js';
import { checkStubNames } from '../option-names.js';
import { invokeUntilEnd } from '../streams/call-end.js';
import { closeIterator, isLastStep } from '../streams/item-iterator.js';
import { ReaderSignal } from '../streams/reader-signal.js';
import { ReplyStreamCall } from '../streams/reply-stream-call.js';
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
 * Makes the stub of a contract, whose calls go through `invoke`. `timeout`: milliseconds, for
 * methods and calls that give no timeout; streams have none. Throws BAD_OPTION.
 */
export function makeStub<Specs extends MethodSpecs>(
  contract: Contract<Specs>,
  invoke: Invoke,
  timeout: number,
  options: StubOptions = {},
): Stub<Specs> {
  if (!(contract?.methods instanceof Map) || !Array.isArray(contract.codecs))
    throw badOption('contract', contract, 'a contract, made by contract()');
  if (typeof invoke !== 'function') throw badOption('invoke', invoke, 'a function of a call');
  checkStubNames(options);
  const codec = options.codec ?? contract.codec;
  if (!contract.codecs.includes(codec))
    throw badOption('codec', codec, `a codec of ${contract.name}: ${contract.codecs.join(', ')}`);
  // Without a prototype, because a method may be named toString. V8 makes a dictionary of what
  // Object.create(null) returns, so the prototype is removed afterwards.
  const stub: Record<string, unknown> = Object.setPrototypeOf({}, null);
  for (const [name, method] of contract.methods)
    stub[name] = stubMethod(method, codec, invoke, timeout);
  return stub as Stub<Specs>;
}

function stubMethod(method: Method, codec: CodecName, invoke: Invoke, timeout: number): unknown {
  const limit = checkTimeout(
    method.timeout ?? (isStreaming(method.kind) ? Number.POSITIVE_INFINITY : timeout),
  );
  const plain = plainShape(method, codec, limit);
  const takesItems = streamsInput(method.kind);
  if (streamsReplies(method.kind)) {
    return (input: unknown, options?: CallOptions): Replies<unknown> => {
      if (takesItems) markItems(input);
      return new ReplyStream(invoke, () => ClientCall.make(plain, input, options));
    };
  }
  // A call without a callback is the common case, and is kept free of the cost of the others.
  const call = (
    input: unknown,
    second?: CallOptions | Callback<unknown>,
    third?: Callback<unknown>,
  ): Promise<unknown> | void => {
    if (typeof second === 'function')
      return notifyCallback(call(input) as Promise<unknown>, second);
    if (third !== undefined) return notifyCallback(call(input, second) as Promise<unknown>, third);
    if (takesItems) markItems(input);
    try {
      return invokeCall(invoke, ClientCall.make(plain, input, second));
    } catch (error) {
      return Promise.reject(error);
    }
  };
  return call;
}

/**
 * Marks the promises in an array of items as handled. If the call is refused, nothing reads them,
 * and one that rejects would end the process.
 */
function markItems(input: unknown): void {
  try {
    if (Array.isArray(input)) markHandled(input);
  } catch {
    // A value that throws when it is read fails its call, if that reads it.
  }
}

/** Invokes the call. At its end it releases the signals that it follows. */
function invokeCall(invoke: Invoke, call: ClientCall): Promise<unknown> {
  return call instanceof LinkedCall ? invokeUntilEnd(invoke, call, call.release) : invoke(call);
}

function notifyCallback(promise: Promise<unknown>, callback: Callback<unknown>): void {
  const name = 'the callback of a call';
  promise.then(
    (reply) => notifyOrWarn(name, () => callback(null, reply)),
    // An interceptor may throw what a callback would take for success.
    (error) => notifyOrWarn(name, () => callback(error || RpcError.from(error))),
  );
}

/** Throws INTERNAL if an interceptor has returned another value than the replies. */
function iteratorOfReplies(
  { service, name }: Method,
  replies: unknown,
): AsyncIterator<unknown, undefined> {
  const begin: unknown = (replies as Partial<AsyncIterable<unknown>> | undefined)?.[
    Symbol.asyncIterator
  ];
  if (typeof begin !== 'function')
    throw new RpcError(
      'INTERNAL',
      `an interceptor of ${service}.${name} returned a value that is not async iterable`,
    );
  return begin.call(replies);
}

const DONE: IteratorResult<never, undefined> = { done: true, value: undefined };

/**
 * The replies of a streaming call. The call begins at the first next(), so an unread stream makes
 * no call.
 */
class ReplyStream implements Replies<unknown>, AsyncIterator<unknown, undefined> {
  readonly #invoke: Invoke;
  readonly #makeCall: () => ClientCall;
  /** The signal of the call. It aborts when the reader ends the iteration early. */
  #readerSignal: ReaderSignal | undefined;
  #iterator:
    | Promise<AsyncIterator<unknown, undefined>>
    | AsyncIterator<unknown, undefined>
    | undefined;
  /** The last result of next() of the iterator. */
  #lastStep: Promise<IteratorResult<unknown, undefined>> | undefined;
  /** Functions that settle the pending next() of a call that has not begun. */
  #pendingReads: ((end: IteratorResult<never, undefined>) => void)[] = [];
  #isIterated = false;
  #isClosed = false;

  constructor(invoke: Invoke, makeCall: () => ClientCall) {
    this.#invoke = invoke;
    this.#makeCall = makeCall;
  }

  [Symbol.asyncIterator](): AsyncIterator<unknown, undefined> {
    if (this.#isIterated)
      throw new RpcError(
        'FAILED_PRECONDITION',
        'the replies of a call can be iterated once; make another call',
      );
    this.#isIterated = true;
    return this;
  }

  async #begin(): Promise<AsyncIterator<unknown, undefined>> {
    const clientCall = this.#makeCall();
    const readerSignal = new ReaderSignal(clientCall.signal, this.#onLinked);
    this.#readerSignal = readerSignal;
    const call = new ReplyStreamCall(clientCall, readerSignal);
    try {
      const replies =
        clientCall instanceof LinkedCall
          ? invokeUntilEnd(this.#invoke, call, clientCall.release)
          : this.#invoke(call);
      const iterator = iteratorOfReplies(clientCall.method, await replies);
      this.#iterator = iterator;
      this.#pendingReads = [];
      // The call began after return().
      if (this.#isClosed) closeIterator(iterator);
      return iterator;
    } catch (error) {
      // An interceptor may have thrown after the call has begun.
      readerSignal.abort();
      throw error;
    }
  }

  next(): Promise<IteratorResult<unknown, undefined>> {
    if (this.#isClosed) return Promise.resolve(DONE);
    this.#iterator ??= this.#begin();
    if ('then' in this.#iterator) return this.#firstReply(this.#iterator);
    return this.#read(this.#iterator);
  }

  #read(iterator: AsyncIterator<unknown, undefined>): Promise<IteratorResult<unknown, undefined>> {
    const step = iterator.next();
    this.#lastStep = step;
    return this.#readerSignal?.isLinked ? this.#replyAndRelease(step, this.#readerSignal) : step;
  }

  /** An interceptor may access the signal first while the last step runs, or after it. */
  readonly #onLinked = (): void => {
    if (this.#lastStep !== undefined && this.#readerSignal !== undefined)
      this.#replyAndRelease(this.#lastStep, this.#readerSignal).catch(() => {});
  };

  #firstReply(
    begun: Promise<AsyncIterator<unknown, undefined>>,
  ): Promise<IteratorResult<unknown, undefined>> {
    return new Promise((resolve, reject) => {
      this.#pendingReads.push(resolve);
      begun
        .then((iterator) => (this.#isClosed ? DONE : this.#read(iterator)))
        .then(resolve, reject);
    });
  }

  /** Returns the result of `step`. When it is the last one, the call releases its signal. */
  async #replyAndRelease(
    step: Promise<IteratorResult<unknown, undefined>>,
    readerSignal: ReaderSignal,
  ): Promise<IteratorResult<unknown, undefined>> {
    let isLast = true;
    try {
      const result = await step;
      isLast = isLastStep(result);
      return result;
    } finally {
      if (isLast) readerSignal.release();
    }
  }

  /** Ends the iteration and cancels the call. Settles at once, also when the call has not begun. */
  async return(): Promise<IteratorResult<unknown, undefined>> {
    this.#isClosed = true;
    for (const settleRead of this.#pendingReads) settleRead(DONE);
    this.#pendingReads = [];
    try {
      const iterator =
        this.#iterator !== undefined && !('then' in this.#iterator) ? this.#iterator : undefined;
      // The stream is closed first, so that a pending read of it ends. Then the call is cancelled,
      // which an interceptor around the stream needs.
      const closed = iterator?.return?.();
      this.#readerSignal?.abort();
      await closed;
    } catch {
      // The reader has ended the iteration, so the error has no receiver.
    }
    return DONE;
  }
}
