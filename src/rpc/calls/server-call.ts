/** A call as its handler receives it: the CallContext. */
import { checkSignal, type LinkedSignal, linkSignals } from '../../core/signals.js';
import { LongTimer } from '../../core/timers.js';
import { checkMetadata, hasKeys, NO_METADATA, writableMetadata } from '../codecs/metadata.js';
import type { Route } from '../contract/router.js';
import { RpcError } from '../errors.js';
import type { MethodCounter } from '../metrics/statistics.js';
import { checkChangeNames } from '../option-names.js';
import type { ServerStream } from '../streams/server-stream.js';
import type {
  CallContext,
  Channel,
  CodecName,
  Handler,
  Identity,
  Metadata,
  Method,
} from '../types.js';
import type { Frame } from '../wire/frame.js';
import { CALL_TYPE, type RequestHeader } from '../wire/request-header.js';
import type { CallIds } from '../wire/sequence.js';
import { checkTimeout, instantFor } from './client-call.js';
import type { CountedCall, RunningHandlers } from './running-handlers.js';

/** What all calls of a channel share. */
export interface ServerCallOwner {
  readonly channel: Channel;
  /**
   * One of them aborts when close() of the endpoint is called, or when the session is ended in
   * order. They abort no call.
   */
  readonly draining: readonly AbortSignal[];
  readonly runningHandlers: RunningHandlers;
}

export class ServerCall implements CallContext, CountedCall, CallIds {
  readonly method: Method;
  readonly input: unknown;
  readonly codec: CodecName;
  readonly timeout: number | undefined;
  readonly metadata: Metadata;
  readonly deadline: number | undefined;
  readonly handler: Handler;
  readonly callType: number;
  readonly serviceId: number;
  readonly sequenceLow: number;
  readonly sequenceHigh: number;
  readonly logIdLow: number;
  readonly logIdHigh: number;
  identity: Identity | undefined;
  /**
   * Only in a copy: the deadline that with() has set, if it is before the deadline of the caller.
   * composeHandlerInvoke() enforces it.
   */
  declare readonly nearerDeadline: number | undefined;
  /** This call. In a copy that with() has returned: the call that was copied. */
  readonly origin: ServerCall = this;
  /** Whether an interceptor has called the handler. Not set without interceptors. */
  hasHandlerStarted = false;
  /** Undefined unless the call streams. */
  stream: ServerStream | undefined;
  readonly requestBytes: number;
  handlerRuns: CountedCall['handlerRuns'];
  readonly methodCounter: MethodCounter;
  /**
   * When the call was received, in ms of performance.now(): the result of
   * MethodCounter.onHandlerStart(). Undefined: this call is not timed.
   */
  readonly startedAt: number | undefined;
  /** Bytes that were received and sent for the call, for the statistics. */
  received: number;
  sent = 0;
  readonly #owner: ServerCallOwner;
  #abort: AbortController | undefined;
  /** Why the call was aborted. */
  #aborted: RpcError | undefined;
  #timer: LongTimer | undefined;
  /**
   * Follows the signals of the owner. It is released with the call, so that listeners of the
   * handler do not stay at these signals.
   */
  #draining: LinkedSignal | undefined;
  #isAnswered = false;
  #replyMetadata: Record<string, string> | undefined;

  /** `requestBytes`: as in CountedCall. `receivedAt`: in ms of performance.now(). */
  constructor(
    owner: ServerCallOwner,
    header: RequestHeader,
    route: Route,
    input: unknown,
    codec: CodecName,
    frame: Frame,
    requestBytes: number,
    receivedAt: number,
    methodCounter: MethodCounter,
  ) {
    this.method = route.method;
    this.handler = route.handler;
    this.callType = header.callType;
    this.timeout = header.timeout;
    this.metadata = header.metadata ?? NO_METADATA;
    this.deadline = header.timeout === undefined ? undefined : receivedAt + header.timeout;
    this.input = input;
    this.codec = codec;
    this.serviceId = frame.serviceId;
    this.sequenceLow = frame.sequenceLow;
    this.sequenceHigh = frame.sequenceHigh;
    this.logIdLow = frame.logIdLow;
    this.logIdHigh = frame.logIdHigh;
    this.requestBytes = requestBytes;
    this.methodCounter = methodCounter;
    this.startedAt = methodCounter.onHandlerStart();
    this.received = frame.bodyEnd - frame.bodyStart;
    this.#owner = owner;
  }

  /** Counts this call while its handler runs. */
  get runningHandlers(): RunningHandlers {
    return this.#owner.runningHandlers;
  }

