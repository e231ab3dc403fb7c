/** The orderly end of a channel: goaway, and the wait until no call is in flight. */
import { atMost, LongTimer } from '../../core/timers.js';
import type { PeerSession } from '../peer/peer-session.js';
import type { Channel } from '../types.js';
import { ControlFrame } from '../wire/control-frames.js';

/**
 * Milliseconds that drain() waits for the first frame of a peer: it shows if the peer got goaway.
 */
const FIRST_FRAME_TIMEOUT = 200;

/**
 * Milliseconds after a goaway of the peer in which its own calls keep the session open, unless
 * drainTimeout is longer. Without a limit a server could make a client open any number of sessions.
 */
const PEER_CALLS_TIMEOUT = 60_000;

export class ChannelDrain {
  readonly #peer: PeerSession;
  readonly #channel: Pick<Channel, 'pending' | 'serving'>;
  /** Resolve the promises of callers that wait for an idle channel. */
  #waiters: (() => void)[] = [];
  readonly #drainTimeout: number;
  /** Runs from the first goaway of the peer on, if calls are in flight then. */
  #peerCallsTimer: LongTimer | undefined;
  /** The calls of the peer no longer keep the session open. */
  #areCallsOverdue = false;
  /** Made when a handler first asks for it, because most sessions need none. */
  #ending: AbortController | undefined;
  #isEnding = false;

  /** `drainTimeout`: in milliseconds. */
  constructor(
    peer: PeerSession,
    channel: Pick<Channel, 'pending' | 'serving'>,
    drainTimeout: number,
  ) {
    this.#peer = peer;
    this.#channel = channel;
    this.#drainTimeout = drainTimeout;
  }

  /** Sends goaway to an extended peer: it sends no new calls then. Waits for its first frame. */
  sendGoaway(): void {
    const peer = this.#peer;
    peer.capabilities.whenKnown(() => {
      if (peer.closed || peer.extended !== true) return;
      try {
        peer.session?.write(ControlFrame.goaway());
      } catch {
        // The queue is full. The peer will see the end of the session.
      }
    });
  }

  /** Aborts when close() is called. */
  get ending(): AbortSignal {
    if (this.#ending === undefined) {
      this.#ending = new AbortController();
      if (this.#isEnding) this.#ending.abort();
    }
    return this.#ending.signal;
  }

  /**
   * Ends the session in order: sends goaway, waits for calls in flight for at most `timeout` ms,
   * and closes the session.
   */
  async close(timeout: number): Promise<void> {
    this.#isEnding = true;
    this.#ending?.abort();
    this.sendGoaway();
    await atMost(timeout, this.drain());
    await this.#peer.session?.close();
  }

  /** A call has settled, of this side or of the peer. */
  onCallSettled(): void {
    if (this.#waiters.length > 0) this.#resolveWaiters();
    if (this.#peer.isGoingAway) this.#closeIfDone();
  }

  /** The peer has sent goaway: closes the session as soon as no call needs it. */
  onGoaway(): void {
    this.#closeIfDone();
    if (this.#isIdle || this.#peerCallsTimer !== undefined) return;
    const timeout = Math.max(PEER_CALLS_TIMEOUT, this.#drainTimeout);
    const onTimeout = (): void => {
      this.#areCallsOverdue = true;
      this.#closeIfDone();
    };
    this.#peerCallsTimer = new LongTimer(onTimeout, timeout, false);
  }

  /** The session is closed. */
  onClose(): void {
    this.#peerCallsTimer?.cancel();
    this.#resolveWaiters();
  }

  get #isIdle(): boolean {
    return this.#channel.pending === 0 && this.#channel.serving === 0;
  }

  #closeIfDone(): void {
    if (this.#isIdle || (this.#areCallsOverdue && this.#channel.pending === 0))
      void this.#peer.session?.close();
  }

  /** Settles when no call is in flight in either direction, or the session is closed. */
  async idle(): Promise<void> {
    while (!this.#peer.closed && !this.#isIdle) await this.#nextSettledCall();
  }

  /** Settles when no call is in flight, and a peer that received goaway has closed the session. */
  async drain(): Promise<void> {
    const peer = this.#peer;
    if (peer.extended === undefined && !peer.closed)
      await atMost(
        FIRST_FRAME_TIMEOUT,
        new Promise<void>((resolve) => void peer.capabilities.whenKnown(resolve)),
      );
    await this.idle();
    // Datagrams have no end of a session.
    while (!peer.closed && peer.extended === true && peer.session?.lossy === false)
      await this.#nextSettledCall();
  }

  #nextSettledCall(): Promise<void> {
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  #resolveWaiters(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const resolve of waiters) resolve();
  }
}
