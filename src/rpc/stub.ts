/** Makes the object whose methods are a contract's. */

import { gettyError, messageOf } from '../errors.js';
import { badOption } from '../options.js';
import { ClientCall, checkTimeout } from './call.js';
import type { Callback, CallOptions, CodecName, Contract, Invoke, MethodSpecs, Stub, StubOptions } from './types.js';

/** `timeout`: milliseconds for calls and methods that do not say. Throws BAD_OPTION. */
export function makeStub<Specs extends MethodSpecs>(
  contract: Contract<Specs>,
  invoke: Invoke,
  timeout: number,
  options: StubOptions = {},
): Stub<Specs> {
  if (!(contract?.methods instanceof Map)) throw badOption('contract', contract, 'what contract() returns');
  const codec = options.codec ?? contract.codec;
  if (!contract.codecs.includes(codec)) throw badOption('codec', codec, `one of ${contract.name}'s: ${contract.codecs.join(', ')}`);
  const stub: Record<string, unknown> = Object.create(null);
  for (const [name, method] of contract.methods) {
    const limit = checkTimeout(method.timeout ?? timeout);
    // A plain call is the common case, and must not pay for the others.
    const call = (input: unknown, second?: CallOptions | Callback<unknown>, third?: Callback<unknown>): Promise<unknown> | void => {
      if (typeof second === 'function') return settle(call(input) as Promise<unknown>, second);
      if (third !== undefined) return settle(call(input, second) as Promise<unknown>, third);
      try {
        return invoke(ClientCall.make(method, input, codec as CodecName, limit, second));
      } catch (error) {
        return Promise.reject(error);
      }
    };
    stub[name] = call;
  }
  return stub as Stub<Specs>;
}

function settle(promise: Promise<unknown>, callback: Callback<unknown>): void {
  promise
    .then(
      (reply) => callback(null, reply),
      (error) => callback(error),
    )
    .catch((error) => process.emitWarning(gettyError('HANDLER_FAILED', `the callback of a call failed: ${messageOf(error)}`, error)));
}
