/** Writes to a connection with `rate.out`. Without that option a session has a ConnectionWriter. */
import { guarded } from '../../core/guard.js';
import { LongTimer } from '../../core/timers.js';
import { ByteWriter } from '../buffers/byte-writer.js';
import { ConnectionWriter, type WritingSession } from '../session/connection-writer.js';
import { type Flushable, flushSoon, now } from '../session/flush-scheduler.js';
import type { Connection } from '../types.js';
import { type BytesPart, HeldMessages } from './held-messages.js';
import type { RateLimiter } from './rate-limiter.js';

/** Messages wait until the end of the tick, and then until the rate permits each of them. */
export class RateLimitedWriter extends ConnectionWriter implements Flushable {
  readonly #limiter: RateLimiter;
  readonly #onReleased: () => void;
  /** Whether each write() of the connection must be one message. */
  readonly #writesEachMessage: boolean;
  readonly #held = new HeldMessages();
  /** Whether the first message is counted. It is sent when the timer ends. */
  #isFirstCounted = false;
  #timer: LongTimer | undefined;
  #delayedUntil = 0;
  /** Whether flush() is called at the end of this tick. */
  #isScheduled = false;
  /** The arguments of end(), which waits for the messages. */
  #end: { readonly code: number | undefined; readonly reason: string | undefined } | undefined;

  /** `onReleased` is called when bytes that waited were written to the connection. */
  constructor(
    connection: Connection,
    session: WritingSession,
    onReleased: () => void,
    limiter: RateLimiter,
  ) {
    super(connection, session);
    this.#limiter = limiter;
    this.#onReleased = onReleased;
    this.#writesEachMessage = connection.capabilities?.writesEachMessage === true;
  }

  override get delayedUntil(): number {
    return this.#timer === undefined ? this.#delayedUntil : Number.POSITIVE_INFINITY;
  }

  override get unsentBytes(): number {
    return super.unsentBytes + this.#held.bytes;
  }

  /** Called for each message, because `rate.out` counts them. */
  override writeAlone(output: ByteWriter): void {
    if (output.length > 0 && !this.isStopped) this.#held.push(output.written);
    ByteWriter.setLength(output, 0);
    if (this.#isScheduled || this.#timer !== undefined) return;
    this.#isScheduled = true;
    flushSoon(this);
  }

  /** The tick ends. */
  flush(): void {
    this.#isScheduled = false;
    if (this.#timer !== undefined) return;
    this.#release();
    // A connection whose system has taken all bytes at once does not call onTaken().
    this.#onReleased();
  }

  override flushPending(): void {
    if (this.#timer === undefined) this.#release();
    super.flushPending();
  }

  override flushAll(): void {
    if (this.#timer !== undefined) this.#delayedUntil = now();
    this.#timer?.cancel();
    this.#timer = undefined;
    const parts: BytesPart[] = [];
    for (let length = this.#held.first; length !== undefined; length = this.#held.first) {
      if (!this.#isFirstCounted) this.#limiter.delay(1, length);
      this.#isFirstCounted = false;
      this.#held.moveFirstTo(parts);
    }
    this.#send(parts);
    super.flushAll();
  }

  override end(code: number | undefined, reason: string | undefined): void {
    if (this.#held.first === undefined) super.end(code, reason);
    else this.#end = { code, reason };
  }

  override stop(): void {
    super.stop();
    this.#timer?.cancel();
    this.#timer = undefined;
    // The rate of an endpoint would else make others wait for what is never sent.
    const { first } = this.#held;
    if (this.#isFirstCounted && first !== undefined) this.#limiter.giveBack(1, first);
    this.#isFirstCounted = false;
    // Their bytes stay counted as not sent.
    this.#held.clear();
  }

  /** Sends messages until the rate is exceeded, and the others later. */
  #release(): void {
    const parts: BytesPart[] = [];
    for (let length = this.#held.first; length !== undefined; length = this.#held.first) {
      const wait = this.#isFirstCounted ? 0 : this.#limiter.delay(1, length);
      this.#isFirstCounted = wait > 0;
      if (wait > 0) {
        this.#startTimer(wait);
        break;
      }
      this.#held.moveFirstTo(parts);
      if (this.#writesEachMessage) this.#send(parts.splice(0));
    }
    this.#send(parts);
    if (this.#held.first === undefined && this.#end !== undefined)
      super.end(this.#end.code, this.#end.reason);
  }

  #send(parts: readonly BytesPart[]): void {
    for (const { buffer, start, end } of parts) {
      // A send() that waits does not know in which write() its message is.
      this.connection.requestWriteAck?.();
      this.writeNow(buffer.subarray(start, end));
    }
  }

  #startTimer(ms: number): void {
    const release = guarded(
      () => {
        this.#timer = undefined;
        this.#delayedUntil = now();
        this.#release();
        this.#onReleased();
      },
      (error) => this.session.onWriteFault(error),
    );
    this.#timer = new LongTimer(release, ms);
  }
}
