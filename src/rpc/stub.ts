/** Makes the object whose methods are a contract's. */

import { gettyError, messageOf } from '../core/errors.js';
import { badOption } from '../core/options.js';
import { warn } from '../core/warning.js';
import { ClientCall, checkTimeout, LinkedCall, streams, streamsReplies } from './call.js';
import { RpcError } from './errors.js';
import { checkStubNames } from './option-names.js';
import { invokeUntilEnd } from './stream-end.js';
import type { Callback, CallOptions, CodecName, Contract, Invoke, Method, MethodSpecs, Replies, Stub, StubOptions } from './types.js';

/** `timeout`: milliseconds for calls and methods that do not say; not for streams. Throws BAD_OPTION. */
export function makeStub<Specs extends MethodSpecs>(
  contract: Contract<Specs>,
  invoke: Invoke,
  timeout: number,
  options: StubOptions = {},
): Stub<Specs> {
  if (!(contract?.methods instanceof Map)) throw badOption('contract', contract, 'what contract() returns');
  checkStubNames(options);
  const codec = options.codec ?? contract.codec;
  if (!contract.codecs.includes(codec)) throw badOption('codec', codec, `one of ${contract.name}'s: ${contract.codecs.join(', ')}`);
  // Without a prototype, for a method may be called toString; and not from Object.create(null), which V8 makes a dictionary.
  const stub: Record<string, unknown> = Object.setPrototypeOf({}, null);
  for (const [name, method] of contract.methods) stub[name] = stubMethod(method, codec, invoke, timeout);
  return stub as Stub<Specs>;
}

function stubMethod(method: Method, codec: CodecName, invoke: Invoke, timeout: number): unknown {
  const limit = checkTimeout(method.timeout ?? (streams(method.kind) ? Number.POSITIVE_INFINITY : timeout));
  if (streamsReplies(method.kind)) {
    return (input: unknown, options?: CallOptions): Replies<unknown> =>
      new ReplyStream(async () => begin(invoke, ClientCall.make(method, input, codec, limit, options)) as Promise<AsyncIterable<unknown>>);
  }
  // A plain call is the common case, and must not pay for the others.
  const call = (input: unknown, second?: CallOptions | Callback<unknown>, third?: Callback<unknown>): Promise<unknown> | void => {
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
    .catch((error) => warn(gettyError('HANDLER_FAILED', `the callback of a call failed: ${messageOf(error)}`, error)));
}

/** The call begins with the iteration, so that one which nobody reads is never made. */
class ReplyStream implements Replies<unknown>, AsyncIterator<unknown, undefined> {
  readonly #begin: () => Promise<AsyncIterable<unknown>>;
  #iterator: Promise<AsyncIterator<unknown, undefined>> | AsyncIterator<unknown, undefined> | undefined;
  #iterated = false;
  #left = false;

  constructor(begin: () => Promise<AsyncIterable<unknown>>) {
    this.#begin = begin;
  }

  [Symbol.asyncIterator](): AsyncIterator<unknown, undefined> {
    if (this.#iterated) throw new RpcError('FAILED_PRECONDITION', 'the replies of one call are iterated once; call again for others');
    this.#iterated = true;
    return this;
  }

  next(): Promise<IteratorResult<unknown, undefined>> {
    if (this.#left) return Promise.resolve({ done: true, value: undefined });
    if (this.#iterator === undefined) {
      this.#iterator = this.#begin().then((replies) => {
        const iterator = replies[Symbol.asyncIterator]();
        this.#iterator = iterator;
        return iterator;
      });
    }
    return 'then' in this.#iterator ? this.#iterator.then((iterator) => iterator.next()) : this.#iterator.next();
  }

  async return(): Promise<IteratorResult<unknown, undefined>> {
    this.#left = true;
    try {
      await (await this.#iterator)?.return?.();
    } catch {
      // It never began: that was somebody else's to hear.
    }
    return { done: true, value: undefined };
  }
}
