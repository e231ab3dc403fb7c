/** Detects that a peer does not respond: it has pending requests and has sent nothing. */

/**
 * Milliseconds of silence, while calls are pending, after which a heartbeat is sent. It doubles
 * with each such heartbeat that is answered, until a call starts or settles.
 */
const INITIAL_SILENCE_LIMIT = 500;
/** Milliseconds from a heartbeat to the point at which the peer counts as unresponsive. */
const OVERDUE_DELAY = 250;
/**
 * If two checks are this many milliseconds apart, this process was suspended. It could not read
 * bytes of the peer meanwhile.
 */
const MIN_SUSPENSION = 250;

/** The input of one check. */
export interface LivenessSample {
  /** When bytes of the peer last arrived; see Session.active. */
  readonly active: number;
  /**
   * How many calls have started and settled. A change sets the silence limit to
   * INITIAL_SILENCE_LIMIT.
   */
  readonly callEvents: number;
  /** A time of now(). */
  readonly time: number;
}

export class Liveness {
  /** A heartbeat was sent, and nothing has arrived for OVERDUE_DELAY ms. */
  isOverdue = false;
  readonly #maxSilence: number;
  /** Milliseconds of silence before the next heartbeat. */
  #silenceLimit = INITIAL_SILENCE_LIMIT;
  #active = 0;
  #callEvents = 0;
  #silentSince = 0;
  /** When the unanswered heartbeat was sent; 0: there is none. */
  #heartbeatAt = 0;
  /** The unanswered heartbeat was sent because of the silence. */
  #isForSilence = false;
  /** A heartbeat was answered after the last check. */
  #wasAnswered = false;
  /** 0: there was no check since suspend(). */
  #checkedAt = 0;
  #suspendedAt = Number.NEGATIVE_INFINITY;

  /** `maxSilence`: the upper limit of the silence before a heartbeat, in milliseconds. */
  constructor(maxSilence: number) {
    this.#maxSilence = maxSilence;
  }

  /** A heartbeat was sent, and nothing has arrived since. */
  get isHeartbeatPending(): boolean {
    return this.#heartbeatAt > 0 && !this.#wasAnswered;
  }

  /**
   * `isForSilence`: check() has returned true. The answers to other heartbeats, such as those of an
   * idle session, do not change how soon the next silence is detected.
   */
  onHeartbeatSent(active: number, time: number, isForSilence: boolean): void {
    if (this.isHeartbeatPending) return;
    this.#heartbeatAt = time;
    this.#wasAnswered = false;
    this.#isForSilence = isForSilence;
    this.#active = active;
  }

  /**
   * `active` is in whole milliseconds, so it does not show an answer that arrives in the same
   * millisecond as the bytes before it.
   */
  onHeartbeatAnswered(): void {
    this.#wasAnswered = true;
  }

  /**
   * To be called many times a second while a request is pending. Returns true if the peer has sent
   * nothing for so long that a heartbeat is due.
   */
  check({ active, callEvents, time }: LivenessSample): boolean {
    if (this.#checkedAt > 0 && time - this.#checkedAt > MIN_SUSPENSION) this.#onSuspension(time);
    else if (this.#checkedAt === 0) this.#silentSince = time;
    this.#checkedAt = time;
    if (callEvents !== this.#callEvents) {
      this.#callEvents = callEvents;
      this.#silenceLimit = INITIAL_SILENCE_LIMIT;
    }
    if (active !== this.#active || this.#wasAnswered) {
      if (this.#heartbeatAt > 0 && this.#isForSilence)
        this.#silenceLimit = Math.min(this.#silenceLimit * 2, this.#maxSilence);
      this.#active = active;
      this.#silentSince = time;
      this.#heartbeatAt = 0;
      this.#wasAnswered = false;
      this.isOverdue = false;
      return false;
    }
    if (this.#heartbeatAt > 0) {
      if (time - this.#heartbeatAt >= OVERDUE_DELAY) this.isOverdue = true;
      return false;
    }
    return time - this.#silentSince >= this.#silenceLimit;
  }

  #onSuspension(time: number): void {
    this.#suspendedAt = time;
    this.#silentSince = time;
    if (this.#heartbeatAt > 0) this.#heartbeatAt = time;
  }

  /** No request is pending, so the checks stop. */
  stopChecks(): void {
    this.#checkedAt = 0;
  }

  /** Whether this process was suspended after `time`. */
  wasSuspendedSince(time: number): boolean {
    return this.#suspendedAt > time;
  }
}
