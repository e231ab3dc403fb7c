/** callHandler(): runs one handler of a service, without a server of its own. */
import { badOption, checkNames, type NamesOf } from '../core/options.js';
import {
  type CallOptions,
  type CodecName,
  connect,
  type Identity,
  type Interceptor,
  type Invoke,
  type MethodSpecs,
  type RpcClient,
  RpcError,
  type RpcServer,
  type Service,
  type Stub,
  serve,
} from '../rpc/index.js';
import { streamsReplies } from '../rpc/method-kind.js';
import type { Metadata } from '../rpc/types.js';
import { handlerRuns } from './leaks/handler-runs.js';

/** Options of callHandler(). */
export interface CallHandlerOptions {
  /** How long the call may take, in ms, as in CallOptions. Default: the method's, else 5,000. */
  timeout?: number | undefined;
  /** Cancels the call when it aborts, as in CallOptions. Default: none. */
  signal?: AbortSignal | undefined;
  /** What the caller sends: `context.metadata`. Default: none. */
  metadata?: Metadata | undefined;
  /** `context.identity`, as if auth() had set it. Default: none. */
  identity?: Identity | undefined;
  /** The interceptors of the server; the first one sees the call first. Default: none. */
  interceptors?: readonly Interceptor[] | undefined;
  /** What the caller offers: `context.channel.stub()` calls it. Default: nothing. */
  services?: readonly Service[] | undefined;
  /** The codec of the call. Default: Contract.codec. */
  codec?: CodecName | undefined;
}

const OPTION_NAMES = {
  timeout: true,
  signal: true,
  metadata: true,
  identity: true,
  interceptors: true,
  services: true,
  codec: true,
} satisfies NamesOf<CallHandlerOptions>;

/** What the caller of a handler receives. */
export interface HandlerReply<Reply> {
  /** Undefined for a method without a reply. */
  readonly reply: Reply;
  /** `context.replyMetadata` of the handler, as an ordinary object. Without any it is empty. */
  readonly metadata: Metadata;
}

/** The replies of a handler that streams. The call begins with the iteration. */
export interface HandlerReplies<Reply> extends AsyncIterable<Reply> {
  /** Reads to the end. Rejects with the error of the call. For streams that end. */
  all(): Promise<Reply[]>;
  /** `context.replyMetadata` of the handler, after the end. Before, an empty object. */
  readonly metadata: Metadata;
}

type StubFunction<Specs extends MethodSpecs, Name extends keyof Specs> = Stub<Specs>[Name];
type InputOf<F> = F extends (input: infer Input, ...rest: never[]) => unknown ? Input : never;
type OutcomeOf<F> = F extends (...given: never[]) => Promise<infer Reply>
  ? Promise<HandlerReply<Reply>>
  : F extends (...given: never[]) => AsyncIterable<infer Reply>
    ? HandlerReplies<Reply>
    : never;

/**
 * Calls one handler of `service`, which implement() returned, and gives what a caller would get.
 * The call takes the way of a real one within this process: through the codec, the schemas, the
 * interceptors and the deadline. No socket is opened, and nothing is left afterwards.
 *
 * ```ts
 * const { reply, metadata } = await callHandler(greeter, 'hello', 'Ann', {
 *   identity: { subject: 'test' },
 * });
 * const numbers = await callHandler(counter, 'count', 3).all();
 * ```
 *
 * `method` is the name that stubs use. A call without a stream of replies rejects with the RpcError
 * that the caller would get; its `cause` is what the handler or an interceptor threw, which a real
 * caller does not see. A oneway call settles with its handler, and rejects with the handler's
 * error. The session of the call is closed at its end, so later calls over `context.channel` fail.
 * When the call ends early, the signal of the handler aborts. Throws or rejects with
 * BAD_OPTION.
 */
export function callHandler<Specs extends MethodSpecs, Name extends keyof Specs & string>(
  service: Service<Specs>,
  method: Name,
  input: InputOf<StubFunction<Specs, Name>>,
  options: CallHandlerOptions = {},
): OutcomeOf<StubFunction<Specs, Name>> {
  checkNames('callHandler()', options, OPTION_NAMES);
  const { interceptors = [], services } = options;
  if (!(service?.handlers instanceof Map))
    throw badOption('service', service, 'a service, made by implement()');
  const known = service.contract.methods.get(method);
  if (known === undefined)
    throw badOption(
      'method',
      method,
      `a method of ${service.contract.name}: ${[...service.contract.methods.keys()].join(', ')}`,
    );
  if (!Array.isArray(interceptors))
    throw badOption('interceptors', interceptors, 'an array of functions');
  const run = new HandlerRun(service as Service, method, input, { ...options, services });
  const { kind } = known;
  const outcome = streamsReplies(kind) ? run : run.reply(kind === 'oneway');
  return outcome as OutcomeOf<StubFunction<Specs, Name>>;
}

interface Ends extends AsyncDisposable {
  readonly server: RpcServer;
  readonly client: RpcClient;
}

