/** mockStub(): a stub whose calls go to functions of a test, and are recorded. */
import { callAsync, notifyOrWarn } from '../core/callbacks.js';
import { badOption, checkObject } from '../core/options.js';
import { resources } from '../core/resource-tracker.js';
import { nextTurn } from '../core/turn.js';
import { waitToSend } from '../rpc/calls/call-errors.js';
import type { CallMade, RpcChannel } from '../rpc/calls/channel.js';
import { timeLeft } from '../rpc/calls/client-call.js';
import {
  type Call,
  type Contract,
  type Messages,
  type Method,
  type MethodSpecs,
  makeStub,
  RPC_DEFAULTS,
  RpcError,
  type Stub,
} from '../rpc/index.js';
import { streamsInput, streamsReplies } from '../rpc/method-kind.js';
import { isIterable, iteratorOf } from '../rpc/streams/item-iterator.js';
import type { Metadata, MethodKind, TypeOf } from '../rpc/types.js';

/** A call of a mock stub, as its handler sees it. */
export interface MockContext {
  /** The metadata of the call. */
  readonly metadata: Metadata;
  /** How long the call may take, in ms. Undefined: no deadline. */
  readonly timeout: number | undefined;
  /** Aborts when the caller cancels the call, or stops to read its replies. */
  readonly signal: AbortSignal | undefined;
  /** Set properties to give the caller metadata of the reply. */
  readonly replyMetadata: Record<string, string>;
}

type MaybePromise<T> = T | Promise<T>;

interface MockMethods<Input, Output> {
  unary: (input: Input, context: MockContext) => MaybePromise<Output>;
  oneway: (input: Input, context: MockContext) => unknown;
  noReply: (input: Input, context: MockContext) => unknown;
  serverStream: (input: Input, context: MockContext) => MaybePromise<Messages<Output>>;
  clientStream: (input: AsyncIterable<Input>, context: MockContext) => MaybePromise<Output>;
  duplex: (input: AsyncIterable<Input>, context: MockContext) => MaybePromise<Messages<Output>>;
}

/** The functions that answer the calls of a mock stub. Each of them may be missing. */
export type MockHandlers<Specs extends MethodSpecs> = {
  readonly [Name in keyof Specs]?: MockMethods<
    TypeOf<Specs[Name], 'stubInput'>,
    TypeOf<Specs[Name], 'stubOutput'>
  >[Specs[Name]['kind']];
};

type RecordedInput<Kind extends MethodKind, Input> = Kind extends 'clientStream' | 'duplex'
  ? readonly Input[]
  : Input;

/** A recorded call. The property `method` tells the type of `input`. */
export type MockCall<Specs extends MethodSpecs> = {
  [Name in keyof Specs]: {
    /** The name of the method in the stub. */
    readonly method: Name;
    /** The argument itself, not a copy. For a stream: the messages that the handler has read. */
    readonly input: RecordedInput<Specs[Name]['kind'], TypeOf<Specs[Name], 'stubInput'>>;
    /** The metadata of the call, as an ordinary object. Without any it is empty. */
    readonly metadata: Metadata;
    /** How long the call may take, in ms: that of the caller, of the method, or 5,000. */
    readonly timeout: number | undefined;
    /** The signal of the caller; of a stream of replies, a signal that follows it. */
    readonly signal: AbortSignal | undefined;
  };
}[keyof Specs];

/** What mockStub() returns. */
export interface MockStub<Specs extends MethodSpecs> {
  /** The stub for the code under test. */
  readonly stub: Stub<Specs>;
  /** The calls since the start or the last clear(), in the order in which they began. */
  readonly calls: readonly MockCall<Specs>[];
  /**
   * The inputs of the recorded calls of one method. Throws BAD_OPTION for a name that is no method
   * of the contract.
   */
  inputsOf<Name extends keyof Specs>(
    method: Name,
  ): RecordedInput<Specs[Name]['kind'], TypeOf<Specs[Name], 'stubInput'>>[];
  /** Remove the recorded calls. */
  clear(): void;
}

