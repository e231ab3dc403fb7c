/** Whether the peer of a channel owes a sign of life. */

/**
 * Milliseconds of silence, while calls wait, after which the peer is asked for a sign of life. It
 * doubles while only heartbeats are answered.
 */
const SILENCE = 500;
/** Milliseconds that a sign of life may take before calls go elsewhere. */
const OVERDUE = 250;
/**
 * Milliseconds between two looks that show that this process stood still. The peer's silence says
 * nothing then.
 */
const STANDSTILL = 250;

/** What one look needs to know. */
export interface Signs {
  /** When the peer was last heard; see Session.active. */
  readonly active: number;
  /**
   * Calls that are over: more of them than before mean that the peer does more than answer
   * heartbeats.
   */
  readonly settled: number;
  /** An instant of now(). */
  readonly time: number;
}

export class Liveness {
  /** The peer was asked and has said nothing for OVERDUE ms. */
  isOverdue = false;
  readonly #longestSilence: number;
  #patience = SILENCE;
  #active = 0;
  #settled = 0;
  #silentSince = 0;
  /** When the heartbeat was sent that no sign of life has followed; 0: there is none. */
  #askedAt = 0;
  #lookedAt = 0;
  #stoodStillAt = Number.NEGATIVE_INFINITY;

  /** `longestSilence`: milliseconds after which the peer is asked at the latest. */
  constructor(longestSilence: number) {
    this.#longestSilence = longestSilence;
  }

  /** A heartbeat was sent, and no sign of life has followed yet. */
  get isAsked(): boolean {
    return this.#askedAt > 0;
  }

  /** A heartbeat was sent. */
  asked(active: number, time: number): void {
    if (this.#askedAt > 0) return;
    this.#askedAt = time;
    this.#active = active;
  }

  /**
   * Looks at the peer; to be called many times a second while something waits for it. True: it has
   * been silent for long, ask it.
   */
  look({ active, settled, time }: Signs): boolean {
    if (this.#lookedAt > 0 && time - this.#lookedAt > STANDSTILL) this.#stoodStill(time);
    else if (this.#lookedAt === 0) this.#silentSince = time;
    this.#lookedAt = time;
    if (settled !== this.#settled) {
      this.#settled = settled;
      this.#patience = SILENCE;
    }
    if (active !== this.#active) {
      if (this.#askedAt > 0) this.#patience = Math.min(this.#patience * 2, this.#longestSilence);
      this.#active = active;
      this.#silentSince = time;
      this.#askedAt = 0;
      this.isOverdue = false;
      return false;
    }
    if (this.#askedAt > 0) {
      if (time - this.#askedAt >= OVERDUE) this.isOverdue = true;
      return false;
    }
    return time - this.#silentSince >= this.#patience;
  }

  #stoodStill(time: number): void {
    this.#stoodStillAt = time;
    this.#silentSince = time;
    if (this.#askedAt > 0) this.#askedAt = time;
  }

  /** Nothing waits any more, so there are no looks for a while. */
  rest(): void {
    this.#lookedAt = 0;
  }

  /** Whether this process stood still after `time`. */
  stoodStillSince(time: number): boolean {
    return this.#stoodStillAt > time;
  }
}
