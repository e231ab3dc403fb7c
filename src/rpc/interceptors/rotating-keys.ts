/** A key set of jwt() that changes: its keys are loaded, and loaded again. */
import type { JSONWebKeySet, JWTVerifyGetKey } from 'jose';
import { callAsync } from '../../core/callbacks.js';
import { within } from '../../core/timers.js';
import { settleInTurns } from '../../core/turn.js';

/** Finds the key of a token. */
export type FindKey = (
  ...args: Parameters<JWTVerifyGetKey>
) => Promise<Awaited<ReturnType<JWTVerifyGetKey>>>;

/** Milliseconds: how long a load may take. Then it has failed, and another one may start. */
const LOAD_TIMEOUT = 10_000;

/** Milliseconds: the longest `cooldown` before the first keys, without which each call fails. */
const MAX_FIRST_COOLDOWN = 1_000;

export interface KeySource {
  load(): JSONWebKeySet | Promise<JSONWebKeySet>;
  /** Makes the function that finds a key in these keys. Throws when they are no key set. */
  finderOf(keys: JSONWebKeySet): FindKey;
  /** Whether the error of a FindKey says that the keys do not have the key. */
  isUnknown(error: unknown): boolean;
  /**
   * The least milliseconds between two loads. Until the first successful one it is at most
   * MAX_FIRST_COOLDOWN.
   */
  readonly cooldown: number;
  /** Milliseconds after which the keys are loaded again. Infinity: only for an unknown key. */
  readonly maxAge: number;
}

/**
 * Loads the keys when a token names a key that they do not have, and when they are older than
 * `maxAge`. The keys in use stay in use until others are loaded. Only tokens without a key wait.
 */
export class RotatingKeys {
  readonly #source: KeySource;
  /** The keys in use. Undefined until they are loaded. */
  #inUse: FindKey | undefined;
  /** The load that is under way. It resolves with the keys that are then in use. */
  #loading: Promise<FindKey> | undefined;
  /** When the last load began. In milliseconds of performance.now(), as `#staleAt`. */
  #loadedAt = Number.NEGATIVE_INFINITY;
  /** When the keys in use reach `maxAge`. */
  #staleAt = Number.POSITIVE_INFINITY;
  /** The error of the last load, if it failed. */
  #failure: unknown;

  constructor(source: KeySource) {
    this.#source = source;
  }

  /** Rejects with the error of the load, or with one that `isUnknown` accepts. */
  async find(...args: Parameters<FindKey>): ReturnType<FindKey> {
    const inUse = this.#inUse;
    if (inUse === undefined) {
      if (this.#loading === undefined && this.#isCoolingDown()) throw this.#failure;
      return (await this.#load())(...args);
    }
    // The token does not wait for this load. A failure is reported to tokens of unknown keys.
    if (performance.now() >= this.#staleAt && !this.#isCoolingDown()) this.#load().catch(() => {});
    try {
      return await inUse(...args);
    } catch (error) {
      if (!this.#source.isUnknown(error)) throw error;
      if (this.#inUse !== inUse) return (this.#inUse as FindKey)(...args);
      if (this.#loading === undefined && this.#isCoolingDown()) throw this.#failure ?? error;
      return (await this.#load())(...args);
    }
  }

  #isCoolingDown(): boolean {
    const { cooldown } = this.#source;
    const least = this.#inUse === undefined ? Math.min(cooldown, MAX_FIRST_COOLDOWN) : cooldown;
    return performance.now() - this.#loadedAt < least;
  }

  /** Tokens share the load that is under way. When it has ended, they continue in several turns. */
  #load(): Promise<FindKey> {
    this.#loading ??= this.#loadNow().finally(() => {
      this.#loading = undefined;
    });
    return settleInTurns(this.#loading);
  }

  async #loadNow(): Promise<FindKey> {
    this.#loadedAt = performance.now();
    this.#failure = undefined;
    const { finderOf, maxAge } = this.#source;
    try {
      const keys = await within(
        LOAD_TIMEOUT,
        callAsync(() => this.#source.load()),
        () => new Error(`the keys were not loaded within ${LOAD_TIMEOUT} ms`),
      );
      const finder = finderOf(keys);
      this.#inUse = finder;
      this.#staleAt = performance.now() + maxAge;
      return finder;
    } catch (error) {
      this.#failure = error;
      throw error;
    }
  }
}
