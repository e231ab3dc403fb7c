/** A call as its handler sees it. */
import { type LinkedSignal, linkSignals } from '../../core/signals.js';
import { LongTimer } from '../../core/timers.js';
import { checkMetadata, hasKeys, NO_METADATA, writableMetadata } from '../codecs/metadata.js';
import type { Route } from '../contract/router.js';
import { RpcError } from '../errors.js';
import type { MethodMeter } from '../metrics/statistics.js';
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
import type { Frame, Tags } from '../wire/frame.js';
import type { RequestHead } from '../wire/header.js';
import type { CallPlaces, PlacedCall } from './call-places.js';
import { checkTimeout } from './client-call.js';

/** The channel, as a call sees it. */
export interface ServerCallOwner extends Channel {
  /** Aborts when this side begins to close. */
  readonly draining: AbortSignal;
  readonly places: CallPlaces;
}

export class ServerCall implements CallContext, PlacedCall, Tags {
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
  /** This, also for what with() has made of it. */
  readonly origin: ServerCall = this;
  /** An interceptor has let the call through to its handler. */
  hasBegun = false;
  /** Of a streaming call. */
  stream: ServerStream | undefined;
  readonly requestBytes: number;
  run: PlacedCall['run'];
  readonly meter: MethodMeter;
  /** What the meter's beginHandler() answered. */
  readonly began: number | undefined;
  /** Bytes, for the meter. */
  received: number;
  sent = 0;
  readonly #owner: ServerCallOwner;
  #abort: AbortController | undefined;
  /** Why the caller wants no answer any more. */
  #aborted: RpcError | undefined;
  #timer: LongTimer | undefined;
  /** Of its own, so that what listens to it goes with the call. */
  #draining: LinkedSignal | undefined;
  #settled = false;
  #replyMetadata: Record<string, string> | undefined;

  /** `requestBytes`: as in PlacedCall. `receivedAt`: performance.now() when the request came. */
  constructor(
    owner: ServerCallOwner,
    head: RequestHead,
    route: Route,
    input: unknown,
    codec: CodecName,
    frame: Frame,
    requestBytes: number,
    receivedAt: number,
    meter: MethodMeter,
  ) {
    this.method = route.method;
    this.handler = route.handler;
    this.callType = head.callType;
    this.timeout = head.timeout;
    this.metadata = head.metadata ?? NO_METADATA;
    this.deadline = head.timeout === undefined ? undefined : receivedAt + head.timeout;
    this.input = input;
    this.codec = codec;
    this.serviceId = frame.serviceId;
    this.sequenceLow = frame.sequenceLow;
    this.sequenceHigh = frame.sequenceHigh;
    this.logIdLow = frame.logIdLow;
    this.logIdHigh = frame.logIdHigh;
    this.requestBytes = requestBytes;
    this.meter = meter;
    this.began = meter.beginHandler();
    this.received = frame.bodyEnd - frame.bodyStart;
    this.#owner = owner;
  }

  /** Where it counts while its handler runs. */
  get places(): CallPlaces {
    return this.#owner.places;
  }

  get isAnswered(): boolean {
    return this.#settled;
  }

  get peer(): string {
    return this.#owner.peer;
  }

  get channel(): Channel {
    return this.#owner;
  }

  get replyMetadata(): Record<string, string> {
    this.#replyMetadata ??= writableMetadata();
    return this.#replyMetadata;
  }

  /** What the handler wants to send beside its reply. */
  get trailer(): Metadata {
    const metadata = this.#replyMetadata;
    return metadata !== undefined && hasKeys(metadata) ? metadata : NO_METADATA;
  }

  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      if (this.#aborted === undefined && this.#owner.closed)
        this.#aborted = new RpcError('CANCELLED', `the session with ${this.peer} is lost`);
      if (this.#aborted !== undefined) this.#abort.abort(this.#aborted);
      // Touched after the answer: there is nothing left to abort, and nothing may stay behind.
      else if (!this.#settled && this.deadline !== undefined)
        this.#watchDeadline(this.deadline - performance.now());
    }
    return this.#abort.signal;
  }

  get draining(): AbortSignal {
    if (this.#draining === undefined) {
      this.#draining = linkSignals(this.#owner.draining);
      if (this.#settled) this.#draining.release();
    }
    return this.#draining.signal;
  }

  #watchDeadline(left: number): void {
    const late = (): void =>
      this.abort(
        new RpcError('DEADLINE_EXCEEDED', `the caller waits no longer than ${this.timeout} ms`),
      );
    if (left <= 0) return late();
    this.#timer = new LongTimer(late, left);
  }

  /** Why nobody waits for the answer any more. */
  get aborted(): RpcError | undefined {
    return this.#aborted;
  }

  /** The caller waits no more: it said so, its deadline has passed, or its session is lost. */
  abort(reason: RpcError): void {
    if (this.#aborted !== undefined || this.#settled) return;
    this.#aborted = reason;
    this.#timer?.cancel();
    this.#abort?.abort(reason);
    this.stream?.stop(reason);
  }

  /** The handler has answered: nothing is left to abort. */
  settled(): void {
    this.#settled = true;
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
    const fixed: PropertyDescriptorMap = {};
    if ('input' in changes) fixed.input = { value: changes.input, enumerable: true };
    if (timeout !== undefined) fixed.timeout = { value: checkTimeout(timeout), enumerable: true };
    if (metadata !== undefined)
      fixed.metadata = { value: checkMetadata(metadata), enumerable: true };
    if (signal !== undefined) fixed.signal = { value: signal, enumerable: true };
    // The signal and the channel stay those of this call, so the copy asks this one for them.
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
