import { LongTimer } from '../../core/timers.js';
import { inTurns } from '../../core/turn.js';
import { now } from '../session/flush-scheduler.js';
import { MIN_PAUSE } from './rate-options.js';

/** A debt below this number of tokens is a rounding error. */
const ROUNDING = 1e-6;
/** Milliseconds. A timer may end this much too early. */
const TIMER_PRECISION = 1;

/** The place of a caller in the queue of a bucket. */
export class Ticket {
  /** Called when the tokens of the caller are paid. It must not throw. */
  readonly onPaid: () => void;
  isQueued = false;
  /** How many tokens were taken after those of the previous ticket, with those of this one. */
  tokens = 0;
  previous: Ticket | undefined;
  next: Ticket | undefined;

  constructor(onPaid: () => void) {
    this.onPaid = onPaid;
  }
}

/**
 * Tokens that are added at a constant rate, until the bucket is full. Callers may leave the bucket
 * in debt: then each waits until its own tokens are paid, so callers of one bucket take turns. If
 * one gives its tokens back, those behind it wait less. Time is that of now().
 */
export class TokenBucket {
  /** Tokens per second. */
  readonly rate: number;
  readonly #capacity: number;
  /** Negative: the debt. */
  #tokens: number;
  #updatedAt = now();
  /** The queue is a linked list: sessions that wait for long can end in any order. */
  #first: Ticket | undefined;
  #last: Ticket | undefined;
  /** How many tokens were taken after those of the first ticket, and of the last. */
  #takenAfterFirst = 0;
  #takenAfterLast = 0;
  /** Ends when the first ticket is paid, or before. */
  #timer: LongTimer | undefined;
  #timerEnd = 0;

  /** `rate`: tokens per second. `burst`: how long it takes to fill the bucket, in ms. */
  constructor(rate: number, burst: number) {
    this.rate = rate;
    // A message takes one token, which must fit.
    this.#capacity = Math.max(1, (rate * burst) / 1_000);
    this.#tokens = this.#capacity;
  }

  /** Takes `count` tokens. Returns after how many ms they are paid; 0: at once. */
  take(count: number): number {
    if (count === 0) return 0;
    this.#refill();
    this.#tokens -= count;
    if (this.#first !== undefined) {
      this.#takenAfterFirst += count;
      this.#takenAfterLast += count;
    }
    return this.#delayOf(-this.#tokens);
  }

  /**
   * Takes `count` tokens. Returns true if they are paid. If not, `ticket` moves to the end of the
   * queue, and onPaid() is called when they are, after at least MIN_PAUSE.
   */
  takeInTurn(count: number, ticket: Ticket): boolean {
    if (this.take(count) === 0) return true;
    if (ticket.isQueued) this.#remove(ticket);
    this.#append(ticket);
    this.#schedule();
    return false;
  }

  /** Returns tokens that were taken and are not used. They may be paid. */
  giveBack(count: number): void {
    if (count === 0) return;
    this.#refill();
    this.#tokens = Math.min(this.#capacity, this.#tokens + count);
    this.#schedule();
  }

  /** Ends the wait of `ticket`, if it waits. `count`: as giveBack(), of its last takeInTurn(). */
  cancel(ticket: Ticket, count: number): void {
    if (!ticket.isQueued) return this.giveBack(count);
    if (ticket.previous !== undefined) {
      // The tickets before it wait as long as before.
      ticket.tokens -= count;
      this.#takenAfterFirst -= count;
    }
    this.#remove(ticket);
    this.#tokens += count;
    this.#schedule();
  }

  /** Whether take() would return 0. */
  has(count: number): boolean {
    this.#refill();
    return count === 0 || this.#tokens - count > -ROUNDING;
  }

  #refill(): void {
    const time = now();
    const added = ((time - this.#updatedAt) * this.rate) / 1_000;
    this.#updatedAt = time;
    this.#tokens = Math.min(this.#capacity, this.#tokens + added);
  }

  /** Milliseconds. */
  #delayOf(debt: number): number {
    return debt < ROUNDING ? 0 : (debt / this.rate) * 1_000;
  }

  #append(ticket: Ticket): void {
    const last = this.#last;
    ticket.isQueued = true;
    ticket.tokens = this.#takenAfterLast;
    this.#takenAfterLast = 0;
    ticket.previous = last;
    if (last === undefined) this.#first = ticket;
    else last.next = ticket;
    this.#last = ticket;
  }

  /** The tokens of `ticket` stay taken: the tickets behind it wait as long as before. */
  #remove(ticket: Ticket): void {
    const { previous, next } = ticket;
    if (previous === undefined) {
      this.#first = next;
      this.#takenAfterFirst = next === undefined ? 0 : this.#takenAfterFirst - next.tokens;
    } else previous.next = next;
    if (next !== undefined) {
      next.previous = previous;
      next.tokens += ticket.tokens;
    } else {
      this.#last = previous;
      this.#takenAfterLast = previous === undefined ? 0 : this.#takenAfterLast + ticket.tokens;
    }
    ticket.isQueued = false;
    ticket.previous = undefined;
    ticket.next = undefined;
  }

  get #delayOfFirst(): number {
    return this.#delayOf(-this.#tokens - this.#takenAfterFirst);
  }

  /** Never postpones the timer: tickets that come and go must not delay the others. */
  #schedule(): void {
    if (this.#first === undefined) {
      this.#timer?.cancel();
      this.#timer = undefined;
      return;
    }
    this.#refill();
    const delay = Math.max(MIN_PAUSE, this.#delayOfFirst);
    const end = now() + delay;
    if (this.#timer !== undefined && this.#timerEnd <= end) return;
    this.#timer?.cancel();
    this.#timerEnd = end;
    this.#timer = new LongTimer(() => this.#callPaid(), delay);
  }

  #callPaid(): void {
    this.#timer = undefined;
    this.#refill();
    const paid: Ticket[] = [];
    for (
      let first = this.#first;
      first !== undefined && this.#delayOfFirst < TIMER_PRECISION;
      first = this.#first
    ) {
      this.#remove(first);
      paid.push(first);
    }
    this.#schedule();
    inTurns(paid, (ticket) => ticket.onPaid());
  }
}
