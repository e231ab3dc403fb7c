/**
 * Checks options and applies defaults. The message of each error says what was given and what is
 * expected. Each module has its defaults in one constant.
 */
import { gettyError, messageOf } from './errors.js';

/**
 * The range of each numeric option. Without a range an option takes any number from 0. `'integer'`:
 * the option is a count, so a fraction is refused.
 */
export type Ranges<T> = {
  [K in keyof T]?: readonly [min: number, max: number, kind?: 'integer'];
};

/** UTF-16 units of a string in an error message. */
const MAX_SHOWN_LENGTH = 200;
/** UTF-16 units of a name for which nearestTo() looks for another. */
const MAX_COMPARED_LENGTH = 200;

/**
 * `value` for an error message. An object may hold secrets, so its content is not shown. Never
 * throws.
 */
export function show(value: unknown): string {
  if (typeof value === 'string')
    return value.length > MAX_SHOWN_LENGTH
      ? `${JSON.stringify(value.slice(0, MAX_SHOWN_LENGTH))}… (${value.length} characters)`
      : JSON.stringify(value);
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'object' && value !== null) return isArray(value) ? 'an array' : 'an object';
  return String(value);
}

/** False for a revoked Proxy. */
export function isArray(value: object): boolean {
  try {
    return Array.isArray(value);
  } catch {
    return false;
  }
}

/** A BAD_OPTION error: `connections: got 0, expected …`. */
export function badOption(name: string, given: unknown, expected: string): Error {
  return gettyError('BAD_OPTION', `${name}: got ${show(given)}, expected ${expected}`);
}

/** A BAD_OPTION error for a secret: it shows only the type, such as `got a string`. */
export function badSecret(name: string, given: unknown, expected: string): Error {
  const type = given === null ? 'null' : typeof given;
  const shown = type === 'string' || type === 'number' ? `a ${type}` : type;
  return gettyError('BAD_OPTION', `${name}: got ${shown}, expected ${expected}`);
}

/**
 * A copy of `defaults`, with the values that `given` has for the same options; `defaults` itself if
 * `given` is undefined. The `typeof` of a value must be that of its default, and a number must be
 * in its range; otherwise BAD_OPTION is thrown. Options without a default are neither checked nor
 * returned. `of`: the option that `given` is, such as `reconnect`.
 */
