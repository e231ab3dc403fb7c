/** Lengths of time as numbers of milliseconds, or as texts such as `1h30m`. */
import { badOption } from '../../core/options.js';

/** Milliseconds, or a text of numbers with units: `250ms`, `10s`, `5m`, `1.5h`, `1h30m`. */
export type Duration = number | string;

const MILLISECONDS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
const PART = /(\d+(?:\.\d+)?)(ms|s|m|h|d)/g;
const WHOLE = /^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+$/;

/** Milliseconds, rounded to whole ones. Throws BAD_OPTION, whose message has `name`. */
export function parseDuration(name: string, given: Duration): number {
  let ms = Number.NaN;
  if (typeof given === 'number') ms = given;
  else if (typeof given === 'string' && WHOLE.test(given)) {
    ms = 0;
    for (const [, count, unit] of given.matchAll(PART))
      ms += Number(count) * (MILLISECONDS[unit as string] as number);
  }
  if (Number.isFinite(ms) && ms >= 0) return Math.round(ms);
  throw badOption(name, given, 'milliseconds from 0, or a text such as 250ms, 10s, 5m or 1h30m');
}

/** `12:05:00.250`: hours, minutes, seconds and milliseconds. */
export function formatTime(ms: number): string {
  const pad = (value: number, digits = 2): string =>
    String(Math.floor(value)).padStart(digits, '0');
  return `${pad(ms / 3_600_000)}:${pad((ms / 60_000) % 60)}:${pad((ms / 1_000) % 60)}.${pad(ms % 1_000, 3)}`;
}
