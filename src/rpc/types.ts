/**
 * The rpc layer in one file: a Contract names methods, a Service implements it, a Stub calls it;
 * Invoke is the one function between them, and an Interceptor wraps it, the same on both sides.
 */

import type { Logger } from '../core/logger.js';
import type {
  ClientOptions,
  PeerCertificate,
  RefusalReason,
  ServerOptions,
  SessionOptions,
  TlsOptions,
  WebSocketRequest,
} from '../transport/types.js';
import type { MethodClasses } from './codecs/message-class.js';
import type { CodecName, MessageCodecs, Metadata } from './codecs/types.js';
import type { MethodSchemas } from './contract/standard-schema.js';
import type { RpcCode } from './errors.js';

export type {
  CodecName,
  FieldDescription,
  MessageCodec,
  MessageCodecs,
  MessageDescription,
  Metadata,
} from './codecs/types.js';

/**
 * One argument and one reply; none (oneway: nobody learns what became of it); none but the word
 * that it was handled; or a stream of messages from the server, to it, or both ways.
 */
export type MethodKind =
  | 'unary'
  | 'oneway'
  | 'noReply'
  | 'serverStream'
  | 'clientStream'
  | 'duplex';

/** One method of a contract, at run time. */
export interface Method {
  /** The service's name on the wire. */
  readonly service: string;
  readonly version: string;
  /** The method's name on the wire. */
  readonly name: string;
  readonly kind: MethodKind;
  /**
   * True: calling twice does what calling once does, so a call whose fate is unknown may be tried
   * again.
   */
  readonly idempotent: boolean;
  /** Milliseconds; undefined: the client's default. */
  readonly timeout: number | undefined;
  readonly input: MessageCodecs;
  readonly output: MessageCodecs;
  /**
   * What its arguments and answers must be; undefined: whatever they are. The serving side looks.
   */
  readonly schemas?: MethodSchemas | undefined;
  /**
   * The constant beginning of its request packages, per codec: package header, header section. Made
   * once, copied per call.
   */
  readonly templates: Readonly<Record<CodecName, Uint8Array>>;
}

/**
 * What unary(), oneway(), serverStream() … make: a method's options at run time, and its types for
 * the compiler; of a stream, those of one message.
 */
export interface MethodSpec<
  StubInput = unknown,
  StubOutput = unknown,
  HandlerInput = StubInput,
  HandlerOutput = StubOutput,
  Kind extends MethodKind = MethodKind,
> {
  readonly kind: Kind;
  readonly idempotent: boolean;
  readonly timeout: number | undefined;
  readonly schemas?: MethodSchemas | undefined;
  readonly protobuf?: Partial<MethodClasses> | undefined;
  /** Never set: it carries the types. */
  readonly types?:
    | {
        stubInput: StubInput;
        stubOutput: StubOutput;
        handlerInput: HandlerInput;
        handlerOutput: HandlerOutput;
      }
    | undefined;
}

// biome-ignore lint/suspicious/noExplicitAny: a constraint that every MethodSpec meets
export type MethodSpecs = Record<string, MethodSpec<any, any, any, any, MethodKind>>;

/** A service's name, version and methods: at run time and as types. */
export interface Contract<Specs extends MethodSpecs = MethodSpecs> {
  readonly name: string;
  /** Empty: any. */
  readonly version: string;
  /** The codec that a stub speaks when it is not told. */
  readonly codec: CodecName;
  /** Every codec that all methods have. */
  readonly codecs: readonly CodecName[];
  /** By the name that stubs and handlers use. */
  readonly methods: ReadonlyMap<string, Method>;
  /** Never set: it carries the types. */
  readonly specs?: Specs | undefined;
}

/** The specs of a contract type: `SpecsIn<typeof Greeter>`. */
type SpecsIn<C> = C extends { specs?: infer Specs | undefined }
  ? Extract<Specs, MethodSpecs>
  : never;