export function withDefaults<T extends object>(
  defaults: T,
  given: Partial<T> | undefined,
  ranges: Ranges<T> = {},
  of?: string,
): T {
  if (given === undefined) return defaults;
  checkObject(of ?? 'options', given);
  const result: T = { ...defaults };
  for (const name of Object.keys(defaults) as (keyof T & string)[]) {
    const value = given[name];
    if (value === undefined) continue;
    const fallback = defaults[name];
    const [min, max, kind] = ranges[name] ?? [0, Number.POSITIVE_INFINITY];
    const shown = of === undefined ? name : `${of}.${name}`;
    if (typeof fallback === 'number') checkNumber(shown, value, min, max, kind);
    else if (typeof value !== typeof fallback) throw badOption(shown, value, kindOf(fallback));
    result[name] = value as T[typeof name];
  }
  return result;
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

/**
 * Throws BAD_OPTION unless `value` is a number from `min` to `max`. `'integer'`: an integer, or
 * Infinity if that is `max`.
 */
export function checkNumber(
  name: string,
  value: unknown,
  min: number,
  max: number,
  kind?: 'integer',
): void {
  if (
    typeof value === 'number' &&
    value >= min &&
    value <= max &&
    (kind === undefined || Number.isInteger(value) || value === Number.POSITIVE_INFINITY)
  )
    return;
  const range = max === Number.POSITIVE_INFINITY ? `from ${min}` : `from ${min} to ${max}`;
  throw badOption(name, value, `${kind === undefined ? 'a number' : 'an integer'} ${range}`);
}

/** Throws BAD_OPTION unless `value` is an array. */
export function checkArray(name: string, value: unknown): asserts value is readonly unknown[] {
  if (typeof value !== 'object' || value === null || !isArray(value))
    throw badOption(name, value, 'an array');
}

/** Throws BAD_OPTION unless `value` is an object that is not an array. */
export function checkObject(name: string, value: unknown): asserts value is object {
  if (typeof value !== 'object' || value === null || isArray(value))
    throw badOption(name, value, 'an object');
}

/**
 * A set of option names. Declare it as `{ … } satisfies NamesOf<XOptions>`: the compiler then
 * rejects a missing name and an unknown one.
 */
export type NamesOf<T> = { readonly [Name in keyof Required<T>]: true };
export type Names = Readonly<Record<string, true>>;

const NO_OTHER_PLACES: Readonly<Record<string, Names>> = {};

/**
 * Throws BAD_OPTION unless `given` is undefined or an object whose options can be read, and for an
 * own enumerable name in it that is not in `known`. The message names the place of `elsewhere` that
 * has the option, otherwise a similar known name, otherwise all known names. `of`: the function or
 * option that takes the options, such as `serve()` or `reconnect`. `elsewhere`: the options of
 * other places, by the place, such as `connect()`. This function allocates nothing unless it
 * throws.
 */
export function checkNames(
  of: string,
  given: object | null | undefined,
  known: Names,
  elsewhere = NO_OTHER_PLACES,
): void {
  if (given === undefined) return;
  if (typeof given !== 'object' || given === null || isArray(given))
    checkObject(placeOf(of), given);
  const unknown = firstUnknown(of, given as Record<string, unknown>, known);
  if (unknown !== undefined) throw unknownName(of, unknown, known, elsewhere);
}

/** The options of a function for an error message; the name of an option itself. */
function placeOf(of: string): string {
  return /^[a-z][\w.]*$/.test(of) ? of : `options of ${of}`;
}

/** Throws BAD_OPTION if `given` is a Proxy or has a getter that throws. */
function firstUnknown(
  of: string,
  given: Record<string, unknown>,
  known: Names,
): string | undefined {
  try {
    for (const name in given) if (known[name] !== true && Object.hasOwn(given, name)) return name;
    for (const name in known) given[name];
    return undefined;
  } catch (error) {
    throw unreadableError(placeOf(of), error);
  }
}

function unreadableError(name: string, cause: unknown): Error {
  const message = `${name}: got an object that throws: ${messageOf(cause)}`;
  return gettyError('BAD_OPTION', message, cause);
}

/** Throws BAD_OPTION if `given`, the option `name`, has a getter of a known name that throws. */
export function checkReadable(name: string, given: object, known: Names): void {
  try {
    for (const key in known) (given as Record<string, unknown>)[key];
  } catch (error) {
    throw unreadableError(name, error);
  }
}

function unknownName(
  of: string,
  name: string,
  known: Names,
  elsewhere: Readonly<Record<string, Names>>,
): Error {
  const refused = `${name} is not an option of ${of}`;
  for (const [place, names] of Object.entries(elsewhere)) {
    if (names[name] === true)
      return gettyError('BAD_OPTION', `${refused}; it is an option of ${place}`);
  }
  const all = Object.keys(known);
  if (all.length === 0) return gettyError('BAD_OPTION', `${refused}, which has none`);
  const nearest = nearestTo(name, all);
  return gettyError(
    'BAD_OPTION',
    `${refused}; ${nearest === undefined ? `the options are ${all.join(', ')}` : `did you mean ${nearest}?`}`,
  );
}

/** The options of `given` that are in `known`. */
export function pickNames<T extends object, N extends Names>(
  given: T,
  known: N,
): Pick<T, keyof T & keyof N> {
  return Object.fromEntries(Object.entries(given).filter(([name]) => known[name] === true)) as Pick<
    T,
    keyof T & keyof N
  >;
}

/**
 * Throws BAD_OPTION for a method of `given` whose name differs from a known one by case or by one
 * letter, such as `onmessage`. Other methods and properties are the user's own.
 */
export function checkMethods(of: string, given: object, known: Names): void {
  const all = Object.keys(known);
  for (
    let owner: object | null = given;
    owner !== null && owner !== Object.prototype;
    owner = Object.getPrototypeOf(owner)
  ) {
    for (const name of Object.getOwnPropertyNames(owner)) {
      if (known[name] === true) continue;
      const nearest = all.find((candidate) =>
        isOneLetterOff(name.toLowerCase(), candidate.toLowerCase()),
      );
      // The descriptor, because a getter must not run.
      const isMethod =
        nearest !== undefined &&
        typeof Object.getOwnPropertyDescriptor(owner, name)?.value === 'function';
      if (isMethod)
        throw gettyError(
          'BAD_OPTION',
          `${name} is not a method of ${of}; did you mean ${nearest}?`,
        );
    }
  }
}

/**
 * The first letter must be the same. So `_onMessage` is allowed: by convention, an underscore marks
 * a private method.
 */
function isOneLetterOff(name: string, known: string): boolean {
  return (
    name[0] === known[0] &&
    Math.abs(name.length - known.length) <= 1 &&
    editDistance(name, known, 2) <= 1
  );
}

/**
 * The name of `known` with the smallest edit distance, if it is at most 2, or at most a third of
 * the letters of `name`. Undefined for a longer name than MAX_COMPARED_LENGTH. `known` may come
 * from a peer.
 */
export function nearestTo(name: string, known: readonly string[]): string | undefined {
  if (name.length > MAX_COMPARED_LENGTH) return undefined;
  const lower = name.toLowerCase();
  let nearest: string | undefined;
  let least = Math.max(2, Math.floor(name.length / 3)) + 1;
  for (const candidate of known) {
    // The distance is at least the difference of the lengths.
    if (Math.abs(candidate.length - name.length) >= least) continue;
    const distance = editDistance(lower, candidate.toLowerCase(), least);
    if (distance < least) [nearest, least] = [candidate, distance];
  }
  return nearest;
}

/**
 * How many letters must be added, removed or replaced, or swapped with their neighbor (optimal
 * string alignment). At least `limit` means that it is `limit` or more.
 */
function editDistance(a: string, b: string, limit: number): number {
  let before: number[] = [];
  let leastBefore = 0;
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    let leastOfRow = i;
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const isSwapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swapped = isSwapped ? (before[j - 2] as number) + 1 : Number.POSITIVE_INFINITY;
      const distance = Math.min(
        replaced,
        swapped,
        (row[j] as number) + 1,
        (next[j - 1] as number) + 1,
      );
      next.push(distance);
      leastOfRow = Math.min(leastOfRow, distance);
    }
    // Each further row is made of these two: a swap adds 1 to the row before this one.
    if (leastOfRow >= limit && leastBefore + 1 >= limit) return limit;
    leastBefore = leastOfRow;
    before = row;
    row = next;
  }
  return row[b.length] as number;
}
