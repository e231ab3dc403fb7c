/**
 * What the peer of a session speaks: the plain Go protocol, or the extensions too. It is known from
 * its first word on.
 */
import { inTurns } from '../../core/turn.js';

export class Dialect {
  #extended: boolean | undefined;
  readonly #waiting = new Set<() => void>();

  /** Undefined before the peer's first word. */
  get extended(): boolean | undefined {
    return this.#extended;
  }

  /** The first word counts. */
  learn(extended: boolean): void {
    if (this.#extended !== undefined) return;
    this.#extended = extended;
    this.settle();
  }

  /** Calls and others that wait to know. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * `act` is called, once, as soon as it is known, or when it never will be; now when it is.
   * Answers what takes it back.
   */
  whenKnown(act: () => void): () => void {
    if (this.#extended !== undefined) {
      act();
      return () => {};
    }
    this.#waiting.add(act);
    return () => void this.#waiting.delete(act);
  }

  /** The session is over, so nobody needs to wait any more. */
  settle(): void {
    inTurns([...this.#waiting], (act) => {
      if (this.#waiting.delete(act)) act();
    });
  }
}
