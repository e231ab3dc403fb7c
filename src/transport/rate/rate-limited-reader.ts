/** Reads for a session with `rate.in`. A session without that option has a SessionReader. */
import type { Bytes } from '../../core/bytes.js';
import { faultError, guarded } from '../../core/guard.js';
import { now } from '../session/flush-scheduler.js';
import { PAUSED_BY_RATE, type ReadingSession } from '../session/message-delivery.js';
import { rateExceededError } from '../session/session-errors.js';
import type { ResolvedSetup } from '../session/session-options.js';
import { SessionReader } from '../session/session-reader.js';
import { StreamDecoder } from '../session/stream-decoder.js';
import type { Connection } from '../types.js';
import type { RateLimiter } from './rate-limiter.js';

/** The limit of the messages of a stream. */
interface MessageLimit {
  /** Returns false if the next message must wait. */
  mayDecode(): boolean;
  /** Counts a message. Returns false if it ends the session. */
  isAllowed(): boolean;
}

class LimitedDecoder<In, Out> extends StreamDecoder<In, Out> {
  readonly #limit: MessageLimit;

  constructor(
    session: ReadingSession<In, Out>,
    setup: ResolvedSetup<In, Out>,
    limit: MessageLimit,
  ) {
    super(session, setup);
    this.#limit = limit;
  }

  override next(): In | undefined {
    if (!this.#limit.mayDecode()) return undefined;
    const message = super.next();
    return message !== undefined && this.#limit.isAllowed() ? message : undefined;
  }
}

export class RateLimitedReader<In, Out> extends SessionReader<In, Out> implements MessageLimit {
  readonly #limiter: RateLimiter;
  /** Whether the next message of the stream is counted, because it had to wait or is incomplete. */
  #isNextCounted = false;
  /** When the pause began: a time of now(). */
  #pausedAt = 0;

  constructor(
    session: ReadingSession<In, Out>,
    connection: Connection,
    setup: ResolvedSetup<In, Out>,
    opened: boolean,
    limiter: RateLimiter,
  ) {
    super(session, connection, setup, opened);
    this.#limiter = limiter;
    limiter.onPaid = guarded(
      () => this.#resume(),
      (error) => session.destroy(faultError(session.remoteAddress, error)),
    );
  }

  protected override createDecoder(): StreamDecoder<In, Out> {
    if (!this.#limiter.countsMessages) return super.createDecoder();
    return new LimitedDecoder(this.session, this.setup, this);
  }

  override feed(bytes: Bytes): void {
    if (!this.#checkLimits(0, bytes.length)) return;
    super.feed(bytes);
    this.#wait(0, bytes.length);
  }

  override onMessage(bytes: Bytes, text: boolean | undefined, start: number, end: number): void {
    if (!this.#checkLimits(1, end - start)) return;
    this.#wait(1, end - start);
    super.onMessage(bytes, text, start, end);
  }

  mayDecode(): boolean {
    if (!this.#isNextCounted) this.#wait(1, 0);
    this.#isNextCounted = true;
    return this.pauseReasons === 0;
  }

  isAllowed(): boolean {
    this.#isNextCounted = false;
    return this.#checkLimits(1, 0);
  }

  override stop(): void {
    super.stop();
    // The message that has begun is not delivered.
    this.#limiter.cancel(this.#isNextCounted ? 1 : 0, 0);
    this.#isNextCounted = false;
  }

  /** Counts for the limits that close the session. Returns false if one of them has done so. */
  #checkLimits(messages: number, bytes: number): boolean {
    const exceeded = this.#limiter.takeUnlessExceeded(messages, bytes);
    if (exceeded === undefined) return true;
    const { session } = this;
    session.fail(rateExceededError(session.remoteAddress, exceeded.name, String(exceeded)));
    return false;
  }

  /** Counts for the limits that pause the session, and pauses it. */
  #wait(messages: number, bytes: number): void {
    if (this.#limiter.take(messages, bytes) || (this.pauseReasons & PAUSED_BY_RATE) !== 0) return;
    this.#pausedAt = now();
    this.pauseReasons |= PAUSED_BY_RATE;
    this.connection.pause();
  }

  #resume(): void {
    this.postponeTimeout(now() - this.#pausedAt);
    this.endPause(PAUSED_BY_RATE);
  }
}
