/** States by key, where the keys may be a stranger's. */

/** How often the states are looked through for idle ones when there is no room, in ms. */
const SWEEP_PERIOD = 1_000;

/**
 * At most `max` keys have a state of their own. When there are so many, idle ones make room; while there are none, further keys
 * share one state, so that nobody escapes a limit by coming under ever new names, and nobody is thrown out by it.
 */
export class KeyedStates<State> {
  readonly #make: () => State;
  readonly #isIdle: (state: State) => boolean;
  readonly #max: number;
  readonly #now: () => number;
  readonly #states = new Map<string, State>();
  #shared: State | undefined;
  #sweptAt = Number.NEGATIVE_INFINITY;

  /** `isIdle`: the state is as good as a new one. `now` in ms. */
  constructor(make: () => State, isIdle: (state: State) => boolean, max: number, now: () => number) {
    this.#make = make;
    this.#isIdle = isIdle;
    this.#max = max;
    this.#now = now;
  }

  get size(): number {
    return this.#states.size;
  }

  of(key: string): State {
    const known = this.#states.get(key);
    if (known !== undefined) return known;
    if (this.#states.size >= this.#max && !this.#makeRoom()) {
      this.#shared ??= this.#make();
      return this.#shared;
    }
    const state = this.#make();
    this.#states.set(key, state);
    return state;
  }

  #makeRoom(): boolean {
    const now = this.#now();
    // A flood of keys must not cost a walk each.
    if (now - this.#sweptAt < SWEEP_PERIOD) return false;
    this.#sweptAt = now;
    for (const [key, state] of this.#states) if (this.#isIdle(state)) this.#states.delete(key);
    return this.#states.size < this.#max;
  }
}
