/** Sends heartbeats, and detects from their answers that the peer does not respond. */
import type { ByteWriter } from '../../transport/buffers/byte-writer.js';
import { now } from '../../transport/session/flush-scheduler.js';
import type { Session } from '../../transport/types.js';
import { OutgoingRequest } from '../calls/outgoing-request.js';
import { RpcError } from '../errors.js';
import type { SessionCallCounter } from '../metrics/statistics.js';
import { beginFrame, CODE, CODEC_NUMBER, COMMAND } from '../wire/frame.js';
import { EXTENDED_REQUEST } from '../wire/request.js';
import { FrameIds } from '../wire/sequence.js';
import { Liveness } from './liveness.js';
import type { PeerSession } from './peer-session.js';

/** The longest silence of the peer if there are no periodic heartbeats. Milliseconds. */
const MAX_SILENCE = 15_000;

/** Times are in milliseconds. */
export interface HeartbeatSetup {
  /** 0: none. */
  readonly heartbeatPeriod: number;
  readonly heartbeatTimeout: number;
}

class Heartbeat extends OutgoingRequest {
  readonly #liveness: Liveness;
  readonly #onExpired: () => void;

  /** `onExpired` is called when no answer has arrived in time. */
  constructor(liveness: Liveness, onExpired: () => void) {
    super();
    this.#liveness = liveness;
    this.#onExpired = onExpired;
  }

  override get isCall(): boolean {
    return false;
  }

  write(output: ByteWriter): void {
    const ids = new FrameIds(EXTENDED_REQUEST, this);
    beginFrame(output, COMMAND.heartbeat, CODE.ok, CODEC_NUMBER.json, ids);
  }

  answer(): void {
    this.#liveness.onHeartbeatAnswered();
  }

  fail(): void {}

  expire(): void {
    this.#onExpired();
  }
}

export class Heartbeats {
  readonly #setup: HeartbeatSetup;
  readonly #peer: PeerSession;
  readonly #callCounter: SessionCallCounter;
  readonly #liveness: Liveness;
  readonly #addPending: (heartbeat: OutgoingRequest) => void;

  /**
   * `callCounter`: the counts of the calls of this side. `addPending` keeps a heartbeat until its
   * answer.
   */
  constructor(
    setup: HeartbeatSetup,
    peer: PeerSession,
    callCounter: SessionCallCounter,
    addPending: (heartbeat: OutgoingRequest) => void,
  ) {
    this.#setup = setup;
    this.#peer = peer;
    this.#callCounter = callCounter;
    this.#addPending = addPending;
    this.#liveness = new Liveness(setup.heartbeatPeriod || MAX_SILENCE);
  }

  /** False while a heartbeat is overdue: other channels are more likely to answer calls. */
  get isResponsive(): boolean {
    return !this.#liveness.isOverdue;
  }

  /**
   * Sends a heartbeat if the peer has sent nothing for long while calls are pending. So calls to a
   * frozen peer need not wait for their deadlines. Returns true when isResponsive has changed.
   */
  check(hasPendingCalls: boolean): boolean {
    const { session } = this.#peer;
    if (session === undefined || session.closed) return false;
    const { started, succeeded, failed } = this.#callCounter;
    const wasOverdue = this.#liveness.isOverdue;
    const isDue = this.#liveness.check({
      active: session.active,
      callEvents: started + succeeded + failed,
      time: now(),
    });
    if (isDue && hasPendingCalls) this.#sendIfIdle(true);
    return this.#liveness.isOverdue !== wasOverdue;
  }

  /** No request is pending, so check() is not called until the next one. */
  stopChecks(): void {
    this.#liveness.stopChecks();
  }

  /** Sends a heartbeat to an extended peer, unless one is pending. */
  sendIfIdle(): void {
    this.#sendIfIdle(false);
  }

  #sendIfIdle(isForSilence: boolean): void {
    if (
      this.#peer.extended === true &&
      this.#setup.heartbeatPeriod > 0 &&
      !this.#liveness.isHeartbeatPending
    )
      this.send(true, isForSilence);
  }

  /**
   * Sends a heartbeat. `isRequired`: the session is closed when no byte of the peer arrives within
   * heartbeatTimeout. `isForSilence`: as in Liveness.onHeartbeatSent().
   */
  send(isRequired: boolean, isForSilence = false): void {
    const { session } = this.#peer;
    if (session === undefined || session.closed) return;
    const sentAt = now();
    const { active, queuedBytes } = session;
    const flushed = flushedBytes(session);
    const heartbeat = new Heartbeat(this.#liveness, () => {
      if (session.active > active) return;
      // The heartbeat waits behind bytes that the operating system still takes: the network is
      // slow.
      const isQueued = queuedBytes > 0 && flushedBytes(session) > flushed;
      // While this process was suspended, the answer could not be read.
      if (isQueued || this.#liveness.wasSuspendedSince(sentAt)) this.send(isRequired);
      else if (isRequired) this.#closeSession();
    });
    heartbeat.deadline = sentAt + this.#setup.heartbeatTimeout;
    this.#liveness.onHeartbeatSent(active, sentAt, isForSilence);
    this.#addPending(heartbeat);
    try {
      session.write(heartbeat);
    } catch {
      // The queue is full. The heartbeat expires like one that was sent: a peer that neither reads
      // nor sends is lost.
    }
  }

  #closeSession(): void {
    this.#peer.session?.destroy(
      new RpcError(
        'UNAVAILABLE',
        `${this.#peer.address} did not answer a heartbeat within ${this.#setup.heartbeatTimeout} ms`,
      ),
    );
  }
}

/** Bytes of the session that the operating system has taken. */
function flushedBytes({
  stats,
  queuedBytes,
}: Pick<Session<never, never>, 'stats' | 'queuedBytes'>): number {
  return stats.bytesWritten - queuedBytes;
}
