/** Sends pings on a connection, and detects that the server does not answer. */
import { every } from '../../../transport/session/timer-wheel.js';

export interface MonitoredConnection {
  /** The bytes that were read so far. */
  bytesRead(): number | undefined;
  /** The requests that were answered so far. Undefined: none waits for an answer. */
  answeredRequests(): number | undefined;
  sendPing(): void;
  /** `silence`: milliseconds without a byte from the server. */
  onSilent(silence: number): void;
  /** `silence`: milliseconds in which the server has answered pings only. */
  onUnanswered(silence: number): void;
}

/**
 * Parts of the session's timeout. After SILENCE the connection is closed; the rest is for finding
 * another server. After UNANSWERED too: ZooKeeper answers the requests and pings of a session in
 * their order, so this server has no working ZooKeeper.
 */
const SILENCE = 2 / 3;
const UNANSWERED = 1;
const PING_AFTER = 1 / 3;
const CHECKS_PER_TIMEOUT = 24;
/**
 * One check adds at most timeout / MAX_CHECK_DIVISOR to the silence: a later check shows that this
 * process was busy or stopped.
 */
const MAX_CHECK_DIVISOR = 6;
/** Bytes. So many in one check are more than answers to pings: a part of a large answer. */
const ANSWER_BYTES = 256;

export class SilenceMonitor {
  readonly #connection: MonitoredConnection;
  /**
   * Milliseconds since the last byte of the server, without the time in which this process was busy
   * or stopped.
   */
  #silence = 0;
  #bytesRead: number | undefined;
  /** Milliseconds, as #silence, since a part of the answer to a request. */
  #unanswered = 0;
  #answered: number | undefined;
  #bytesChecked = 0;
  #writtenAt = 0;
  #checkedAt = 0;
  #stopTimer: () => void = () => {};

  constructor(connection: MonitoredConnection) {
    this.#connection = connection;
  }

  /** `timeout`: of the session, in milliseconds. */
  start(timeout: number): void {
    this.#checkedAt = performance.now();
    this.#stopTimer = every(Math.max(5, timeout / CHECKS_PER_TIMEOUT), () => this.#check(timeout));
  }

  stop(): void {
    this.#stopTimer();
  }

  onRead(): void {
    this.#silence = 0;
    this.#bytesRead = this.#connection.bytesRead();
  }

  onWrite(): void {
    this.#writtenAt = performance.now();
  }

  #countUnanswered(elapsed: number): void {
    const answered = this.#connection.answeredRequests();
    const bytes = this.#connection.bytesRead() ?? 0;
    const isAnswering = answered !== this.#answered || bytes - this.#bytesChecked >= ANSWER_BYTES;
    this.#unanswered = answered === undefined || isAnswering ? 0 : this.#unanswered + elapsed;
    this.#answered = answered;
    this.#bytesChecked = bytes;
  }

  /**
   * The timer wheel calls it after received bytes were read, so that a process that was stopped
   * does not count as a silent server.
   */
  #check(timeout: number): void {
    const now = performance.now();
    // While this process was busy or stopped it sent no ping, so the server had nothing to answer.
    const elapsed = Math.min(now - this.#checkedAt, timeout / MAX_CHECK_DIVISOR);
    this.#checkedAt = now;
    this.#silence += elapsed;
    this.#countUnanswered(elapsed);
    // A part of a frame counts as a sign of life.
    if (this.#connection.bytesRead() !== this.#bytesRead) this.onRead();
    if (this.#silence >= timeout * SILENCE) this.#connection.onSilent(this.#silence);
    else if (this.#unanswered >= timeout * UNANSWERED)
      this.#connection.onUnanswered(this.#unanswered);
    else if (now - this.#writtenAt >= timeout * (PING_AFTER - 1 / CHECKS_PER_TIMEOUT))
      this.#connection.sendPing();
  }
}
