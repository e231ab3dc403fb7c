/**
 * The rpc layer in one file: a Contract names methods, a Service implements it, a Stub calls it; Invoke is the one
 * function between them, and an Interceptor wraps it, the same on both sides.
 */
import type { Logger } from '../logger.js';
import type { ByteWriter } from '../transport/byte-writer.js';
import type { ClientOptions, ServerOptions, SessionOptions } from '../transport/types.js';

/** The codecs of the wire, for the header and the body of a package. */
export type CodecName = 'json' | 'protobuf';

/** What travels beside a call. A received one has no prototype, so every key is the peer's own. */
export type Metadata = Readonly<Record<string, string>>;

/** Turns one kind of message into bytes and back. Throw in either: that call fails, the session lives on. */
export interface MessageCodec<T = unknown> {
  /** Append the encoded message. */
  encode(output: ByteWriter, message: T): void;
  /** Read a message from `bytes`, from `start` to `end`; views of them stay valid. */
  decode(bytes: Buffer, start: number, end: number): T;
}

/** How one message of a method is written in each codec that its contract has. */
export type MessageCodecs = Readonly<Partial<Record<CodecName, MessageCodec>>>;

export type MethodKind = 'unary' | 'oneway';

/** One method of a contract, at run time. */
export interface Method {
  /** The service's name on the wire. */
  readonly service: string;
  readonly version: string;
  /** The method's name on the wire. */
  readonly name: string;
  readonly kind: MethodKind;
  /** True: calling twice does what calling once does, so a call whose fate is unknown may be tried again. */
  readonly idempotent: boolean;
  /** Milliseconds; undefined: the client's default. */
  readonly timeout: number | undefined;
  readonly input: MessageCodecs;
  readonly output: MessageCodecs;
  /** The constant beginning of its request packages, per codec: package header, header section. Made once, copied per call. */
  readonly templates: Readonly<Record<CodecName, Uint8Array>>;
}

/** What unary() and oneway() make: a method's options at run time, and its four types for the compiler. */
export interface MethodSpec<StubInput = unknown, StubOutput = unknown, HandlerInput = StubInput, HandlerOutput = StubOutput> {
  readonly kind: MethodKind;
  readonly idempotent: boolean;
  readonly timeout: number | undefined;
  /** Never set: it carries the types. */
  readonly types?: { stubInput: StubInput; stubOutput: StubOutput; handlerInput: HandlerInput; handlerOutput: HandlerOutput };
}

// biome-ignore lint/suspicious/noExplicitAny: a constraint that every MethodSpec meets
export type MethodSpecs = Record<string, MethodSpec<any, any, any, any>>;

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
  readonly methods: ReadonlyMap<keyof Specs & string, Method>;
}

type Types<Spec> = Spec extends { types?: infer T } ? NonNullable<T> : never;
type Of<Spec, Name extends string> = Types<Spec> extends Record<Name, infer T> ? T : never;

/** Called when an asynchronous call has ended: with an error, or with null and the reply. Called once. */
export type Callback<Output> = (error: Error | null, reply?: Output) => void;

/** One method of a stub: a promise, or a callback as the last argument. */
export interface StubMethod<Input, Output> {
  (input: Input, options?: CallOptions): Promise<Output>;
  (input: Input, callback: Callback<Output>): void;
  (input: Input, options: CallOptions, callback: Callback<Output>): void;
}

/** A typed caller of a contract's methods. A oneway method settles when the call is queued. */
export type Stub<Specs extends MethodSpecs> = {
  readonly [Name in keyof Specs]: StubMethod<Of<Specs[Name], 'stubInput'>, Of<Specs[Name], 'stubOutput'>>;
};

/** What implement() takes: a function for each method. A throw or rejection is the caller's error. */
export type Handlers<Specs extends MethodSpecs> = {
  readonly [Name in keyof Specs]: (
    input: Of<Specs[Name], 'handlerInput'>,
    context: CallContext,
  ) => Of<Specs[Name], 'handlerOutput'> | Promise<Of<Specs[Name], 'handlerOutput'>>;
};

export type Handler = (input: unknown, context: CallContext) => unknown;