class HandlerRun implements HandlerReplies<unknown> {
  readonly #service: Service;
  readonly #method: string;
  readonly #input: unknown;
  readonly #options: CallHandlerOptions;
  /** What the handler or an interceptor threw. */
  #thrown: RpcError | undefined;
  /** Settles with the handler and its interceptors. */
  readonly #handled: Promise<void>;
  #onHandled!: (outcome: Promise<void>) => void;
  metadata: Metadata = {};

  constructor(service: Service, method: string, input: unknown, options: CallHandlerOptions) {
    this.#service = service;
    this.#method = method;
    this.#input = input;
    this.#options = options;
    this.#handled = new Promise((resolve) => {
      this.#onHandled = resolve;
    });
    this.#handled.catch(() => {});
  }

  /** `isOneway`: the result is that of the handler, because the caller gets none. */
  async reply(isOneway: boolean): Promise<HandlerReply<unknown>> {
    await using ends = await this.#open();
    try {
      const reply = await this.#call(ends.client);
      if (isOneway) await this.#handled;
      return { reply, metadata: this.metadata };
    } catch (error) {
      throw this.#withCause(error);
    } finally {
      // The handler may still run, for example after the deadline: its signal aborts.
      ends.client.destroy();
      ends.server.destroy();
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<unknown, void> {
    await using ends = await this.#open();
    try {
      yield* this.#call(ends.client) as AsyncIterable<unknown>;
    } catch (error) {
      throw this.#withCause(error);
    }
  }

  async all(): Promise<unknown[]> {
    const replies: unknown[] = [];
    for await (const reply of this) replies.push(reply);
    return replies;
  }

  async #open(): Promise<Ends> {
    const { interceptors = [], services = [] } = this.#options;
    const server = await serve('memory://', [this.#service], {
      interceptors: [this.#observe, ...interceptors],
      drainTimeout: DRAIN_TIMEOUT,
      // The client sends no heartbeats, and a handler may take long.
      session: { idleTimeout: 0 },
    });
    const { name } = this.#service.contract;
    handlerRuns.set(server.address, `callHandler(${name}.${this.#method})`);
    try {
      const client = await connect(server.address, {
        connections: 1,
        heartbeatPeriod: 0,
        reconnect: false,
        drainTimeout: DRAIN_TIMEOUT,
        services,
      });
      const close = async (): Promise<void> => {
        await client.close();
        await server.close();
        handlerRuns.delete(server.address);
      };
      return { server, client, [Symbol.asyncDispose]: close };
    } catch (error) {
      server.destroy();
      handlerRuns.delete(server.address);
      throw error;
    }
  }

  #call(client: RpcClient): Promise<unknown> | AsyncIterable<unknown> {
    const { timeout, signal, metadata, codec } = this.#options;
    const stub = client.stub(this.#service.contract, { codec }) as Record<
      string,
      (input: unknown, options: CallOptions) => Promise<unknown> | AsyncIterable<unknown>
    >;
    const onMetadata = (given: Metadata): void => {
      // An ordinary object, so that deepEqual() compares it with a literal.
      this.metadata = { ...given };
    };
    const call = stub[this.#method] as NonNullable<(typeof stub)[string]>;
    return call(this.#input, { timeout, signal, metadata, onMetadata });
  }

  /** The outermost interceptor: it sets the identity, and sees what the others throw. */
  readonly #observe: Interceptor = (next): Invoke => {
    return async (call) => {
      const { identity } = this.#options;
      if (identity !== undefined) (call as { identity?: Identity | undefined }).identity = identity;
      const outcome = next(call);
      this.#onHandled(outcome.then(() => {}));
      try {
        const answer = await outcome;
        return isAsyncIterable(answer) ? this.#observeReplies(answer) : answer;
      } catch (error) {
        throw this.#onThrown(error);
      }
    };
  };

  #onThrown(error: unknown): unknown {
    this.#thrown = RpcError.from(error);
    return error;
  }

  #observeReplies(replies: AsyncIterable<unknown>): AsyncIterable<unknown> {
    const onThrown = (error: unknown): never => {
      throw this.#onThrown(error);
    };
    return {
      [Symbol.asyncIterator]() {
        const items = replies[Symbol.asyncIterator]();
        return {
          next: () => items.next().catch(onThrown),
          return: async (value) => (await items.return?.(value)) ?? { done: true, value },
        };
      },
    };
  }

  /** An error that came over the wire has no cause, so that it keeps the secrets of the server. */
  #withCause(error: unknown): unknown {
    const thrown = this.#thrown;
    if (error instanceof RpcError && thrown?.message === error.message && error !== thrown)
      Object.defineProperty(error, 'cause', { value: thrown.cause ?? thrown, writable: true });
    return error;
  }
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof Reflect.get(value, Symbol.asyncIterator) === 'function'
  );
}

/** Milliseconds that the end of a call waits for a handler that still runs. */
const DRAIN_TIMEOUT = 1_000;
