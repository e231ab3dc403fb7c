/** Which peers a server refuses by their number or address, and the counters of refused peers. */
import { notify } from '../core/callbacks.js';
import { gettyError, messageOf } from '../core/errors.js';
import { faultError } from '../core/guard.js';
import { warn } from '../core/warning.js';
import type { IncludesHost } from './proxies/address-list.js';
import { NO_REFUSALS, type RefusalReason, RefusedError } from './refused-error.js';
import type { Admission, Peer, ServerOptions } from './types.js';

/**
 * When all sessions are open, this many handshakes may still be in progress. A WebSocket request
 * beyond maxSessions is then answered with status 503. A connection beyond both limits is closed
 * before its handshake.
 */
const SPARE_HANDSHAKES = 16;
/** Milliseconds: the shortest time between two process warnings with the same code. */
const WARNING_INTERVAL = 60_000;

export interface AdmissionLimits
  extends Pick<ServerOptions, 'maxSessions' | 'maxSessionsPerAddress' | 'onRefused'> {
  /** ServerOptions.allow and deny. Undefined: the option is not given. */
  readonly isAllowed?: IncludesHost | undefined;
  readonly isDenied?: IncludesHost | undefined;
}

export class AdmissionControl implements Admission {
  readonly #refusals: Record<RefusalReason, number> = { ...NO_REFUSALS };
  readonly #serverAddress: () => string;
  readonly #maxSessions: number;
  readonly #maxSessionsPerAddress: number;
  readonly #limits: AdmissionLimits;
  #sessionCount = 0;
  #handshakeCount = 0;
  /**
   * Sessions per host. Empty without maxSessionsPerAddress. A host without sessions has no entry.
   */
  readonly #sessionsByHost = new Map<string, number>();
  /** Handshakes per host, as #sessionsByHost. */
  readonly #handshakesByHost = new Map<string, number>();
  /** Peers that a limit or behindProxy has refused since the last warning about that. */
  #unreportedRefusals = 0;
  /** The time of the last process warning of each code, by performance.now(). */
  readonly #warnedAt = new Map<string, number>();

  /** `serverAddress` returns the address for warnings: it is known when the server listens. */
  constructor(limits: AdmissionLimits, serverAddress: () => string) {
    this.#maxSessions = limits.maxSessions ?? Number.POSITIVE_INFINITY;
    this.#maxSessionsPerAddress = limits.maxSessionsPerAddress ?? Number.POSITIVE_INFINITY;
    this.#limits = limits;
    this.#serverAddress = serverAddress;
  }

