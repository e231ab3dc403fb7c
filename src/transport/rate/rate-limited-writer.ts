/** Writes to a connection with `rate.out`. Without that option a session has a ConnectionWriter. */
import { guarded } from '../../core/guard.js';
import { onNextTurn, spend, unitsOf } from '../../core/turn.js';
import { ByteWriter } from '../buffers/byte-writer.js';
import { ConnectionWriter, type WritingSession } from '../session/connection-writer.js';
import { type Flushable, flushSoon, now } from '../session/flush-scheduler.js';
import type { Connection } from '../types.js';
import { type BytesPart, HeldMessages } from './held-messages.js';
import type { RateLimiter } from './rate-limiter.js';

/** Units of spend(). So few messages are sent even if the budget of the turn is used up. */
const UNITS_PER_SPEND = 64;

/** Messages wait until the end of the tick, and then until the rate permits each of them. */
export class RateLimitedWriter extends ConnectionWriter implements Flushable {
  readonly #limiter: RateLimiter;
  readonly #onReleased: () => void;
  readonly #held = new HeldMessages();
  /** Whether the first message is counted. It is sent when the limiter calls onPaid(). */
  #isFirstCounted = false;
  /** When a message that had waited was last sent: a time of now(). */
  #sentAt = 0;
  /** The `readAt` of the last answerableSince(). */
  #silentSince = 0;
  /** How many of the messages that waited at the first answerableSince() of a silence still do. */
  #awaitedCount = 0;
  /** When #awaitedCount became 0: a time of now(). */
  #answerableAt = 0;
  /** Whether flush() is called at the end of this tick, or in a later turn. */
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
    limiter.onPaid = guarded(
      () => this.#onFirstPaid(),
      (error) => session.onWriteFault(error),
    );
  }

  override get heldBytes(): number {
    return this.#held.bytes;
  }

  /**
   * Messages that are written later do not count: with writes faster than the rate, the silence of
   * a peer that is gone would never begin.
   */
  override answerableSince(readAt: number): number {
    if (readAt !== this.#silentSince) {
      this.#silentSince = readAt;
      this.#awaitedCount = this.#held.count;
      this.#answerableAt = this.#sentAt;
    }
    return this.#awaitedCount > 0 ? Number.POSITIVE_INFINITY : Math.max(readAt, this.#answerableAt);
  }

  override get unsentBytes(): number {
    return super.unsentBytes + this.#held.bytes;
  }

  override get countedBytes(): number {
    return super.unsentBytes + this.#held.bytes + this.#held.overhead;
  }

  /** Called for each message, because `rate.out` counts them. */
  override writeAlone(output: ByteWriter): void {
    const isMessage = output.length > 0 || this.writesEachMessage;
    if (isMessage && !this.isStopped) this.#held.push(output.written);
    ByteWriter.setLength(output, 0);
    if (this.#isScheduled || this.#isFirstCounted) return;
    this.#isScheduled = true;
    flushSoon(this);
  }

  /** The tick ends, or the next turn begins. */
  flush(): void {
    this.#isScheduled = false;
    if (this.#isFirstCounted || this.isStopped) return;
    this.#release(true);
    // A connection whose system has taken all bytes at once does not call onTaken().
    this.#onReleased();
  }

  override flushBeforeClose(): void {
    if (!this.#isFirstCounted && !this.isStopped) this.#release(false);
    super.flushBeforeClose();
  }

  override flushAll(): void {
    const { count, bytes, first = 0 } = this.#held;
    if (this.#isFirstCounted) {
      this.#limiter.cancel(0, 0);
      this.#limiter.takeUnpaid(count - 1, bytes - first);
    } else this.#limiter.takeUnpaid(count, bytes);
    this.#isFirstCounted = false;
    this.#countSent(count);
    const parts: BytesPart[] = [];
    this.#held.moveAllTo(parts);
    this.#send(parts);
    super.flushAll();
  }

  override end(code: number | undefined, reason: string | undefined): void {
    if (this.#held.first === undefined) super.end(code, reason);
    else this.#end = { code, reason };
  }

  override stop(): void {
    super.stop();
    // The rate of an endpoint would else make others wait for what is never sent.
    if (this.#isFirstCounted) this.#limiter.cancel(1, this.#held.first ?? 0);
    this.#isFirstCounted = false;
    // Their bytes stay counted as not sent.
    this.#held.clear();
  }

  #onFirstPaid(): void {
    if (!this.#isFirstCounted) return;
    this.#isFirstCounted = false;
    this.#sentAt = now();
    this.#release(true, true);
    this.#onReleased();
  }

  /**
   * Sends messages until the rate is exceeded, and the others later. `endsWithTurn`: many messages
   * are divided among turns of the event loop.
   */
  #release(endsWithTurn: boolean, isFirstPaid = false): void {
    const parts: BytesPart[] = [];
    let isPaid = isFirstPaid;
    let units = 0;
    for (let length = this.#held.first; length !== undefined; length = this.#held.first) {
      if (!isPaid && !this.#limiter.take(1, length)) {
        this.#isFirstCounted = true;
        break;
      }
      isPaid = false;
      this.#held.moveFirstTo(parts);
      this.#countSent(1);
      if (this.writesEachMessage) this.#send(parts.splice(0));
      units += unitsOf(length);
      if (units < UNITS_PER_SPEND) continue;
      if (spend(units) && endsWithTurn) {
        this.#flushInNextTurn();
        break;
      }
      units = 0;
    }
    this.#send(parts);
    if (this.#held.first !== undefined || this.#end === undefined) return;
    this.flushPending();
    super.end(this.#end.code, this.#end.reason);
  }

  #countSent(count: number): void {
    if (this.#awaitedCount === 0) return;
    this.#awaitedCount = Math.max(0, this.#awaitedCount - count);
    if (this.#awaitedCount === 0) this.#answerableAt = now();
  }

  #flushInNextTurn(): void {
    this.#isScheduled = true;
    onNextTurn(
      guarded(
        () => this.flush(),
        (error) => this.session.onWriteFault(error),
      ),
    );
  }

  #send(parts: readonly BytesPart[]): void {
    for (const { buffer, start, end } of parts) {
      // A send() that waits does not know in which write() its message is.
      this.connection.requestWriteAck?.();
      const bytes = buffer.subarray(start, end);
      if (this.writesEachMessage) this.writeNow(bytes);
      else this.writeOrKeep(bytes);
    }
  }
}
