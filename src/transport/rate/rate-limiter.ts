/** The limits that hold for one direction of a session: its own, and that of its endpoint. */
import type { ResolvedLimit, ResolvedRate } from './rate-options.js';
import { Ticket, TokenBucket } from './token-bucket.js';

/** `rate.in` or `rate.out` of a session, or of all sessions of an endpoint together. */
export class RateLimit {
  /** For errors, such as `rate.in of the session`. */
  readonly name: string;
  readonly closes: boolean;
  readonly messages: TokenBucket | undefined;
  readonly bytes: TokenBucket | undefined;

  constructor(name: string, { messages, bytes, burst, over }: ResolvedLimit) {
    this.name = name;
    this.closes = over === 'close';
    this.messages = messages === undefined ? undefined : new TokenBucket(messages, burst);
    this.bytes = bytes === undefined ? undefined : new TokenBucket(bytes, burst);
  }

  /** Counts messages and bytes. */
  take(messages: number, bytes: number): void {
    this.messages?.take(messages);
    this.bytes?.take(bytes);
  }

  /** Whether messages and bytes are within the limit now. */
  has(messages: number, bytes: number): boolean {
    return this.messages?.has(messages) !== false && this.bytes?.has(bytes) !== false;
  }

  /** Such as `100 messages and 5000 bytes a second`. */
  toString(): string {
    const parts = [
      this.messages && `${this.messages.rate} messages`,
      this.bytes && `${this.bytes.rate} bytes`,
    ];
    return `${parts.filter((part) => part !== undefined).join(' and ')} a second`;
  }
}

/** The limits of both directions. */
export interface RateLimits {
  readonly in: RateLimit | undefined;
  readonly out: RateLimit | undefined;
}

/** `owner`: `session`, `server` or `client`. Each call makes new limits. */
export function rateLimitsOf(rate: ResolvedRate, owner: string): RateLimits {
  return {
    in: rate.in && new RateLimit(`rate.in of the ${owner}`, rate.in),
    out: rate.out && new RateLimit(`rate.out of the ${owner}`, rate.out),
  };
}

/** A bucket of a limit that pauses the session, and the place of the session in its queue. */
interface Share {
  readonly bucket: TokenBucket;
  readonly countsMessages: boolean;
  readonly ticket: Ticket;
}

/** All limits of one direction of one session. */
export class RateLimiter {
  readonly countsMessages: boolean;
  /** Called when everything that was taken is paid, after take() has returned false. */
  onPaid = (): void => {};
  readonly #closing: readonly RateLimit[];
  readonly #shares: readonly Share[];
  #isWaiting = false;

  private constructor(limits: readonly RateLimit[]) {
    this.countsMessages = limits.some((limit) => limit.messages !== undefined);
    this.#closing = limits.filter((limit) => limit.closes);
    const pausing = limits.filter((limit) => !limit.closes);
    this.#shares = pausing.flatMap(({ messages, bytes }) => [
      ...this.#sharesOf(messages, true),
      ...this.#sharesOf(bytes, false),
    ]);
  }

  /** Undefined if there is no limit. */
  static of(...limits: readonly (RateLimit | undefined)[]): RateLimiter | undefined {
    const given = limits.filter((limit) => limit !== undefined);
    return given.length === 0 ? undefined : new RateLimiter(given);
  }

  #sharesOf(bucket: TokenBucket | undefined, countsMessages: boolean): Share[] {
    if (bucket === undefined) return [];
    return [{ bucket, countsMessages, ticket: new Ticket(() => this.#onBucketPaid()) }];
  }

  /**
   * Counts messages and bytes for the limits that close the session. If they exceed one of these
   * limits, nothing is counted, and that limit is returned.
   */
  takeUnlessExceeded(messages: number, bytes: number): RateLimit | undefined {
    const exceeded = this.#closing.find((limit) => !limit.has(messages, bytes));
    if (exceeded === undefined) for (const limit of this.#closing) limit.take(messages, bytes);
    return exceeded;
  }

  /**
   * Counts messages and bytes for the limits that pause the session. Returns whether they are paid.
   * If not, onPaid() is called when they are.
   */
  take(messages: number, bytes: number): boolean {
    let isPaid = true;
    for (const { bucket, countsMessages, ticket } of this.#shares)
      if (!bucket.takeInTurn(countsMessages ? messages : bytes, ticket)) isPaid = false;
    if (!isPaid) this.#isWaiting = true;
    return isPaid;
  }

  /** As take(), for messages that do not wait. Others wait for what they take. */
  takeUnpaid(messages: number, bytes: number): void {
    for (const { bucket, countsMessages } of this.#shares)
      bucket.take(countsMessages ? messages : bytes);
  }

  /**
   * Ends the wait. `messages` and `bytes`: what the last take() has counted and is not used, so
   * that sessions of the same limit do not wait for it.
   */
  cancel(messages: number, bytes: number): void {
    this.#isWaiting = false;
    for (const { bucket, countsMessages, ticket } of this.#shares)
      bucket.cancel(ticket, countsMessages ? messages : bytes);
  }

  #onBucketPaid(): void {
    if (!this.#isWaiting || this.#shares.some(({ ticket }) => ticket.isQueued)) return;
    this.#isWaiting = false;
    this.onPaid();
  }
}
