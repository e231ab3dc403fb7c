/** The limits that hold for one direction of a session: its own, and that of its endpoint. */
import { MIN_PAUSE, type ResolvedLimit, type ResolvedRate } from './rate-options.js';
import { TokenBucket } from './token-bucket.js';

/** `rate.in` or `rate.out` of a session, or of all sessions of an endpoint together. */
export class RateLimit {
  /** For errors, such as `rate.in of the session`. */
  readonly name: string;
  readonly closes: boolean;
  readonly #messages: TokenBucket | undefined;
  readonly #bytes: TokenBucket | undefined;

  constructor(name: string, { messages, bytes, burst, over }: ResolvedLimit) {
    this.name = name;
    this.closes = over === 'close';
    this.#messages = messages === undefined ? undefined : new TokenBucket(messages, burst);
    this.#bytes = bytes === undefined ? undefined : new TokenBucket(bytes, burst);
  }

  get countsMessages(): boolean {
    return this.#messages !== undefined;
  }

  /** Counts messages and bytes. Returns after how many ms both are paid. */
  take(messages: number, bytes: number): number {
    return Math.max(this.#messages?.take(messages) ?? 0, this.#bytes?.take(bytes) ?? 0);
  }

  giveBack(messages: number, bytes: number): void {
    this.#messages?.giveBack(messages);
    this.#bytes?.giveBack(bytes);
  }

  /** Whether messages and bytes are within the limit now. */
  has(messages: number, bytes: number): boolean {
    return this.#messages?.has(messages) !== false && this.#bytes?.has(bytes) !== false;
  }

  /** Such as `100 messages and 5000 bytes a second`. */
  toString(): string {
    const parts = [
      this.#messages && `${this.#messages.rate} messages`,
      this.#bytes && `${this.#bytes.rate} bytes`,
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

/** All limits of one direction of one session. */
export class RateLimiter {
  readonly #pausing: readonly RateLimit[];
  readonly #closing: readonly RateLimit[];

  private constructor(limits: readonly RateLimit[]) {
    this.#pausing = limits.filter((limit) => !limit.closes);
    this.#closing = limits.filter((limit) => limit.closes);
  }

  /** Undefined if there is no limit. */
  static of(...limits: readonly (RateLimit | undefined)[]): RateLimiter | undefined {
    const given = limits.filter((limit) => limit !== undefined);
    return given.length === 0 ? undefined : new RateLimiter(given);
  }

  get countsMessages(): boolean {
    return [...this.#pausing, ...this.#closing].some((limit) => limit.countsMessages);
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
   * Counts messages and bytes for the limits that pause the session. Returns for how many ms the
   * session must wait before it handles them; 0: not at all.
   */
  delay(messages: number, bytes: number): number {
    let delay = 0;
    for (const limit of this.#pausing) delay = Math.max(delay, limit.take(messages, bytes));
    return delay === 0 ? 0 : Math.max(MIN_PAUSE, delay);
  }

  /** Undoes delay(), because the messages are not handled. */
  giveBack(messages: number, bytes: number): void {
    for (const limit of this.#pausing) limit.giveBack(messages, bytes);
  }
}
