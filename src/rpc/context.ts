/** A call as its handler sees it. */
import { RpcError } from './errors.js';
import type { Tags } from './frame.js';
import { NO_METADATA } from './metadata.js';
import type { RequestHead } from './head.js';
import type { Route } from './router.js';
import type { CallContext, Channel, CodecName, Handler, Metadata, Method } from './types.js';

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
      if (this.#owner.closed) this.abort(new RpcError('CANCELLED', `the session with ${this.peer} is lost`));
      else this.#owner.aborting.add(this);
      if (this.deadline !== undefined) {
        const left = this.deadline - performance.now();
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
    if (this.#abort === undefined) return;
    clearTimeout(this.#timer);
    this.#owner.aborting.delete(this);
  }

  with(changes: { input?: unknown; timeout?: number; metadata?: Metadata; signal?: AbortSignal }): CallContext {
    const fixed: PropertyDescriptorMap = {};
    for (const [name, value] of Object.entries(changes)) fixed[name] = { value, enumerable: true };
    // The signal and the channel stay those of this call, so the copy asks this one for them.
    for (const name of ['peer', 'channel', 'signal'] as const) fixed[name] ??= { get: () => this[name], enumerable: true };
    return Object.create(this, fixed);
  }
}
