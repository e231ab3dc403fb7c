/** A call as its handler receives it: the CallContext. */
import { checkSignal, type LinkedSignal, linkSignals } from '../../core/signals.js';
import { LongTimer } from '../../core/timers.js';
import { checkMetadata, hasKeys, NO_METADATA, writableMetadata } from '../codecs/metadata.js';
import type { Route, RoutedHeader } from '../contract/router.js';
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
import { CALL_TYPE } from '../wire/request-header.js';
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

/** The header of a request that has a route. */
export interface AcceptedHeader extends RoutedHeader {
  readonly route: Route;
}

/** What the signals of a call need. Each is undefined until its signal is accessed. */
class CallSignals {
  abort: AbortController | undefined;
  /** Aborts the call at its deadline. */
  timer: LongTimer | undefined;
  /**
   * Follows the signals of the owner. It is released with the call, so that listeners of the
   * handler do not stay at these signals.
   */
  draining: LinkedSignal | undefined;
}

/**
 * A server has one for each call, so it has few properties of its own. What follows from others,
 * and what few handlers read, are accessors. A copy of with() inherits from its call and has no
 * private names: the accessors that need one read that of the call.
 */
export class ServerCall implements CallContext, CountedCall, CallIds {
  readonly header: AcceptedHeader;
  readonly input: unknown;
  /**
   * In ms of performance.now(). It has no initializer: with a number V8 would box the double of
   * each call, while without one the calls of a tick share the box of now().
   */
  readonly receivedAt: number;
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
  /** Undefined until a signal is accessed. */
  #signals: CallSignals | undefined;
  /** Why the call was aborted. */
  #aborted: RpcError | undefined;
  #isAnswered = false;
  #replyMetadata: Record<string, string> | undefined;

  /** `requestBytes`: as in CountedCall. `receivedAt`: in ms of performance.now(). */
  constructor(
    owner: ServerCallOwner,
    header: AcceptedHeader,
    input: unknown,
    frame: Frame,
    requestBytes: number,
    receivedAt: number,
    methodCounter: MethodCounter,
  ) {
    this.header = header;
    this.receivedAt = receivedAt;
    this.input = input;
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

  get method(): Method {
    return this.header.route.method;
  }

  get handler(): Handler {
    return this.header.route.handler;
  }

  get codec(): CodecName {
    return this.header.codec;
  }

  get callType(): number {
    return this.header.callType;
  }

  get timeout(): number | undefined {
    return this.header.timeout;
  }

  get deadline(): number | undefined {
    const { timeout } = this.header;
    return timeout === undefined ? undefined : this.receivedAt + timeout;
  }

  get metadata(): Metadata {
    return this.header.metadata ?? NO_METADATA;
  }

  /** This call. In a copy that with() has returned: the call that was copied. */
  get origin(): ServerCall {
    return #owner in this ? this : copied(this).origin;
  }

  /** Counts this call while its handler runs. */
  get runningHandlers(): RunningHandlers {
    return this.#owner.runningHandlers;
  }

  /** Whether an interceptor has called the handler. False without interceptors. */
  get hasHandlerStarted(): boolean {
    return this.handlerRuns !== undefined;
  }

  get isAnswered(): boolean {
    return this.#isAnswered;
  }

  get peer(): string {
    return this.channel.peer;
  }

  get channel(): Channel {
    return #owner in this ? this.#owner.channel : copied(this).channel;
  }

  get replyMetadata(): Record<string, string> {
    if (!(#owner in this)) return copied(this).replyMetadata;
    this.#replyMetadata ??= writableMetadata();
    return this.#replyMetadata;
  }

  /** `replyMetadata` as it is sent: NO_METADATA if the handler has set none. */
  get trailer(): Metadata {
    if (!(#owner in this)) return copied(this).trailer;
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
    if (!(#owner in this)) return copied(this).signal;
    this.#signals ??= new CallSignals();
    const signals = this.#signals;
    if (signals.abort === undefined) {
      signals.abort = new AbortController();
      // After the answer nothing is aborted, and no timer may remain.
      if (this.#aborted === undefined && !this.#isAnswered && this.#owner.channel.closed)
        this.#aborted = new RpcError('CANCELLED', `the session with ${this.peer} is lost`);
      if (this.#aborted !== undefined) signals.abort.abort(this.#aborted);
      else if (!this.#isAnswered && this.deadline !== undefined)
        signals.timer = this.#startDeadline(this.deadline - performance.now());
    }
    return signals.abort.signal;
  }

  get draining(): AbortSignal {
    if (!(#owner in this)) return copied(this).draining;
    this.#signals ??= new CallSignals();
    const signals = this.#signals;
    if (signals.draining === undefined) {
      signals.draining = linkSignals(...this.#owner.draining);
      if (this.#isAnswered) signals.draining.release();
    }
    return signals.draining.signal;
  }

  /** Undefined: the deadline has passed, and the call is aborted. */
  #startDeadline(left: number): LongTimer | undefined {
    const onDeadline = (): void => this.abort(this.#deadlineError());
    if (left > 0) return new LongTimer(onDeadline, left);
    onDeadline();
    return undefined;
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
    this.#signals?.timer?.cancel();
    this.#signals?.abort?.abort(reason);
    this.stream?.stop(reason);
  }

  /** The call is answered. Releases the timer and the signals. */
  onAnswered(): void {
    this.#isAnswered = true;
    this.#signals?.timer?.cancel();
    this.#signals?.draining?.release();
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
    return Object.create(this, fixed);
  }
}

/** The call of which `copy` is a copy. */
function copied(copy: ServerCall): ServerCall {
  return Object.getPrototypeOf(copy);
}
