/**
 * Whether the peer of a session supports the extensions of this package, or only the protocol of
 * Go. The first frame of the peer shows which.
 */
import { inTurns } from '../../core/turn.js';

export class PeerCapabilities {
  #extended: boolean | undefined;
  readonly #waiting = new Set<() => void>();

  /** Undefined before the first frame of the peer. */
  get extended(): boolean | undefined {
    return this.#extended;
  }

  /** To be called with each frame; only the first one counts. */
  learn(extended: boolean): void {
    if (this.#extended !== undefined) return;
    this.#extended = extended;
    this.settle();
  }

  /** How many callbacks of whenKnown() wait. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * Calls `callback` once: at once if the capabilities are known, otherwise when the first frame
   * arrives or the session closes. Returns a function that removes the callback.
   */
  whenKnown(callback: () => void): () => void {
    if (this.#extended !== undefined) {
      callback();
      return () => {};
    }
    this.#waiting.add(callback);
    return () => void this.#waiting.delete(callback);
  }

  /** Calls the callbacks that wait, because the session has closed. */
  settle(): void {
    inTurns([...this.#waiting], (callback) => {
      if (this.#waiting.delete(callback)) callback();
    });
  }
}