/**
 * Makes a stub of `contract` that calls `handlers` instead of a peer, and records the calls.
 *
 * ```ts
 * const { stub, calls } = mockStub(Greeter, { hello: (name) => `hello, ${name}` });
 * await codeUnderTest(stub);
 * expect(calls).toMatchObject([{ method: 'hello', input: 'Ann' }]);
 * ```
 *
 * The stub has the type and the rules of a real one: it checks options, accepts callbacks, and
 * fails with RpcErrors. A method without a handler fails with UNIMPLEMENTED. An error of a handler
 * that is no RpcError becomes UNKNOWN. A call whose handler does not settle fails at its timeout
 * with DEADLINE_EXCEEDED, and a call whose signal aborts with CANCELLED. A oneway call settles with
 * its handler and rejects with the handler's error, which a real caller does not get. A call with a
 * stream of replies is recorded when its iteration begins.
 *
 * Values are passed as they are: they are not encoded, and the schemas of the contract are not
 * used. Handlers can be replaced later: they are looked up for each call. Throws BAD_OPTION.
 */
export function mockStub<Specs extends MethodSpecs>(
  contract: Contract<Specs>,
  handlers: MockHandlers<Specs> = {},
): MockStub<Specs> {
  checkObject('handlers', handlers);
  const mock = new Mock(contract as Contract, handlers as MockHandlers<MethodSpecs>);
  return mock as unknown as MockStub<Specs>;
}

type AnyHandler = (input: unknown, context: MockContext) => unknown;

class Mock implements MockStub<MethodSpecs> {
  readonly stub: Stub<MethodSpecs>;
  readonly calls: MockCall<MethodSpecs>[] = [];
  readonly #contract: Contract;
  readonly #handlers: Readonly<Record<string, unknown>>;
  readonly #names: ReadonlyMap<Method, string>;

  constructor(contract: Contract, handlers: Readonly<Record<string, unknown>>) {
    this.stub = makeStub(contract, (call) => this.#invoke(call), RPC_DEFAULTS.timeout);
    this.#handlers = handlers;
    this.#names = new Map([...contract.methods].map(([name, method]) => [method, name]));
    this.#contract = contract;
    for (const name of Object.keys(handlers)) this.#checkName('handlers', name);
  }

  #checkName(option: string, name: unknown): void {
    const { methods, name: service } = this.#contract;
    if (!methods.has(name as string))
      throw badOption(option, name, `methods of ${service}: ${[...methods.keys()].join(', ')}`);
  }

  // Functions without `this`, so that a test can take them out of the object.
  readonly inputsOf = (method: PropertyKey): never[] => {
    this.#checkName('method', method);
    return this.calls.filter((call) => call.method === method).map(({ input }) => input as never);
  };

  readonly clear = (): void => {
    this.calls.length = 0;
  };

