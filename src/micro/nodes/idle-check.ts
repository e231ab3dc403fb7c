/** Whether the connections of a node are in use, seen by periodic checks. */

/** How many checks in a row must find no use. */
export const IDLE_CHECKS = 4;

export class IdleCheck {
  #wasUsed = true;
  /** The calls received from the node until the last check. */
  #received = 0;
  /** Checks in a row that found no use. */
  #checks = 0;

  /** For each call to the node. */
  markUsed(): void {
    this.#wasUsed = true;
  }

  /** For a new client: begins to count the checks again. */
  reset(): void {
    this.#wasUsed = true;
    this.#checks = 0;
  }

  /**
   * Whether this check and the ones before, IDLE_CHECKS in all, found no use. `received`: the calls
   * received from the node. `isBusy`: whether calls are in flight.
   */
  isIdle(received: number, isBusy: boolean): boolean {
    const isUsed = this.#wasUsed || received !== this.#received || isBusy;
    this.#received = received;
    this.#wasUsed = false;
    this.#checks = isUsed ? 0 : this.#checks + 1;
    return this.#checks >= IDLE_CHECKS;
  }
}