  /** A copy of the counters. */
  get refusals(): Record<RefusalReason, number> {
    return { ...this.#refusals };
  }

  /** The error of the list or limit that forbids a session with `peer`. Undefined: allowed. */
  refusalOfSession(peer: Peer): RefusedError | undefined {
    const refusal = this.#addressRefusal(peer);
    if (refusal !== undefined) return refusal;
    if (this.#sessionCount >= this.#maxSessions) return this.#sessionLimitError();
    const host = this.#limitedHost(peer);
    if (host === undefined || (this.#sessionsByHost.get(host) ?? 0) < this.#maxSessionsPerAddress)
      return undefined;
    return this.#hostLimitError(host);
  }

  /**
   * The error of the list or limit that forbids a handshake with `peer`. Undefined: it is allowed.
   * Handshakes and sessions count together. `peer`: see Admission.
   */
  refusalBeforeHandshake(peer: Peer | undefined): RefusedError | undefined {
    const refusal = peer && this.#addressRefusal(peer);
    if (refusal !== undefined) return refusal;
    if (this.#sessionCount + this.#handshakeCount >= this.#maxSessions + SPARE_HANDSHAKES)
      return this.#sessionLimitError();
    const host = peer && this.#limitedHost(peer);
    if (host === undefined) return undefined;
    const count = (this.#sessionsByHost.get(host) ?? 0) + (this.#handshakesByHost.get(host) ?? 0);
    return count >= this.#maxSessionsPerAddress + SPARE_HANDSHAKES
      ? this.#hostLimitError(host)
      : undefined;
  }

  /** The error of a peer that `allow` or `deny` refuses. */
  #addressRefusal(peer: Peer): RefusedError | undefined {
    const { isAllowed, isDenied } = this.#limits;
    if (isAllowed === undefined && isDenied === undefined) return undefined;
    const host = hostOf(peer)?.replace(/^\[|\]$/g, '') ?? '';
    const isDeniedHost = isDenied?.(host) === true;
    if (!isDeniedHost && isAllowed?.(host) !== false) return undefined;
    const message = isDeniedHost
      ? `deny has the address ${host}`
      : `allow does not have the address ${host || '(unknown)'}`;
    return new RefusedError(message, { reason: 'address' });
  }

  #sessionLimitError(): RefusedError {
    return new RefusedError(`maxSessions, ${this.#maxSessions}, are open`, {
      status: 503,
      reason: 'limit',
    });
  }

  #hostLimitError(host: string): RefusedError {
    return new RefusedError(
      `maxSessionsPerAddress, ${this.#maxSessionsPerAddress}, are open from ${host}`,
      { status: 503, reason: 'limit' },
    );
  }

  /** The host of a peer. Undefined without maxSessionsPerAddress, or if the peer has no host. */
  #limitedHost(peer: Peer): string | undefined {
    // A socket creates its address when it is first read. Without a limit it is not read.
    return this.#maxSessionsPerAddress === Number.POSITIVE_INFINITY ? undefined : hostOf(peer);
  }

  countSession(peer: Peer, change: 1 | -1): void {
    this.#sessionCount += change;
    this.#countHost(this.#sessionsByHost, peer, change);
  }

  countHandshake(peer: Peer | undefined, change: 1 | -1): void {
    this.#handshakeCount += change;
    if (peer !== undefined) this.#countHost(this.#handshakesByHost, peer, change);
  }

  #countHost(counts: Map<string, number>, peer: Peer, change: 1 | -1): void {
    const host = this.#limitedHost(peer);
    if (host === undefined) return;
    const count = (counts.get(host) ?? 0) + change;
    if (count > 0) counts.set(host, count);
    else counts.delete(host);
  }

  /**
   * Counts a refusal and calls onRefused. Without onRefused, refusals by a limit, of a proxy, by an
   * invalid setup or by a fault are process warnings, at most one per minute and code.
   */
  reportRefusal(peer: Peer, error: RefusedError): void {
    const { reason } = error;
    this.#refusals[reason]++;
    const { onRefused } = this.#limits;
    if (onRefused !== undefined) {
      notify(
        () => onRefused(peer, error),
        (failure) =>
          this.warnOncePerMinute(
            gettyError('HANDLER_FAILED', `onRefused failed: ${messageOf(failure)}`, failure),
          ),
      );
    } else if (reason === 'limit' || reason === 'proxy') this.#warnAboutRefusals(peer, error);
    else if (reason === 'fault') this.warnOncePerMinute(error);
    else if ((error.cause as { code?: unknown } | undefined)?.code === 'BAD_OPTION')
      this.warnOncePerMinute(error.cause as Error & { code: string });
  }

  /**
   * Counts a refusal with the reason `fault`: handling the bytes of the peer threw `error` before
   * the peer had a session. The caller closes the connection.
   */
  reportFault(peer: Peer, error: unknown): void {
    const { message } = faultError(peer.remoteAddress, error);
    this.reportRefusal(
      peer,
      new RefusedError(message, { status: 500, reason: 'fault', cause: error }),
    );
  }

  #warnAboutRefusals(peer: Peer, { message }: RefusedError): void {
    this.#unreportedRefusals++;
    if (!this.#mayWarn('SESSION_REFUSED')) return;
    const summary = `peers refused at ${this.#serverAddress()}: ${this.#unreportedRefusals}, most recently ${peer.remoteAddress}: ${message}`;
    this.#unreportedRefusals = 0;
    warn(gettyError('SESSION_REFUSED', summary));
  }

  /**
   * Emits a process warning, unless one with the same code was emitted within the last minute. So
   * many peers do not cause many warnings.
   */
  warnOncePerMinute(error: Error & { code: string }): void {
    if (this.#mayWarn(error.code)) warn(error);
  }

  #mayWarn(code: string): boolean {
    const now = performance.now();
    if (now - (this.#warnedAt.get(code) ?? Number.NEGATIVE_INFINITY) < WARNING_INTERVAL)
      return false;
    this.#warnedAt.set(code, now);
    return true;
  }
}

/** The host in the address of a peer, an IPv6 address with brackets. Undefined: it has no host. */
function hostOf(peer: Peer): string | undefined {
  return /^[a-z]+:\/\/(.+):\d+$/.exec(peer.remoteAddress)?.[1];
}