  async #invoke(call: Call): Promise<unknown> {
    const open = new OpenCall(call);
    try {
      const answer = await this.#handle(call, open);
      if (!streamsReplies(call.method.kind)) open.end();
      return answer;
    } catch (error) {
      open.end();
      // A property of the handlers, or an iterator, that throws when it is read.
      throw RpcError.from(error);
    }
  }

  async #handle(call: Call, open: OpenCall): Promise<unknown> {
    const { metadata, timeout, signal } = call;
    const { service, name, kind } = call.method;
    const localName = this.#names.get(call.method) as string;
    const read: unknown[] = [];
    const input = streamsInput(kind) ? recordedItems(call.input, read) : call.input;
    this.calls.push({
      method: localName,
      input: (streamsInput(kind) ? read : call.input) as never,
      // An ordinary object, so that deepEqual() compares it with a literal.
      metadata: { ...metadata },
      timeout,
      signal,
    });
    const handler = Object.hasOwn(this.#handlers, localName)
      ? this.#handlers[localName]
      : undefined;
    if (typeof handler !== 'function')
      throw new RpcError('UNIMPLEMENTED', `the mock of ${service} has no handler for ${name}`, {
        unsent: true,
      });
    const context: MockContext = { metadata, timeout, signal, replyMetadata: {} };
    const answer = await limited(call, () =>
      callAsync(() => (handler as AnyHandler).call(this.#handlers, input, context)),
    );
    if (streamsReplies(kind)) return this.#replies(call, answer, context, open);
    passMetadata(call, context);
    return kind === 'oneway' || kind === 'noReply' ? undefined : answer;
  }

  #replies(
    call: Call,
    answer: unknown,
    context: MockContext,
    open: OpenCall,
  ): AsyncIterable<unknown> {
    if (!isIterable(answer))
      throw new RpcError(
        'INTERNAL',
        `the handler of the mock returned no iterable for ${call.method.name}`,
      );
    return {
      [Symbol.asyncIterator]() {
        let items: AsyncIterator<unknown> | Iterator<unknown> | undefined;
        return {
          async next() {
            try {
              const item = await limited(call, async () => {
                items ??= iteratorOf(answer);
                return items.next();
              });
              if (!item.done) return item;
              passMetadata(call, context);
              open.end();
              return item;
            } catch (error) {
              open.end();
              throw RpcError.from(error);
            }
          },
          async return(value) {
            open.end();
            // As with a real stub, the reader does not wait for an iterator that goes on. A turn is
            // enough for a generator that can end.
            const ended = callAsync(() => items?.return?.(value)).catch(() => {});
            await Promise.race([ended, nextTurn()]);
            return { done: true, value };
          },
        };
      },
    };
  }
}

/** A call that has not ended. leaks() sees a channel with this call. */
class OpenCall implements Pick<RpcChannel, 'inFlight' | 'peer' | 'session'> {
  readonly peer = 'mockStub()';
  readonly session = undefined;
  readonly #made: CallMade;

  constructor(call: Call) {
    this.#made = { call, sequenceLow: undefined };
    resources.tracker?.onOpen('channel', this);
  }

  /** A real call ends by itself at its deadline, and when its signal aborts. */
  get inFlight(): RpcChannel['inFlight'] {
    const { call } = this.#made;
    const isOver = timeLeft(call) <= 0 || call.signal?.aborted === true;
    return { made: isOver ? [] : [this.#made], served: [] };
  }

  end(): void {
    resources.tracker?.onClose(this);
  }
}

/** A copy. A failure of onMetadata is a warning, as with a real stub. */
function passMetadata({ onMetadata }: Call, { replyMetadata }: MockContext): void {
  const metadata = { ...replyMetadata };
  if (onMetadata !== undefined && Object.keys(metadata).length > 0)
    notifyOrWarn('onMetadata of a call', () => onMetadata(metadata));
}

/** Performs a step of the call. Rejects with an RpcError, also at the timeout and the signal. */
async function limited<T>(call: Call, step: () => Promise<T>): Promise<T> {
  const { service, name } = call.method;
  try {
    return await waitToSend(
      call,
      timeLeft(call),
      step(),
      () =>
        new RpcError(
          'DEADLINE_EXCEEDED',
          `the mock of ${service}.${name} did not answer within ${call.timeout} ms`,
        ),
    );
  } catch (error) {
    throw RpcError.from(error);
  }
}

/** The items of a stream of arguments. Each item that is read is added to `read`. */
async function* recordedItems(source: unknown, read: unknown[]): AsyncGenerator<unknown> {
  if (!isIterable(source)) throw badOption('input', source, 'an iterable of messages');
  const items = iteratorOf(source) as AsyncIterator<unknown>;
  for await (const item of { [Symbol.asyncIterator]: () => items }) {
    read.push(item);
    yield item;
  }
}