type Types<Spec> = Spec extends { types?: infer T | undefined } ? NonNullable<T> : never;
type Of<Spec, Name extends string> = Types<Spec> extends Record<Name, infer T> ? T : never;

/**
 * Called when an asynchronous call has ended: with an error, or with null and the reply. Called
 * once.
 */
export type Callback<Output> = (error: Error | null, reply?: Output) => unknown;

/** One method of a stub: a promise, or a callback as the last argument. */
export interface StubMethod<Input, Output> {
  // A call takes the first overload that fits; ReturnType, Parameters and wrappers take the last
  // one. Both are the promise.
  (input: Input, options?: CallOptions): Promise<Output>;
  (input: Input, callback: Callback<Output>): void;
  (input: Input, options: CallOptions, callback: Callback<Output>): void;
  (input: Input, options?: CallOptions): Promise<Output>;
}

/**
 * Messages to be sent, one after the other, as fast as their reader takes them. A promise among
 * them is awaited.
 */
export type Messages<T> = AsyncIterable<T> | Iterable<T | PromiseLike<T>>;

/**
 * The replies of one streaming call. It is made when the iteration begins, and cancelled when that
 * ends early (break, return(), throw). It is iterated once. What the call fails with is thrown out
 * of the loop.
 */
export interface Replies<T> extends AsyncIterable<T> {
  // void, so that an async generator is one too: for a fake stub.
  [Symbol.asyncIterator](): AsyncIterator<T, void>;
}

interface StubMethods<Input, Output> {
  unary: StubMethod<Input, Output>;
  oneway: StubMethod<Input, Output>;
  noReply: StubMethod<Input, Output>;
  serverStream: (input: Input, options?: CallOptions) => Replies<Output>;
  clientStream: (input: Messages<Input>, options?: CallOptions) => Promise<Output>;
  duplex: (input: Messages<Input>, options?: CallOptions) => Replies<Output>;
}

/** A typed caller of a contract's methods. A oneway method settles when the call is queued. */
export type Stub<Specs extends MethodSpecs> = {
  readonly [Name in keyof Specs]: StubMethods<
    Of<Specs[Name], 'stubInput'>,
    Of<Specs[Name], 'stubOutput'>
  >[Specs[Name]['kind']];
};

/** The stub of a contract: `StubOf<typeof Greeter>`. */
export type StubOf<C extends Contract> = Stub<SpecsIn<C>>;

/** What a stub's method takes: `InputOf<typeof Greeter, 'hello'>`. Of a stream: one message. */
export type InputOf<C extends Contract, Name extends keyof SpecsIn<C>> = Of<
  SpecsIn<C>[Name],
  'stubInput'
>;

/** What a stub's method answers: `OutputOf<typeof Greeter, 'hello'>`. Of a stream: one message. */
export type OutputOf<C extends Contract, Name extends keyof SpecsIn<C>> = Of<
  SpecsIn<C>[Name],
  'stubOutput'
>;

type Answer<T> = T | Promise<T>;

interface HandlerMethods<Input, Output> {
  unary: (input: Input, context: CallContext) => Answer<Output>;
  // What they answer is not sent.
  oneway: (input: Input, context: CallContext) => unknown;
  noReply: (input: Input, context: CallContext) => unknown;
  serverStream: (input: Input, context: CallContext) => Answer<Messages<Output>>;
  clientStream: (input: AsyncIterable<Input>, context: CallContext) => Answer<Output>;
  duplex: (input: AsyncIterable<Input>, context: CallContext) => Answer<Messages<Output>>;
}

/**
 * What implement() takes: a function for each method. A throw or rejection is the caller's error. A
 * stream's messages are what its handler's iterable gives, an async generator for instance; it is
 * let go of (return()) when the caller wants no more.
 */
export type Handlers<Specs extends MethodSpecs> = {
  readonly [Name in keyof Specs]: HandlerMethods<
    Of<Specs[Name], 'handlerInput'>,
    Of<Specs[Name], 'handlerOutput'>
  >[Specs[Name]['kind']];
};

