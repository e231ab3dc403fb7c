/**
 * Which peers a server admits: its limits of sessions and handshakes, and the count of the peers
 * that it refuses.
 */
import { notify } from '../core/callbacks.js';
import { gettyError, messageOf } from '../core/errors.js';
import { faultError } from '../core/guard.js';
import { warn } from '../core/warning.js';
import { type RefusalReason, RefusedError } from './refused-error.js';
import type { Admission, Peer, ServerOptions } from './types.js';

/**
 * As many handshakes may be under way when all sessions are open: a WebSocket request that comes
 * then is answered with status 503, and a connection over that is closed at once.
 */
const SPARE_HANDSHAKES = 16;
/** The shortest time between two process warnings of one code, in ms. */
const BETWEEN_WARNINGS = 60_000;

type Limits = Pick<ServerOptions, 'maxSessions' | 'maxSessionsPerAddress' | 'onRefused'>;

export class AdmissionControl implements Admission {
  readonly #refusals: Record<RefusalReason, number> = {
    tls: 0,
    timeout: 0,
    request: 0,
    path: 0,
    host: 0,
    origin: 0,
    setup: 0,
    limit: 0,
    fault: 0,
  };
  readonly #addressOf: () => string;
  readonly #maxSessions: number;
  readonly #maxSessionsPerAddress: number;
  readonly #onRefused: ServerOptions['onRefused'];
  #sessions = 0;
  #handshakes = 0;
  /**
   * Sessions of each host, and handshakes of each host, where `maxSessionsPerAddress` is set; a
   * host without any has no entry.
   */
  readonly #sessionsOf = new Map<string, number>();
  readonly #handshakesOf = new Map<string, number>();
  /** Peers refused by a limit since the last warning of it. */
  #refusedByLimit = 0;
  /** When the process was last warned of a code, by performance.now(). */
  readonly #warnedAt = new Map<string, number>();

  /** `addressOf` returns the server's address, for warnings. */
  constructor(limits: Limits, addressOf: () => string) {
    this.#maxSessions = limits.maxSessions ?? Number.POSITIVE_INFINITY;
    this.#maxSessionsPerAddress = limits.maxSessionsPerAddress ?? Number.POSITIVE_INFINITY;
    this.#onRefused = limits.onRefused;
    this.#addressOf = addressOf;
  }

  /** A copy of the counters. */
  get refusals(): Record<RefusalReason, number> {
    return { ...this.#refusals };
  }

  /** The error of the limit that keeps the peer from a session, or undefined. */
  sessionLimit(peer: Peer): RefusedError | undefined {
    if (this.#sessions >= this.#maxSessions) return this.#allOpen();
    const host = this.#limitedHost(peer);
    if (host === undefined || (this.#sessionsOf.get(host) ?? 0) < this.#maxSessionsPerAddress)
      return undefined;
    return this.#allOpenFrom(host);
  }

  /**
   * The error of the limit that keeps the peer from a handshake, or undefined. Handshakes and
   * sessions count together.
   */
  handshakeLimit(peer: Peer): RefusedError | undefined {
    if (this.#sessions + this.#handshakes >= this.#maxSessions + SPARE_HANDSHAKES)
      return this.#allOpen();
    const host = this.#limitedHost(peer);
    if (host === undefined) return undefined;
    const count = (this.#sessionsOf.get(host) ?? 0) + (this.#handshakesOf.get(host) ?? 0);
    return count >= this.#maxSessionsPerAddress + SPARE_HANDSHAKES
      ? this.#allOpenFrom(host)
      : undefined;
  }

  #allOpen(): RefusedError {
    return new RefusedError(`maxSessions, ${this.#maxSessions}, are open`, {
      status: 503,
      reason: 'limit',
    });
  }

  #allOpenFrom(host: string): RefusedError {
    return new RefusedError(
      `maxSessionsPerAddress, ${this.#maxSessionsPerAddress}, are open from ${host}`,
      { status: 503, reason: 'limit' },
    );
  }

  /** The host of a peer, where sessions per host are limited and peers have hosts. */
  #limitedHost(peer: Peer): string | undefined {
    // A socket's address is made when it is first read. Without a limit it is not read.
    return this.#maxSessionsPerAddress === Number.POSITIVE_INFINITY
      ? undefined
      : /^[a-z]+:\/\/(.+):\d+$/.exec(peer.remoteAddress)?.[1];
  }

  countSession(peer: Peer, change: 1 | -1): void {
    this.#sessions += change;
    this.#countOf(this.#sessionsOf, peer, change);
  }

  countHandshake(peer: Peer, change: 1 | -1): void {
    this.#handshakes += change;
    this.#countOf(this.#handshakesOf, peer, change);
  }

  #countOf(counts: Map<string, number>, peer: Peer, change: 1 | -1): void {
    const host = this.#limitedHost(peer);
    if (host === undefined) return;
    const count = (counts.get(host) ?? 0) + change;
    if (count > 0) counts.set(host, count);
    else counts.delete(host);
  }

  /**
   * Counts a refusal and calls onRefused. Without onRefused, limits and wrong setups are process
   * warnings, at most one a minute.
   */
  refused(peer: Peer, error: RefusedError): void {
    const { reason } = error;
    this.#refusals[reason]++;
    const onRefused = this.#onRefused;
    if (onRefused !== undefined) {
      notify(
        () => onRefused(peer, error),
        (failure) =>
          this.warnSometimes(
            gettyError('HANDLER_FAILED', `onRefused failed: ${messageOf(failure)}`, failure),
          ),
      );
    } else if (reason === 'limit') this.#warnOfLimit(peer, error);
    else if (reason === 'fault') this.warnSometimes(error);
    else if ((error.cause as { code?: unknown } | undefined)?.code === 'BAD_OPTION')
      this.warnSometimes(error.cause as Error & { code: string });
  }

  /**
   * Handling what the peer sent threw `error` before there was a session. Its connection is closed
   * by the caller.
   */
  fault(peer: Peer, error: unknown): void {
    const { message } = faultError(peer.remoteAddress, error);
    this.refused(peer, new RefusedError(message, { status: 500, reason: 'fault', cause: error }));
  }

  #warnOfLimit(peer: Peer, { message }: RefusedError): void {
    this.#refusedByLimit++;
    if (!this.#mayWarn('SESSION_REFUSED')) return;
    const what = `${this.#refusedByLimit} refused at ${this.#addressOf()}, the last of them ${peer.remoteAddress}: ${message}`;
    this.#refusedByLimit = 0;
    warn(gettyError('SESSION_REFUSED', what));
  }

  /**
   * Warns the process, unless it was warned of the same code within the last minute: many peers
   * must not cause many warnings.
   */
  warnSometimes(error: Error & { code: string }): void {
    if (this.#mayWarn(error.code)) warn(error);
  }

  #mayWarn(code: string): boolean {
    const now = performance.now();
    if (now - (this.#warnedAt.get(code) ?? Number.NEGATIVE_INFINITY) < BETWEEN_WARNINGS)
      return false;
    this.#warnedAt.set(code, now);
    return true;
  }
}