  get isAnswered(): boolean {
    return this.#isAnswered;
  }

  get peer(): string {
    return this.#owner.channel.peer;
  }

  get channel(): Channel {
    return this.#owner.channel;
  }

  get replyMetadata(): Record<string, string> {
    this.#replyMetadata ??= writableMetadata();
    return this.#replyMetadata;
  }

  /** `replyMetadata` as it is sent: NO_METADATA if the handler has set none. */
  get trailer(): Metadata {
    const metadata = this.#replyMetadata;
    return metadata !== undefined && hasKeys(metadata) ? metadata : NO_METADATA;
  }

  /**
   * The first access creates the signal and starts the timer of the deadline. The handler, an
   * interceptor and, for a call that streams, Responder.handle() access it. A running call without
   * an access is not aborted at its deadline: checkDeadline() ends it when the promise of its
   * handler has settled.
   */
  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      // After the answer nothing is aborted, and no timer may remain.
      if (this.#aborted === undefined && !this.#isAnswered && this.#owner.channel.closed)
        this.#aborted = new RpcError('CANCELLED', `the session with ${this.peer} is lost`);
      if (this.#aborted !== undefined) this.#abort.abort(this.#aborted);
      else if (!this.#isAnswered && this.deadline !== undefined)
        this.#startDeadline(this.deadline - performance.now());
    }
    return this.#abort.signal;
  }

  get draining(): AbortSignal {
    if (this.#draining === undefined) {
      this.#draining = linkSignals(...this.#owner.draining);
      if (this.#isAnswered) this.#draining.release();
    }
    return this.#draining.signal;
  }

  #startDeadline(left: number): void {
    const onDeadline = (): void => this.abort(this.#deadlineError());
    if (left <= 0) return onDeadline();
    this.#timer = new LongTimer(onDeadline, left);
  }

  #deadlineError(): RpcError {
    const text = `the deadline of the caller has passed after ${this.timeout} ms`;
    return new RpcError('DEADLINE_EXCEEDED', text);
  }

  /**
   * Aborts the call if its deadline has passed, because only `signal` starts a timer. Returns the
   * reason of the abort, or undefined. A oneway call is not aborted: its caller does not wait.
   */
  checkDeadline(): RpcError | undefined {
    const { deadline } = this;
    if (
      deadline !== undefined &&
      this.#aborted === undefined &&
      this.callType !== CALL_TYPE.oneWay &&
      instantFor(this.timeout) >= deadline
    )
      this.abort(this.#deadlineError());
    return this.#aborted;
  }

  /** The reason of abort(). Undefined: the call was not aborted. */
  get aborted(): RpcError | undefined {
    return this.#aborted;
  }

  /** The caller has cancelled the call, its deadline has passed, or its session is lost. */
  abort(reason: RpcError): void {
    if (this.#aborted !== undefined || this.#isAnswered) return;
    this.#aborted = reason;
    this.#timer?.cancel();
    this.#abort?.abort(reason);
    this.stream?.stop(reason);
  }

  /** The call is answered. Releases the timer and the signals. */
  onAnswered(): void {
    this.#isAnswered = true;
    this.#timer?.cancel();
    this.#draining?.release();
  }

  with(changes: {
    input?: unknown;
    timeout?: number | undefined;
    metadata?: Metadata | undefined;
    signal?: AbortSignal | undefined;
  }): CallContext {
    checkChangeNames(changes);
    const { timeout, metadata, signal } = changes;
    checkSignal(signal);
    const fixed: PropertyDescriptorMap = {};
    if ('input' in changes) fixed.input = { value: changes.input, enumerable: true };
    if (timeout !== undefined) {
      const ms = checkTimeout(timeout);
      const deadline = ms === undefined ? Number.POSITIVE_INFINITY : performance.now() + ms;
      if (deadline < (this.deadline ?? Number.POSITIVE_INFINITY)) {
        fixed.timeout = { value: ms, enumerable: true };
        fixed.deadline = { value: deadline, enumerable: true };
        fixed.nearerDeadline = { value: deadline };
      }
    }
    if (metadata !== undefined)
      fixed.metadata = { value: checkMetadata(metadata), enumerable: true };
    if (signal !== undefined) fixed.signal = { value: signal, enumerable: true };
    // The copy reads these properties of this call. They are getters, because some change.
    for (const name of [
      'peer',
      'channel',
      'signal',
      'draining',
      'replyMetadata',
      'trailer',
    ] as const)
      fixed[name] ??= { get: () => this[name], enumerable: true };
    return Object.create(this, fixed);
  }
}
