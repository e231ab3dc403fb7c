/** A call as its handler sees it. */
import { checkTimeout } from './call.js';
import { RpcError } from './errors.js';
import type { Tags } from './frame.js';
import type { RequestHead } from './head.js';
import { checkMetadata, NO_METADATA } from './metadata.js';
import type { Route } from './router.js';
import type { CallContext, Channel, CodecName, Handler, Metadata, Method } from './types.js';

/** No timer takes more milliseconds; a deadline beyond it is none. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** What a context needs of the channel that it came through. */
export interface ContextOwner extends Channel {
  /** Told of each context whose signal was touched, so that the loss of the session aborts it. */
  readonly aborting: Set<ServerCall>;
}

export class ServerCall implements CallContext, Tags {
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
  readonly #owner: ContextOwner;
  #abort: AbortController | undefined;
  #timer: NodeJS.Timeout | undefined;
  #settled = false;

  /** `receivedAt`: performance.now() when the request came. */
  constructor(owner: ContextOwner, head: RequestHead, route: Route, input: unknown, codec: CodecName, tags: Tags, receivedAt: number) {
    this.method = route.method;
    this.handler = route.handler;
    this.callType = head.callType;
    this.timeout = head.timeout;
    this.metadata = head.metadata ?? NO_METADATA;
    this.deadline = head.timeout === undefined ? undefined : receivedAt + head.timeout;
    this.input = input;
    this.codec = codec;
    this.serviceId = tags.serviceId;
    this.sequenceLow = tags.sequenceLow;
    this.sequenceHigh = tags.sequenceHigh;
    this.logIdLow = tags.logIdLow;
    this.logIdHigh = tags.logIdHigh;
    this.#owner = owner;
  }

  get peer(): string {
    return this.#owner.peer;
  }

  get channel(): Channel {
    return this.#owner;
  }

  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      // Touched after the answer: there is nothing left to abort, and nothing may stay behind.
      if (this.#settled) return this.#abort.signal;
      if (this.#owner.closed) this.abort(new RpcError('CANCELLED', `the session with ${this.peer} is lost`));
      else this.#owner.aborting.add(this);
      if (this.deadline !== undefined) {
        const left = this.deadline - performance.now();
        if (left <= LONGEST_TIMER)
          this.#timer = setTimeout(() => this.abort(new RpcError('DEADLINE_EXCEEDED', `the caller waits no longer than ${this.timeout} ms`)), left);
      }
    }
    return this.#abort.signal;
  }

  abort(reason: RpcError): void {
    this.#abort?.abort(reason);
    this.settled();
  }

  /** The handler has answered: nothing is left to abort. */
  settled(): void {
    this.#settled = true;
    if (this.#abort === undefined) return;
    clearTimeout(this.#timer);
    this.#owner.aborting.delete(this);
  }

  with(changes: { input?: unknown; timeout?: number; metadata?: Metadata; signal?: AbortSignal }): CallContext {
    const { timeout, metadata, signal } = changes;
    const fixed: PropertyDescriptorMap = {};
    if ('input' in changes) fixed.input = { value: changes.input, enumerable: true };
    if (timeout !== undefined) fixed.timeout = { value: checkTimeout(timeout), enumerable: true };
    if (metadata !== undefined) fixed.metadata = { value: checkMetadata(metadata), enumerable: true };
    if (signal !== undefined) fixed.signal = { value: signal, enumerable: true };
    // The signal and the channel stay those of this call, so the copy asks this one for them.
    for (const name of ['peer', 'channel', 'signal'] as const) fixed[name] ??= { get: () => this[name], enumerable: true };
    return Object.create(this, fixed);
  }
}
