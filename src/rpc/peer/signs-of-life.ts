/** Frames that show a peer that this side is alive while it receives a large frame. */
import { now } from '../../transport/session/flush-scheduler.js';
import { ControlFrame } from '../wire/control-frames.js';
import type { PeerSession } from './peer-session.js';

/**
 * Milliseconds between two signs of life while a frame of the peer is incomplete. Shorter than the
 * silence after which a peer sends a heartbeat.
 */
const PERIOD = 200;

export class SignsOfLife {
  readonly #peer: PeerSession;
  /**
   * When the incomplete frame began to arrive, or the last sign of life since then was sent: a time
   * of now(). 0: no frame is incomplete.
   */
  #incompleteSince = 0;

  constructor(peer: PeerSession) {
    this.#peer = peer;
  }

  onCompleteFrame(): void {
    this.#incompleteSince = 0;
  }

  /**
   * To be called when more bytes of an incomplete frame have arrived. On a slow network the
   * heartbeat of the peer waits behind these bytes.
   */
  onIncompleteFrame(): void {
    // Math.ceil keeps the value an integer; V8 boxes doubles stored in fields.
    const time = Math.ceil(now());
    if (this.#incompleteSince === 0) this.#incompleteSince = time;
    else if (
      time - this.#incompleteSince >= PERIOD &&
      this.#peer.extended === true &&
      !this.#peer.closed
    ) {
      this.#incompleteSince = time;
      try {
        this.#peer.session?.write(ControlFrame.signOfLife());
      } catch {
        // The queue is full: the peer does not read, so it needs no sign of life.
      }
    }
  }
}
