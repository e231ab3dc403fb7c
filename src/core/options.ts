/** Options: defaults in one constant per room, and a check at the call that says what was given and what is allowed. */
import { gettyError } from './errors.js';

/** The least and the most that a numeric option may be; without a range: any number from 0. */
export type Ranges<T> = { [K in keyof T]?: readonly [min: number, max: number] };

function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object';
  return String(value);
}

/** A BAD_OPTION error: `connections: given 0, expected …`. */
export function badOption(name: string, given: unknown, expected: string): Error {
  return gettyError('BAD_OPTION', `${name}: given ${show(given)}, expected ${expected}`);
}

/**
 * `given` over `defaults`. A value must have the type of its default; a number must be in its range.
 * Throws BAD_OPTION. Options that have no default are not looked at.
 */
export function withDefaults<T extends object>(defaults: T, given: Partial<T> | undefined, ranges: Ranges<T> = {}): T {
  if (given === undefined) return defaults;
  if (typeof given !== 'object' || given === null) throw badOption('options', given, 'an object');
  const result: T = { ...defaults };
  for (const name of Object.keys(defaults) as (keyof T & string)[]) {
    const value = given[name];
    if (value === undefined) continue;
    const fallback = defaults[name];
    const [min, max] = ranges[name] ?? [0, Number.POSITIVE_INFINITY];
    if (typeof fallback === 'number') checkNumber(name, value, min, max);
    else if (typeof value !== typeof fallback) throw badOption(name, value, `a ${typeof fallback}`);
    result[name] = value as T[typeof name];
  }
  return result;
}

/** Throws BAD_OPTION unless `value` is a number from `min` to `max`. */
export function checkNumber(name: string, value: unknown, min: number, max: number): void {
  if (typeof value === 'number' && value >= min && value <= max) return;
  const expected = max === Number.POSITIVE_INFINITY ? `a number from ${min}` : `a number from ${min} to ${max}`;
  throw badOption(name, value, expected);
}

/**
 * Throws BAD_OPTION for a name in `given` that is not in `known`; the message names the nearest known one. `of`: what the options are for, such as
 * `serve()` or `reconnect`.
 */
export function checkNames(of: string, given: object | undefined, known: readonly string[]): void {
  if (given === undefined || given === null) return;
  for (const name of Object.keys(given)) {
    if (known.includes(name)) continue;
    const nearest = nearestTo(name, known);
    const hint = nearest === undefined ? `the options are ${known.join(', ')}` : `did you mean ${nearest}?`;
    throw gettyError('BAD_OPTION', `${name} is not an option of ${of}; ${hint}`);
  }
}

/** The known name with the smallest edit distance, if a third of the letters or fewer differ. */
function nearestTo(name: string, known: readonly string[]): string | undefined {
  let nearest: string | undefined;
  let least = Math.max(2, Math.floor(name.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < least) [nearest, least] = [candidate, distance];
  }
  return nearest;
}

/** Levenshtein: how many letters must be added, removed or replaced. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}
