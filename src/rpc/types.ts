/**
 * The types of the rpc layer. A Contract names methods, a Service implements them, and a Stub calls
 * them. Invoke is the function between a stub and the wire, and between the wire and a handler; an
 * Interceptor wraps it.
 */

import type { DescFile } from '@bufbuild/protobuf';
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
 * The kind of a method:
 *
 * - `unary`: one argument, one reply
 * - `oneway`: one argument, no answer; the call settles when it is queued
 * - `noReply`: one argument; the answer is empty, or an error of the handler
 * - `serverStream`: one argument, a stream of replies
 * - `clientStream`: a stream of arguments, one reply
 * - `duplex`: a stream of arguments and a stream of replies
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
  /** The version of the contract. Empty: any. */
  readonly version: string;
  /** The method's name on the wire. */
  readonly name: string;
  readonly kind: MethodKind;
  /**
   * True when calling twice has the same effect as calling once. Only such a method is called again
   * when the outcome of the first call is unknown.
   */
  readonly idempotent: boolean;
  /** Default timeout of its calls, in ms. Undefined: the client's default. */
  readonly timeout: number | undefined;
  /** The codecs of its argument; of a stream, of one message. */
  readonly input: MessageCodecs;
  /** The codecs of its reply; of a stream, of one message. */
  readonly output: MessageCodecs;
  /** Schemas of arguments and replies. The serving side validates. Undefined: no validation. */
  readonly schemas?: MethodSchemas | undefined;
  /**
   * The constant first bytes of its request frames, per codec: the frame header and the first part
   * of the rpc header. Encoded once and copied for each call.
   */
  readonly templates: Readonly<Record<CodecName, Uint8Array>>;
}

/**
 * What unary(), oneway(), serverStream() and the others return: the options of a method, and its
 * types for the compiler. For a stream, the types are those of one message.
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
  /** The default timeout of calls, in ms. */
  readonly timeout: number | undefined;
  readonly schemas?: MethodSchemas | undefined;
  /** The Protobuf classes of the argument and the reply. An absent one: no Protobuf form. */
  readonly protobuf?: Partial<MethodClasses> | undefined;
  /** Never set at run time: it carries the types. */
  readonly types?:
    | {
        stubInput: StubInput;
        stubOutput: StubOutput;
        handlerInput: HandlerInput;
        handlerOutput: HandlerOutput;
      }
    | undefined;
}

/** The methods of a contract by name. */
// biome-ignore lint/suspicious/noExplicitAny: a constraint that every MethodSpec meets
export type MethodSpecs = Record<string, MethodSpec<any, any, any, any, MethodKind>>;

/** What contract() returns: the name, version and methods of a service, with their types. */
export interface Contract<Specs extends MethodSpecs = MethodSpecs> {
  /** The service's name on the wire. */
  readonly name: string;
  /** Empty: any. */
  readonly version: string;
  /** The codec of a stub that is created without StubOptions.codec. */
  readonly codec: CodecName;
  /** The codecs that all methods have. */
  readonly codecs: readonly CodecName[];
  /** The methods, by the name that stubs and handlers use. */
  readonly methods: ReadonlyMap<string, Method>;
  /** The .proto files of a generated service and of its registry, without their imports. */
  readonly files?: readonly DescFile[] | undefined;
  /** Never set at run time: it carries the types. */
  readonly specs?: Specs | undefined;
}

/** The specs of a contract type: `SpecsIn<typeof Greeter>`. */
type SpecsIn<C> = C extends { specs?: infer Specs | undefined }
  ? Extract<Specs, MethodSpecs>
  : never;

type Types<Spec> = Spec extends { types?: infer T | undefined } ? NonNullable<T> : never;
/** One of the types that a MethodSpec carries: `TypeOf<Spec, 'stubInput'>`. */
export type TypeOf<Spec, Name extends string> =
  Types<Spec> extends Record<Name, infer T> ? T : never;

/**
 * The callback of an asynchronous call. Called once, when the call has ended: with an error, or
 * with null and the reply. An error that it throws is a process warning.
 */
export type Callback<Output> = (error: Error | null, reply?: Output) => unknown;

/**
 * One method of a stub. It returns a promise, or nothing when a callback is the last argument.
 * Errors are RpcErrors; a wrong option is BAD_OPTION.
 */
