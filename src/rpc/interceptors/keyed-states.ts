/** States by key, bounded because a remote peer may choose the keys. */
import { copyText } from '../../core/bytes.js';

/** The least time between two searches for idle states, in milliseconds. */
const SWEEP_PERIOD = 1_000;

/** All keys together have at most this many characters times `max`, or MIN_CHARACTERS. */
const CHARACTERS_PER_KEY = 256;
const MIN_CHARACTERS = 65_536;

/**
 * Gives at most `max` keys a separate state. Together the keys have at most 256 characters for
 * each of `max`, or 65,536 if that is more. When the bound is reached, idle states are removed, at
 * most once a second. While there is no room, further keys share one state: new keys do not evade a
 * limit, and known keys keep their states.
 */
export class KeyedStates<State> {
  readonly #make: () => State;
  readonly #isIdle: (state: State) => boolean;
  readonly #max: number;
  readonly #maxCharacters: number;
  readonly #now: () => number;
  readonly #states = new Map<string, State>();
  /** The characters of all keys together. */
  #characters = 0;
  #shared: State | undefined;
  #sweptAt = Number.NEGATIVE_INFINITY;

  /** `isIdle`: whether a state equals a new one. `now`: a clock in milliseconds. */
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

  /** Returns the state of the key, and makes it at the first call. */
  of(key: string): State {
    const known = this.#states.get(key);
    if (known !== undefined) return known;
    if (!this.#hasRoom(key) && !this.#makeRoom(key)) {
      this.#shared ??= this.#make();
      return this.#shared;
    }
    const state = this.#make();
    this.#states.set(copyText(key), state);
    this.#characters += key.length;
    return state;
  }

  #hasRoom(key: string): boolean {
    return this.#states.size < this.#max && this.#characters + key.length <= this.#maxCharacters;
  }

  #makeRoom(key: string): boolean {
    const now = this.#now();
    // The period bounds the cost of a flood of new keys.
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
