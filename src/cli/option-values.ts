/** The values of options that several commands have. Each function throws UsageError. */
import { show } from '../core/options.js';
import { LONGEST_TIMER } from '../core/timers.js';
import { UsageError } from './failure.js';

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;

/**
 * Milliseconds of a text such as `500ms`, `5s`, `2m` or `1h`. Undefined for other texts, also for a
 * number without a unit, which could be meant as milliseconds or as seconds.
 */
export function readDuration(text: string): number | undefined {
  const [, amount, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text) ?? [];
  return unit === undefined ? undefined : Number(amount) * UNITS[unit as keyof typeof UNITS];
}

/** As readDuration(), from one millisecond to the longest time of a timer. */
export function parseDuration(name: string, text: string): number {
  const duration = readDuration(text);
  if (duration !== undefined && duration >= 1 && duration <= LONGEST_TIMER) return duration;
  throw new UsageError(
    `${name}: got ${show(text)}, expected a duration such as 500ms, 5s or 2m, from 1ms to 596h`,
  );
}

/** A whole number. */
export function parseInteger(name: string, text: string, min: number, max: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new UsageError(`${name}: got ${show(text)}, expected a whole number from ${min} to ${max}`);
}

/** One of a few words. */
export function parseChoice<Choice extends string>(
  name: string,
  text: string,
  choices: readonly Choice[],
): Choice {
  const choice = choices.find((each) => each === text);
  if (choice !== undefined) return choice;
  throw new UsageError(`${name}: got ${show(text)}, expected one of ${choices.join(', ')}`);
}

/** Adds `key=value` to the pairs before it. */
export function addPair(
  name: string,
  text: string,
  before: Readonly<Record<string, string>>,
): Record<string, string> {
  const at = text.indexOf('=');
  if (at < 1)
    throw new UsageError(`${name}: got ${show(text)}, expected key=value such as tenant=north`);
  // No prototype, so that `__proto__` is an ordinary key.
  return Object.assign(Object.create(null), before, { [text.slice(0, at)]: text.slice(at + 1) });
}