export interface StubMethod<Input, Output> {
  // A call takes the first overload that fits; ReturnType, Parameters and wrappers take the last
  // one. So the overload that returns a promise is both the first and the last.
  (input: Input, options?: CallOptions): Promise<Output>;
  (input: Input, callback: Callback<Output>): void;
  (input: Input, options: CallOptions, callback: Callback<Output>): void;
  (input: Input, options?: CallOptions): Promise<Output>;
}

/**
 * Messages to send. The next one is requested when the reader has room for it. A promise among the
 * items is awaited.
 */
export type Messages<T> = AsyncIterable<T> | Iterable<T | PromiseLike<T>>;

/**
 * The replies of one streaming call. The call begins with the iteration and is cancelled when the
 * iteration ends early (break, return or throw). It can be iterated once. An error of the call is
 * thrown from the loop.
 */
export interface Replies<T> extends AsyncIterable<T> {
  // void, so that an async generator is assignable too: for a stub that a test writes.
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

/**
 * An object with a typed method for each method of a contract. Create it once and keep it: it
 * survives reconnections.
 */
export type Stub<Specs extends MethodSpecs> = {
  readonly [Name in keyof Specs]: StubMethods<
    TypeOf<Specs[Name], 'stubInput'>,
    TypeOf<Specs[Name], 'stubOutput'>
  >[Specs[Name]['kind']];
};

/** The stub type of a contract: `StubOf<typeof Greeter>`. */
export type StubOf<C extends Contract> = Stub<SpecsIn<C>>;

/**
 * The argument of a stub's method: `InputOf<typeof Greeter, 'hello'>`. Of a stream: one message.
 */
export type InputOf<C extends Contract, Name extends keyof SpecsIn<C>> = TypeOf<
  SpecsIn<C>[Name],
  'stubInput'
>;

/** The reply of a stub's method: `OutputOf<typeof Greeter, 'hello'>`. Of a stream: one message. */
export type OutputOf<C extends Contract, Name extends keyof SpecsIn<C>> = TypeOf<
  SpecsIn<C>[Name],
  'stubOutput'
>;

type MaybePromise<T> = T | Promise<T>;

interface HandlerMethods<Input, Output> {
  unary: (input: Input, context: CallContext) => MaybePromise<Output>;
  // The result of these two is not sent.
  oneway: (input: Input, context: CallContext) => unknown;
  noReply: (input: Input, context: CallContext) => unknown;
  serverStream: (input: Input, context: CallContext) => MaybePromise<Messages<Output>>;
  clientStream: (input: AsyncIterable<Input>, context: CallContext) => MaybePromise<Output>;
  duplex: (input: AsyncIterable<Input>, context: CallContext) => MaybePromise<Messages<Output>>;
}

/**
 * What implement() takes: a function for each method of a contract. A handler is called once for
 * each request. What it throws or rejects with is the caller's error: an RpcError as it is, other
 * errors as UNKNOWN with their message.
 *
 * A handler that streams returns an iterable, for example an async generator. Its return() is
 * called when the caller cancels.
 */
export type Handlers<Specs extends MethodSpecs> = {
  readonly [Name in keyof Specs]: HandlerMethods<
    TypeOf<Specs[Name], 'handlerInput'>,
    TypeOf<Specs[Name], 'handlerOutput'>
  >[Specs[Name]['kind']];
};

/**
 * The handlers of a contract: `class Orders implements HandlersOf<typeof OrdersContract>`. Write
 * the types of the parameters of its methods: TypeScript does not infer them from `implements`.
 */
export type HandlersOf<C extends Contract> = Handlers<SpecsIn<C>>;

/** A handler without the types of its method. */
export type Handler = (input: unknown, context: CallContext) => unknown;

/** What implement() returns: a contract with its handlers, for serve() and connect(). */
export interface Service<Specs extends MethodSpecs = MethodSpecs> {
  readonly contract: Contract<Specs>;
  /** The handlers, by the method's name on the wire. */
  readonly handlers: ReadonlyMap<string, { readonly method: Method; readonly handler: Handler }>;
}

/** Options of one call: the second argument of a stub's method. */
export interface CallOptions {
  /**
   * How long the call may take, in ms; for a stream, the whole of it. Then the call fails with
   * DEADLINE_EXCEEDED. Infinity: no deadline. Default: the method's timeout, else the client's
   * (5,000); a stream has none. For `oneway`: how long the call waits until it is queued; the
   * handler has no deadline.
   */
  timeout?: number | undefined;
  /**
   * Cancels the call when it aborts: the call fails with CANCELLED, and the signal of the handler
   * aborts. Default: none.
   */
  signal?: AbortSignal | undefined;
  /**
   * Strings that are sent with the call, at most 256. With the method's name they must fit in
   * 65,535 bytes. Default: none.
   */
  metadata?: Metadata | undefined;
  /**
   * The call on whose behalf this call is made. This call ends at the parent's deadline at the
   * latest, and is cancelled when the parent is. null: no parent, also with
   * RpcOptions.inheritContext. Default: none.
   */
  parent?: CallContext | null | undefined;
  /**
   * Called with the metadata of the reply, or of the end of a stream, before the call settles. Not
   * called when there is no metadata. When a call has several attempts, each of them may call it;
   * the last metadata is that of the answer. Default: none.
   */
  onMetadata?: ((metadata: Metadata) => unknown) | undefined;
}

/**
 * One call, as interceptors, balancers and strategies see it. It is immutable: with() returns a
 * changed copy.
 */
export interface Call {
  readonly method: Method;
  /** The argument; for a stream of arguments, an iterable. */
  readonly input: unknown;
  readonly codec: CodecName;
  /**
   * Milliseconds from when the call was made (client) or received (server); after with() or a
   * server's timeout() has changed it, from that moment. Undefined: none.
   */
  readonly timeout: number | undefined;
  /**
   * When the call ends with DEADLINE_EXCEEDED, in ms of performance.now(). with() keeps it, unless
   * it receives a timeout: that counts from then on, on the server at most until the deadline of
   * the caller. Undefined: no deadline.
   */
  readonly deadline?: number | undefined;
  readonly metadata: Metadata;
  /**
   * Aborts when the call is cancelled. On the server also when the deadline passes or the session
   * is lost; it is created on first access.
   */
  readonly signal: AbortSignal | undefined;
  /** CallOptions.onMetadata. Undefined on the server. */
  readonly onMetadata?: CallOptions['onMetadata'] | undefined;
  /** Return a copy of this call with some properties changed. Throws BAD_OPTION. */
  with(changes: {
    input?: unknown;
    timeout?: number | undefined;
    metadata?: Metadata | undefined;
    signal?: AbortSignal | undefined;
  }): Call;
}

/** The authenticated caller: what AuthOptions.authenticate returns. */
export interface Identity {
  /** The name of the caller. */
  readonly subject: string;
  /** Further facts about the caller, such as the claims of a token. */
  readonly claims?: Readonly<Record<string, unknown>> | undefined;
  /** When the identity expires, in ms since the epoch. Undefined: never. */
  readonly expires?: number | undefined;
}

/** The second argument of a handler: its call, the caller, and the reply's metadata. */
export interface CallContext extends Call {
  /**
   * Aborts when the caller cancels, the deadline passes or the session is lost. Its reason is an
   * RpcError. It is created on first access. The signal does not stop a handler: one that ignores
   * it runs to its end, also after the deadline. Streams of the call end when it aborts.
   */
  readonly signal: AbortSignal;
  /** The caller's address, such as `tcp://127.0.0.1:50100`. */
  readonly peer: string;
  /**
   * When the call ends with DEADLINE_EXCEEDED, in ms of performance.now(): when the caller stops
   * waiting, or earlier if a server's timeout() or with() has set that. Undefined: no deadline.
   */
  readonly deadline: number | undefined;
  /**
   * Aborts when this side begins to close, or to end the session of the call (maxConnectionAge, the
   * admin service). It aborts no call: a handler that runs for long, such as that of an endless
   * stream, should end then. close() waits for calls in flight, at most for drainTimeout.
   */
  readonly draining: AbortSignal;
  /** The authenticated caller. Undefined without auth(). */
  readonly identity: Identity | undefined;
  /** The session of the caller: use it to call the caller's services. */
  readonly channel: Channel;
  /**
   * Strings to send with the reply, or with the end of a stream. Set properties here; a value that
   * is no string throws BAD_OPTION. It has no prototype.
   */
  readonly replyMetadata: Record<string, string>;
}

/**
 * Performs a call and returns a promise of its reply. For `serverStream` and `duplex` the reply is
 * an AsyncIterable. The promise or the iterable rejects with an RpcError.
 */
export type Invoke = (call: Call) => Promise<unknown>;
/**
 * Wraps an Invoke. Called when a client or server is created, and once for each session, for the
 * calls of Channel.stub(). It is not called for each call.
 *
 * ```ts
 * const timed: Interceptor = (next) => async (call) => {
 *   const start = performance.now();
 *   try {
 *     return await next(call);
 *   } finally {
 *     console.log(call.method.name, performance.now() - start);
 *   }
 * };
 * ```
 */
export type Interceptor = (next: Invoke) => Invoke;

/**
 * Latencies in ms. A percentile is in whole microseconds, and may be too high, by at most 1/16.
 * While a handler is quick, the serving side times one call in 16, which counts for all 16. Then
 * all fields are approximate. Otherwise `count`, `sum`, `mean` and `max` are exact.
 */
export interface LatencyStatistics {
  readonly count: number;
  readonly sum: number;
  readonly mean: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
  /**
   * Returns for each of `limits` (in ms, ascending) how many latencies were up to it, at this
   * moment. The number may be too low: a latency that equals the limit, or is at most 6 % below it,
   * may be missing.
   */
  cumulative(limits: readonly number[]): number[];
}

/** The calls of one method since the start or the last resetStatistics(). */
export interface MethodStatistics {
  readonly service: string;
  readonly version: string;
  readonly method: string;
  readonly started: number;
  readonly succeeded: number;
  /** Failed calls by code. Codes without a failed call are absent. */
  readonly failed: Readonly<Partial<Record<RpcCode, number>>>;
  /** Calls that have started and not ended. */
  readonly inFlight: number;
  /** Bytes of message bodies; for a stream, bytes of its frames. */
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /**
   * On the calling side from call to answer, on the serving side the handler's time. A call that
   * was refused before its interceptors ran, or that the session could not send, counts as 0.
   */
  readonly latency: LatencyStatistics;
}

/** The calls of one session, in both directions, and its bytes. */
export interface PeerStatistics {
  /** The peer's address. */
  readonly peer: string;
  /** Calls that this side made. */
  readonly calls: CallCounts;
  /** Calls that this side served. */
  readonly served: CallCounts;
  /** Bytes of the session since it opened, before compression. */
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** Bytes that the operating system has not accepted yet. */
  readonly queuedBytes: number;
}

/** How many calls started, succeeded and failed. */
export interface CallCounts {
  readonly started: number;
  readonly succeeded: number;
  readonly failed: number;
}

/** What statistics() returns. */
export interface RpcStatistics {
  /**
   * When counting began, in ms since the epoch. A later value than before means that counting began
   * again.
   */
  readonly since: number;
  /**
   * Calls that this side made, also those that failed because there was no session. The calls of a
   * consumer are attempts: a call for which no node was found, or no node was connected, does not
   * count.
   */
  readonly calls: readonly MethodStatistics[];
  /** Calls that this side served. Unknown methods do not count. */
  readonly served: readonly MethodStatistics[];
  /** The open sessions. */
  readonly peers: readonly PeerStatistics[];
}

/** One session as rpc sees it. Both sides can offer services and call the services of the other. */
export interface Channel {
  /** The peer's address. */
  readonly peer: string;
  /** True when the session is closed or closing. */
  readonly closed: boolean;
  /** The verified certificate that the peer presented in the TLS handshake. Undefined: none. */
  readonly certificate: PeerCertificate | undefined;
  /** The HTTP request that opened the WebSocket; only on its server. */
  readonly request: WebSocketRequest | undefined;
  /**
   * True when the peer supports the extensions of getty for TypeScript, false when it does not (a
   * Go peer), undefined before its first message.
   */
  readonly extended: boolean | undefined;
  /**
   * Identity.subject of the last call of the peer that auth() accepted. Undefined: none. Another
   * call of the session may have another subject: a handler uses CallContext.identity.
   */
  readonly subject: string | undefined;
  /** How many calls of this side wait for their answer. */
  readonly pending: number;
  /** How many calls of the peer wait for an answer of this side. */
  readonly serving: number;
  readonly statistics: PeerStatistics;
  /**
   * Create a stub that calls the peer over this session. Its calls fail with UNAVAILABLE when the
   * session is closed. Throws BAD_OPTION.
   */
  stub<Specs extends MethodSpecs>(contract: Contract<Specs>, options?: StubOptions): Stub<Specs>;
}

/** Options of stub(). */
export interface StubOptions {
  /** The codec of its calls: `'json'` or `'protobuf'`. Default: Contract.codec. */
  codec?: CodecName | undefined;
}

/** Options of serve() and connect() alike. Times are in ms, sizes in bytes. */
export interface RpcOptions {
  /**
   * Timeout of calls for which neither the caller nor the method sets one, in ms; not for streams.
   * From 1; Infinity: none. Default: 5,000.
   */
  timeout?: number | undefined;
  /**
   * How often a client sends a heartbeat, in ms. 0 means never. Default: 15,000.
   */
  heartbeatPeriod?: number | undefined;
  /**
   * How long the answer to a heartbeat may take, in ms. Then the session is closed, and its calls
   * fail with UNAVAILABLE. Default: 5,000.
   */
  heartbeatTimeout?: number | undefined;
  /**
   * How many calls of one session may be in flight, in each direction. A made call counts until its
   * answer. A served call counts if its handler returned a promise, until it is answered and the
   * handler has settled. Further calls fail with RESOURCE_EXHAUSTED. Made calls that cannot be sent
   * before the first frame of the peer arrives are counted separately, with the same limit. From 1
   * to 16,777,216. Default: 65,536.
   */
  maxPendingCalls?: number | undefined;
  /**
   * How many bytes the requests that this side receives in one session may hold while they are
   * handled: their bytes, and 64 for each decoded object. A request above the limit fails with
   * RESOURCE_EXHAUSTED, unless it is the only one. Default: 67,108,864 (64 MiB).
   */
  maxPendingBytes?: number | undefined;
  /**
   * How many bytes of one stream may wait for their reader. The last message may exceed it. From
   * 65,536 to 1,073,741,824. Default: 262,144 (256 KiB).
   */
  streamWindow?: number | undefined;
  /**
   * How many streaming calls that this side receives in one session may be in flight. Further ones
   * fail with RESOURCE_EXHAUSTED. Default: 1,024.
   */
  maxStreams?: number | undefined;
  /**
   * How many bytes of the streaming calls that this side receives in one session may wait for the
   * handlers to read them. Each message counts 256 bytes more. The call whose message would exceed
   * the limit fails with RESOURCE_EXHAUSTED. At least 65,536. Default: 67,108,864 (64 MiB).
   */
  maxStreamBytes?: number | undefined;
  /**
   * How many objects one decoded message may have: it limits the time that decoding blocks the
   * event loop. A message with more does not parse. From 1. Default: 100,000.
   *
   * In JSON each value and each property name counts as one, an empty array or object as two. In
   * Protobuf each message, list, map, oneof, string, bytes field and 64-bit integer counts as one,
   * a map entry as two, and 8 other numbers of a list as one. A message counts one more for each 8
   * fields of its type, and for each value of a field with presence. In the JSON form of Protobuf,
   * and where code generation is forbidden, most of them count several times. docs/rpc.md
   * has the full table.
   */
  maxDecodedObjects?: number | undefined;
  /**
   * How long the process polls after each request, made or received, instead of sleeping, in ms.
   * Polling occupies one core per process and more than halves the latency on one machine or a fast
   * network. From 0 to 1,000; 0 means never. Default: 0.
   */
  busyPoll?: number | undefined;
  /**
   * Calls that a handler makes have its call as their parent, also through other clients and
   * consumers of the process: they end at its deadline and are cancelled with it.
   * CallOptions.parent overrides that. It costs about 0.5 µs for each handled call. Node.js only.
   * Default: false.
   */
  inheritContext?: boolean | undefined;
  /**
   * How long close() waits for calls in flight, in ms. After a goaway of the peer its calls keep
   * the session open for as long, but for at least 60,000 ms. Default: 10,000.
   */
  drainTimeout?: number | undefined;
  /** Interceptors; the first one sees a call first. Default: none. */
  interceptors?: readonly Interceptor[] | undefined;
  /**
   * Receives a warning for each session that violated the protocol, and for each failed oneway
   * call: at most 100 warnings at once, then 10 a second. Default: none is logged.
   */
  logger?: Logger | undefined;
  /**
   * Options of the sessions. A client sets cronPeriod to heartbeatPeriod unless that is 0. On a
   * server idleTimeout is 180,000 by default. allowHalfOpen is always false. taskPool is
   * BAD_OPTION: use concurrencyLimit(). maxHandling has no effect: see maxPendingCalls. Default:
   * those of SessionOptions.
   */
  session?: SessionOptions | undefined;
}

/** Options of serve(): those of rpc and those of the transport. */
export interface RpcServerOptions extends RpcOptions, ServerOptions {
  /**
   * Also offer the service Introspection, which returns the services, methods, statistics, sessions
   * and status of this server. Default: false.
   */
  introspection?: boolean | undefined;
  /**
   * Also offer the service Admin, which closes sessions and, for provide(), takes the provider out
   * of the registry and changes its weight. BAD_OPTION unless `interceptors` has auth() with
   * `authorize`, or the address is `unix://`, `memory://`, a message port or a process, or has the
   * host `localhost`, `[::1]` or `127.x.x.x`. An HTTP server must already listen there. Default:
   * false.
   */
  admin?: boolean | undefined;
  /**
   * Milliseconds after which the server ends a session, plus or minus a random part of up to 10 %:
   * so clients connect again, to the servers that a load balancer or name server gives them then.
   * The server sends goaway, the client makes new calls on another session, and calls in flight
   * finish. Sessions with plain Go peers, and those over UDP, have no limit. From 2,000; 0: never.
   * Default: 0.
   */
  maxConnectionAge?: number | undefined;
  /**
   * Milliseconds from that goaway on after which the server closes the session, also if calls are
   * in flight: these fail with UNAVAILABLE and the reason `moving`. `context.draining` of their
   * handlers aborts at the goaway. Default: 60,000.
   */
  maxConnectionAgeGrace?: number | undefined;
}

/** Options of connect(): those of rpc and those of the transport. */
export interface RpcClientOptions extends RpcOptions, ClientOptions {
  /** The services that the client offers to the server. Default: none. */
  services?: readonly Service[] | undefined;
  /**
   * Called with true when the client has a session that accepts calls, and with false when it has
   * none any more. Default: none.
   */
  onReady?: ((ready: boolean) => unknown) | undefined;
  /**
   * Called with true when the server answers, and with false when it does not answer heartbeats.
   * While calls wait and nothing arrives, the client sends a heartbeat after 500 ms. Each such
   * heartbeat that is answered doubles this time, up to heartbeatPeriod, until a call starts or
   * settles. Without an answer within 250 ms it reports false. With heartbeatPeriod 0 it sends no
   * such heartbeats. Calls are still sent. A caller that has other servers can prefer them.
   * Default: none.
   */
  onResponsive?: ((responsive: boolean) => unknown) | undefined;
}

/** What serve() returns. `await using` calls close(). */
export interface RpcServer extends AsyncDisposable {
  /** The address that the server listens on, with the actual port; see Endpoint.address. */
  readonly address: string;
  /** All addresses that the server listens on; the first is `address`. */
  readonly addresses: readonly string[];
  /** How many peers were refused since the start, by reason. A copy of the counters. */
  readonly refusals: Readonly<Record<RefusalReason, number>>;
  /** The channels of the open sessions. */
  readonly channels: ReadonlySet<Channel>;
  /** A snapshot of what this server has counted since the start or the last reset. */
  statistics(): RpcStatistics;
  /** Start counting from 0. Calls in flight stay in flight. */
  resetStatistics(): void;
  /**
   * Stop listening, send goaway (clients make no new calls then), wait for calls in flight for at
   * most drainTimeout, and close. Requests that still arrive meanwhile are handled as before, such
   * as those of Go clients, which know no goaway. Settles when the server is closed.
   */
  close(): Promise<void>;
  /** Close now. Calls in flight are lost. */
  destroy(): void;
  /** Use other certificates for new sessions, as Server.reloadTls(). Throws BAD_OPTION. */
  reloadTls(options: TlsOptions): void;
}

/** What connect() returns. `await using` calls close(). */
export interface RpcClient extends AsyncDisposable {
  /** The address that the client connects to. Secrets in it are replaced by `***`. */
  readonly address: string;
  /** All addresses of the client; the first is `address`. */
  readonly addresses: readonly string[];
  /**
   * How many attempts to connect have begun since a session was opened last; see
   * Client.reconnectAttempts.
   */
  readonly reconnectAttempts: number;
  /** The channels of the open sessions. */
  readonly channels: ReadonlySet<Channel>;
  /** True after the first close() or destroy(). */
  readonly closed: boolean;
  /**
   * Create an object with a typed method for each method of `contract`. Create it once and keep it.
   * Throws BAD_OPTION.
   */
  stub<Specs extends MethodSpecs>(contract: Contract<Specs>, options?: StubOptions): Stub<Specs>;
  /** Perform one call, through the interceptors. */
  readonly invoke: Invoke;
  /** A snapshot of what this client has counted since the start or the last reset. */
  statistics(): RpcStatistics;
  /** Start counting from 0. Calls in flight stay in flight. */
  resetStatistics(): void;
  /** Wait for calls in flight for at most drainTimeout, then close. New calls fail at once. */
  close(): Promise<void>;
  /** Close now. Calls in flight fail with UNAVAILABLE. */
  destroy(): void;
}
