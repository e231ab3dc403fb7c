/** Random numbers that depend on a seed only. */
import { badOption, checkNumber } from '../core/options.js';

/** Random numbers from a seed. */
export interface Random {
  /** Returns a number from 0 up to 1, 1 excluded. */
  (): number;
  /** Returns an integer from `min` to `max`, both included. Throws BAD_OPTION. */
  integer(min: number, max: number): number;
  /** Returns true with this probability, from 0 to 1. Throws BAD_OPTION. */
  chance(probability: number): boolean;
  /** Returns one of the items. Throws BAD_OPTION if there is none. */
  pick<T>(items: readonly T[]): T;
}

/** FNV-1a of `text`, as an uint32. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++)
    value = Math.imul(value ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return value;
}

/**
 * The sequence of numbers for one purpose. Purposes with different names have independent
 * sequences, so a number that one of them takes does not change the others. The algorithm is sfc32.
 */
export function seededRandom(seed: number, purpose: string): Random {
  let a = hash(`${purpose} ${seed}`);
  let b = hash(`${seed} ${purpose}`);
  let c = (seed ^ 0x9e3779b9) | 0;
  let counter = 1;
  const next = (): number => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return (sum >>> 0) / 0x1_0000_0000;
  };
  for (let i = 0; i < 15; i++) next();
  const integer = (min: number, max: number): number => {
    if (!Number.isInteger(min)) throw badOption('min', min, 'an integer');
    if (!Number.isInteger(max) || max < min) throw badOption('max', max, `an integer from ${min}`);
    return min + Math.floor(next() * (max - min + 1));
  };
  return Object.assign(() => next(), {
    integer,
    chance(probability: number): boolean {
      checkNumber('probability', probability, 0, 1);
      return next() < probability;
    },
    pick<T>(items: readonly T[]): T {
      if (!Array.isArray(items) || items.length === 0)
        throw badOption('items', items, 'an array with at least one item');
      return items[integer(0, items.length - 1)] as T;
    },
  });
}