export type Handler = (input: unknown, context: CallContext) => unknown;

/** A contract with its handlers, ready to be served. */
export interface Service {
  readonly contract: Contract;
  /** By the method's name on the wire. */
  readonly handlers: ReadonlyMap<string, { readonly method: Method; readonly handler: Handler }>;
}

export interface CallOptions {
  /**
   * Milliseconds; DEADLINE_EXCEEDED after them. Of a stream: for the whole of it, and without it
   * there is no deadline.
   */
  timeout?: number | undefined;
  /** Cancels the call: CANCELLED here, and the handler's signal aborts. */
  signal?: AbortSignal | undefined;
  metadata?: Metadata | undefined;
  /**
   * The call on whose behalf this one is made: it ends at the latest with that one's deadline, and
   * is cancelled when that one is. null: none, where RpcOptions.inheritContext would give one.
   */
  parent?: CallContext | null | undefined;
  /**
   * Told of the metadata that came with the reply, or at the end of a stream, before the call
   * settles; not called when there are none.
   */
  onMetadata?: ((metadata: Metadata) => unknown) | undefined;
}

/**
 * One call, as interceptors, balancers and strategies see it. Treat it as a value: make another
 * with `with`.
 */
export interface Call {
  readonly method: Method;
  readonly input: unknown;
  readonly codec: CodecName;
  /** Milliseconds from when it was made (client) or received (server); undefined: no deadline. */
  readonly timeout: number | undefined;
  /**
   * The monotonic instant (performance.now()) at which the caller gives up. It stays the same in
   * `with`, unless that is given a timeout, which begins then.
   */
  readonly deadline?: number | undefined;
  readonly metadata: Metadata;
  /**
   * On the server it is made on first touch, and aborts when the deadline passes or the session is
   * lost.
   */
  readonly signal: AbortSignal | undefined;
  /** Of a caller: CallOptions.onMetadata. */
  readonly onMetadata?: CallOptions['onMetadata'] | undefined;
  /** The same call with some things changed. */
  with(changes: {
    input?: unknown;
    timeout?: number | undefined;
    metadata?: Metadata | undefined;
    signal?: AbortSignal | undefined;
  }): Call;
}

/** Who calls, as authenticate found out. */
export interface Identity {
  readonly subject: string;
  /** Whatever else is known of them: a token's claims, for instance. */
  readonly claims?: Readonly<Record<string, unknown>> | undefined;
  /** Ms since the epoch; without it, it does not expire. */
  readonly expires?: number | undefined;
}

/** What a handler knows of its call. */
export interface CallContext extends Call {
  readonly signal: AbortSignal;
  /** Where the call came from: `tcp://127.0.0.1:50100`. */
  readonly peer: string;
  /**
   * The monotonic instant (performance.now()) at which the caller gives up; undefined when it did
   * not say.
   */
  readonly deadline: number | undefined;
  /**
   * Aborts when this side begins to close: a handler that would go on for long, such as that of an
   * endless stream, ends then. Its calls under way are waited for, at most for drainTimeout.
   */
  readonly draining: AbortSignal;
  /** Who calls; undefined where nobody asks (see auth()). */
  readonly identity: Identity | undefined;
  /** For calls back to the caller. */
  readonly channel: Channel;
  /**
   * What is put in here travels with the reply, or at the end of the stream. It has no prototype.
   */
  readonly replyMetadata: Record<string, string>;
}

/**
 * Do a call and answer its reply: for `serverStream` and `duplex` an AsyncIterable of replies; the
 * input of `clientStream` and `duplex` is an iterable too. Rejects, or the iterable does, with an
 * RpcError.
 */
export type Invoke = (call: Call) => Promise<unknown>;
/** Wraps an Invoke. Composed once, when a client or server is made, not per call. */
export type Interceptor = (next: Invoke) => Invoke;