/** A contract with its handlers, ready to be served. */
export interface Service {
  readonly contract: Contract;
  /** By the method's name on the wire. */
  readonly handlers: ReadonlyMap<string, { readonly method: Method; readonly handler: Handler }>;
}

export interface CallOptions {
  /** Milliseconds; DEADLINE_EXCEEDED after them. */
  timeout?: number;
  signal?: AbortSignal;
  metadata?: Metadata;
}

/** One call, as interceptors, balancers and strategies see it. Treat it as a value: make another with `with`. */
export interface Call {
  readonly method: Method;
  readonly input: unknown;
  readonly codec: CodecName;
  /** Milliseconds from when it was made (client) or received (server); undefined: no deadline. */
  readonly timeout: number | undefined;
  readonly metadata: Metadata;
  /** On the server it is made on first touch, and aborts when the deadline passes or the session is lost. */
  readonly signal: AbortSignal | undefined;
  /** The same call with some things changed. */
  with(changes: { input?: unknown; timeout?: number; metadata?: Metadata; signal?: AbortSignal }): Call;
}

/** What a handler knows of its call. */
export interface CallContext extends Call {
  readonly signal: AbortSignal;
  /** Where the call came from: `tcp://127.0.0.1:50100`. */
  readonly peer: string;
  /** The monotonic instant (performance.now()) at which the caller gives up; undefined when it did not say. */
  readonly deadline: number | undefined;
  /** For calls back to the caller. */
  readonly channel: Channel;
}

/** Do a call and answer its reply. Rejects with an RpcError. */
export type Invoke = (call: Call) => Promise<unknown>;
/** Wraps an Invoke. Composed once, when a client or server is made, not per call. */
export type Interceptor = (next: Invoke) => Invoke;

/** Both sides of a session may offer services and call the other's. */
export interface Channel {
  readonly peer: string;
  readonly closed: boolean;
  /** True when the peer is known to speak the extensions, false when it is known not to, undefined before its first word. */
  readonly extended: boolean | undefined;
  /** Calls that wait for their answer. */
  readonly pending: number;
  stub<Specs extends MethodSpecs>(contract: Contract<Specs>, options?: StubOptions): Stub<Specs>;
}

export interface StubOptions {
  /** Default: the contract's own. */
  codec?: CodecName;
}

/** Options of both sides. Milliseconds. Defaults: RPC_DEFAULTS. */
export interface RpcOptions {
  /** For calls that do not say. */
  timeout?: number;
  /** How often a client asks a silent server for a sign of life. 0: never. */
  heartbeatPeriod?: number;
  /** How long an answer to that may take before the session is given up. */
  heartbeatTimeout?: number;
  /** The most calls that one session has under way in each direction; more fail with RESOURCE_EXHAUSTED. */
  maxPendingCalls?: number;
  /** How long close() waits for calls under way. */
  drainTimeout?: number;
  /** The first sees the call first. */
  interceptors?: readonly Interceptor[];
  /** Told of sessions that broke the protocol and of failed oneway calls. Silent by default. */
  logger?: Logger;
  /** Options of the sessions beneath. */
  session?: SessionOptions;
}

export interface RpcServerOptions extends RpcOptions {
  server?: ServerOptions;
}

export interface RpcClientOptions extends RpcOptions, ClientOptions {
  /** What the client offers to the server. */
  services?: readonly Service[];
  /** Told when the client begins to have a session that takes calls, and when it has none any more. */
  onReady?: (ready: boolean) => void;
}

export interface RpcServer extends AsyncDisposable {
  readonly address: string;
  readonly channels: ReadonlySet<Channel>;
  /** Stop listening, send goaway, let calls under way finish (at most drainTimeout), close. */
  close(): Promise<void>;
  /** Close now; calls under way are lost. */
  destroy(): void;
}

export interface RpcClient extends AsyncDisposable {
  readonly address: string;
  readonly channels: ReadonlySet<Channel>;
  readonly closed: boolean;
  stub<Specs extends MethodSpecs>(contract: Contract<Specs>, options?: StubOptions): Stub<Specs>;
  /** Do one call, through the interceptors. */
  readonly invoke: Invoke;
  /** Let calls under way finish (at most drainTimeout), then close. */
  close(): Promise<void>;
  destroy(): void;
}
