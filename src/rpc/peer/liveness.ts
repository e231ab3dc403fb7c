/** Detects that a peer does not respond: it has pending requests and has sent nothing. */

/**
 * Milliseconds of silence, while calls are pending, after which a heartbeat is sent. It doubles
 * while the peer answers only heartbeats.
 */
const SILENCE = 500;
/** Milliseconds from a heartbeat to the point at which the peer counts as unresponsive. */
const OVERDUE = 250;
/**
 * If two checks are this many milliseconds apart, this process was suspended. It could not read
 * bytes of the peer meanwhile.
 */
const SUSPENSION = 250;

/** The input of one check. */
export interface LivenessSample {
  /** When bytes of the peer last arrived; see Session.active. */
  readonly active: number;
  /** How many calls have settled. A higher value shows that the peer answers calls too. */
  readonly settled: number;
  /** A time of now(). */
  readonly time: number;
}

export class Liveness {
  /** A heartbeat was sent, and nothing has arrived for OVERDUE ms. */
  isOverdue = false;
  readonly #maxSilence: number;
  /** Milliseconds of silence before the next heartbeat. */
  #silenceLimit = SILENCE;
  #active = 0;
  #settled = 0;
  #silentSince = 0;
  /** When the unanswered heartbeat was sent; 0: there is none. */
  #heartbeatAt = 0;
  /** 0: there was no check since suspend(). */
  #checkedAt = 0;
  #suspendedAt = Number.NEGATIVE_INFINITY;

  /** `maxSilence`: the upper limit of the silence before a heartbeat, in milliseconds. */
  constructor(maxSilence: number) {
    this.#maxSilence = maxSilence;
  }

  /** A heartbeat was sent, and nothing has arrived since. */
  get isHeartbeatPending(): boolean {
    return this.#heartbeatAt > 0;
  }

  onHeartbeatSent(active: number, time: number): void {
    if (this.#heartbeatAt > 0) return;
    this.#heartbeatAt = time;
    this.#active = active;
  }

  /**
   * To be called many times a second while a request is pending. Returns true if the peer has sent
   * nothing for so long that a heartbeat is due.
   */
  check({ active, settled, time }: LivenessSample): boolean {
    if (this.#checkedAt > 0 && time - this.#checkedAt > SUSPENSION) this.#onSuspension(time);
    else if (this.#checkedAt === 0) this.#silentSince = time;
    this.#checkedAt = time;
    if (settled !== this.#settled) {
      this.#settled = settled;
      this.#silenceLimit = SILENCE;
    }
    if (active !== this.#active) {
      if (this.#heartbeatAt > 0)
        this.#silenceLimit = Math.min(this.#silenceLimit * 2, this.#maxSilence);
      this.#active = active;
      this.#silentSince = time;
      this.#heartbeatAt = 0;
      this.isOverdue = false;
      return false;
    }
    if (this.#heartbeatAt > 0) {
      if (time - this.#heartbeatAt >= OVERDUE) this.isOverdue = true;
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