/** Latencies in ms. Percentiles are right within 6 %, the rest is exact. */
export interface LatencyStatistics {
  readonly count: number;
  readonly sum: number;
  readonly mean: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
  /** How many did not exceed each of `limits` (ms, ascending), as of now. */
  cumulative(limits: readonly number[]): number[];
}

/** The calls of one method since the start, or the last reset. */
export interface MethodStatistics {
  readonly service: string;
  readonly version: string;
  readonly method: string;
  readonly started: number;
  readonly succeeded: number;
  /** By code; codes that did not occur are not there. */
  readonly failed: Readonly<Partial<Record<RpcCode, number>>>;
  readonly inFlight: number;
  /** Bytes of bodies; of a stream, of its packages. */
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** Of a caller, from the call to its answer; of a server, of the handler. */
  readonly latency: LatencyStatistics;
}

/** One session's calls, both ways. */
export interface PeerStatistics {
  readonly peer: string;
  readonly calls: CallCounts;
  readonly served: CallCounts;
  /** Bytes of the session since it opened, before compression. */
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** Bytes that the operating system has not taken yet. */
  readonly queuedBytes: number;
}

export interface CallCounts {
  readonly started: number;
  readonly succeeded: number;
  readonly failed: number;
}

export interface RpcStatistics {
  /**
   * When counting began, in ms since the epoch: a later instant than before means that it began
   * anew.
   */
  readonly since: number;
  /** Calls that this side made, each attempt by itself. */
  readonly calls: readonly MethodStatistics[];
  /** Calls that came, for methods that there are. */
  readonly served: readonly MethodStatistics[];
  /** The sessions that are open. */
  readonly peers: readonly PeerStatistics[];
}

/** Both sides of a session may offer services and call the other's. */
export interface Channel {
  readonly peer: string;
  readonly closed: boolean;
  /** What the peer has shown in the handshake of TLS; undefined: nothing. */
  readonly certificate: PeerCertificate | undefined;
  /** The request that opened the WebSocket, where we serve one. */
  readonly request: WebSocketRequest | undefined;
  /**
   * True when the peer is known to speak the extensions, false when it is known not to, undefined
   * before its first word.
   */
  readonly extended: boolean | undefined;
  /** Our calls that wait for their answer. */
  readonly pending: number;
  /** The peer's calls whose handlers have not answered. */
  readonly serving: number;
  readonly statistics: PeerStatistics;
  stub<Specs extends MethodSpecs>(contract: Contract<Specs>, options?: StubOptions): Stub<Specs>;
}

export interface StubOptions {
  /** Default: the contract's own. */
  codec?: CodecName | undefined;
}

