/** States by key, where the keys may be a stranger's. */

/** How often the states are looked through for idle ones when there is no room, in ms. */
const SWEEP_PERIOD = 1_000;

/**
 * How many characters all keys may have together: so many for each of the most keys, and no fewer
 * than MIN_CHARACTERS.
 */
const CHARACTERS_PER_KEY = 256;
const MIN_CHARACTERS = 65_536;

/**
 * At most `max` keys have a state of their own, and together these have at most 256 characters for
 * each of `max` (65,536 if that is more). When there are so many, idle ones make room; while there
 * are none, further keys share one state, so that nobody escapes a limit by coming under ever new
 * names, and nobody is thrown out by it.
 */
export class KeyedStates<State> {
  readonly #make: () => State;
  readonly #isIdle: (state: State) => boolean;
  readonly #max: number;
  readonly #maxCharacters: number;
  readonly #now: () => number;
  readonly #states = new Map<string, State>();
  /** Of all keys. */
  #characters = 0;
  #shared: State | undefined;
  #sweptAt = Number.NEGATIVE_INFINITY;

  /** `isIdle`: the state is as good as a new one. `now` in ms. */
  constructor(
    make: () => State,
    isIdle: (state: State) => boolean,
    max: number,
    now: () => number,
  ) {
    this.#make = make;
    this.#isIdle = isIdle;
    this.#max = max;
    this.#maxCharacters = Math.max(MIN_CHARACTERS, max * CHARACTERS_PER_KEY);
    this.#now = now;
  }

  get size(): number {
    return this.#states.size;
  }

  of(key: string): State {
    const known = this.#states.get(key);
    if (known !== undefined) return known;
    if (!this.#hasRoom(key) && !this.#makeRoom(key)) {
      this.#shared ??= this.#make();
      return this.#shared;
    }
    const state = this.#make();
    this.#states.set(ownText(key), state);
    this.#characters += key.length;
    return state;
  }

  #hasRoom(key: string): boolean {
    return this.#states.size < this.#max && this.#characters + key.length <= this.#maxCharacters;
  }

  #makeRoom(key: string): boolean {
    const now = this.#now();
    // A flood of keys must not cost a walk each.
    if (now - this.#sweptAt < SWEEP_PERIOD) return false;
    this.#sweptAt = now;
    for (const [known, state] of this.#states) {
      if (!this.#isIdle(state)) continue;
      this.#states.delete(known);
      this.#characters -= known.length;
    }
    return this.#hasRoom(key);
  }
}

/**
 * The same text in memory of its own: a part of a longer text, such as what slice() answers, keeps
 * the whole of it.
 */
function ownText(text: string): string {
  return ` ${text}`.slice(1);
}
