/** Counts the calls that one session makes, for the session and for the method of each call. */
import type { RpcError } from '../errors.js';
import type { Call } from '../types.js';
import type { MethodCounters, SessionCallCounter } from './statistics.js';

export class OutgoingCallCounter {
  readonly #session: SessionCallCounter;
  readonly #methods: MethodCounters;

  constructor(session: SessionCallCounter, methods: MethodCounters) {
    this.#session = session;
    this.#methods = methods;
  }

  onCallStart({ method }: Call): void {
    this.#session.started++;
    this.#methods.of(method).onCallStart();
  }

  /**
   * `startedAt`: when the call began, by now(). `sent` and `received`: bytes of bodies, or of the
   * frames of streams.
   */
  onCallEnd(
    { method }: Call,
    error: RpcError | undefined,
    startedAt: number,
    sent: number,
    received: number,
  ): void {
    if (error === undefined) this.#session.succeeded++;
    else this.#session.failed++;
    this.#methods.of(method).onCallEnd(error, startedAt, sent, received);
  }
}