/** Options of both sides. Milliseconds. Defaults: RPC_DEFAULTS. */
export interface RpcOptions {
  /** For calls that do not say. */
  timeout?: number | undefined;
  /** How often a client asks a silent server for a sign of life. 0: never. */
  heartbeatPeriod?: number | undefined;
  /** How long an answer to that may take before the session is given up. */
  heartbeatTimeout?: number | undefined;
  /**
   * The most calls that one session has under way in each direction; more fail with
   * RESOURCE_EXHAUSTED.
   */
  maxPendingCalls?: number | undefined;
  /**
   * Bytes that the requests of a session's peer hold while they are being handled: those that came,
   * and 64 for each decoded object. A request that would pass it is RESOURCE_EXHAUSTED, unless it
   * is the only one. Default 64 MiB.
   */
  maxPendingBytes?: number | undefined;
  /**
   * Bytes of a stream that may wait for its reader; the last message may pass it. At least 65,536,
   * default 262,144.
   */
  streamWindow?: number | undefined;
  /**
   * Streaming calls of a session's peer that may be under way at once; more are RESOURCE_EXHAUSTED.
   * Default 1,024.
   */
  maxStreams?: number | undefined;
  /**
   * Bytes that may wait to be read in all streams that a session's peer sends, 256 more for each
   * message; the call whose message would pass it ends with RESOURCE_EXHAUSTED. Default 64 MiB.
   */
  maxStreamBytes?: number | undefined;
  /**
   * Work that decoding one message may be, counted in objects. Of JSON: values and names of
   * properties, and an empty array or object as two. Of Protobuf: messages, lists, maps, oneofs,
   * texts, bytes, 64-bit integers of lists, two for each map entry, and one for 8 other numbers of
   * a list. In the JSON form of Protobuf, and where no code may be generated, most count several
   * times, because they take longer. A message with more does not parse. Default 100,000.
   */
  maxDecodedObjects?: number | undefined;
  /**
   * For those who have a core to give: after each request, made or received, the process spins for
   * so long instead of sleeping until it is woken, which more than halves the time of a call on one
   * machine or a fast network. 0: never.
   */
  busyPoll?: number | undefined;
  /**
   * Calls that a handler makes, also through other clients and consumers of this process, have its
   * call as their parent unless they are given another, or `parent: null`: they end at its deadline
   * and are cancelled with it. Each handled call costs some 0.5 µs more. On Node.js alone. Default:
   * false.
   */
  inheritContext?: boolean | undefined;
  /** How long close() waits for calls under way. */
  drainTimeout?: number | undefined;
  /** The first sees the call first. */
  interceptors?: readonly Interceptor[] | undefined;
  /** Told of sessions that broke the protocol and of failed oneway calls. Silent by default. */
  logger?: Logger | undefined;
  /**
   * Options of the sessions beneath. allowHalfOpen is always false: a peer that has ended its side
   * answers no call.
   */
  session?: SessionOptions | undefined;
}

/** Of serve(): the options of the transport stand beside those of rpc, as in RpcClientOptions. */
export interface RpcServerOptions extends RpcOptions, ServerOptions {
  /**
   * Offer the service Introspection too, which tells callers what there is and who is connected.
   * Default: false.
   */
  introspection?: boolean | undefined;
}

export interface RpcClientOptions extends RpcOptions, ClientOptions {
  /** What the client offers to the server. */
  services?: readonly Service[] | undefined;
  /**
   * Told when the client begins to have a session that takes calls, and when it has none any more.
   */
  onReady?: ((ready: boolean) => unknown) | undefined;
  /**
   * Told when the server begins to answer, and when it owes a sign of life. While calls wait and
   * the server is silent, the client sends a heartbeat after 500 ms; without a sign of life for
   * another 250 ms the client is not responsive. Calls are sent all the same; a caller that has
   * other servers may prefer them.
   */
  onResponsive?: ((responsive: boolean) => unknown) | undefined;
}

export interface RpcServer extends AsyncDisposable {
  readonly address: string;
  /**
   * As Server.refusals of the transport: how many peers were refused since the start, by reason.
   */
  readonly refusals: Readonly<Record<RefusalReason, number>>;
  readonly channels: ReadonlySet<Channel>;
  statistics(): RpcStatistics;
  /** Begin to count anew; calls under way stay so. */
  resetStatistics(): void;
  /** Stop listening, send goaway, let calls under way finish (at most drainTimeout), close. */
  close(): Promise<void>;
  /** Close now; calls under way are lost. */
  destroy(): void;
  /** As Server.reloadTls of the transport. Throws BAD_OPTION. */
  reloadTls(options: TlsOptions): void;
}

export interface RpcClient extends AsyncDisposable {
  readonly address: string;
  readonly channels: ReadonlySet<Channel>;
  readonly closed: boolean;
  stub<Specs extends MethodSpecs>(contract: Contract<Specs>, options?: StubOptions): Stub<Specs>;
  /** Do one call, through the interceptors. */
  readonly invoke: Invoke;
  statistics(): RpcStatistics;
  /** Begin to count anew; calls under way stay so. */
  resetStatistics(): void;
  /** Let calls under way finish (at most drainTimeout), then close. */
  close(): Promise<void>;
  destroy(): void;
}
