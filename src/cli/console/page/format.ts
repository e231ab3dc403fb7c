/** Numbers as text. An unknown number is a dash. */
import type { Point } from '../types.js';

const NONE = '–';

const COUNTS = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const DIGITS = new Intl.NumberFormat('en', { minimumFractionDigits: 1, maximumFractionDigits: 1 });

export function count(value: number | null | undefined): string {
  return value === null || value === undefined ? NONE : COUNTS.format(value);
}

/** A number per second. */
export function rate(value: number | null): string {
  if (value === null) return NONE;
  return value === 0 || value >= 100 ? COUNTS.format(value) : DIGITS.format(value);
}

export function milliseconds(value: number | null | undefined): string {
  if (value === null || value === undefined) return NONE;
  if (value >= 10_000) return `${DIGITS.format(value / 1_000)} s`;
  return `${value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ms`;
}

/** The share of failed calls, in percent. */
export function errorShare([calls, errors]: Point): number | null {
  if (calls === null || errors === null) return null;
  return calls === 0 ? 0 : (errors / calls) * 100;
}

export function percent(value: number | null): string {
  if (value === null) return NONE;
  if (value > 0 && value < 0.1) return '<0.1 %';
  return `${value === 0 || value >= 99.95 ? COUNTS.format(value) : DIGITS.format(value)} %`;
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

export function bytes(value: number | undefined): string {
  if (value === undefined) return NONE;
  let size = value;
  let unit = 0;
  while (size >= 1_024 && unit < UNITS.length - 1) {
    size /= 1_024;
    unit++;
  }
  return `${unit === 0 ? COUNTS.format(size) : DIGITS.format(size)} ${UNITS[unit]}`;
}

/** A time such as `3 d 4 h`, with the two largest units. */
export function duration(ms: number | undefined): string {
  if (ms === undefined) return NONE;
  const seconds = Math.floor(ms / 1_000);
  const parts: [number, string][] = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3_600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [seconds % 60, 's'],
  ];
  const first = parts.findIndex(([amount]) => amount > 0);
  if (first < 0) return '0 s';
  return parts
    .slice(first, first + 2)
    .filter(([amount], at) => at === 0 || amount > 0)
    .map(([amount, unit]) => `${amount} ${unit}`)
    .join(' ');
}

const CLOCK = new Intl.DateTimeFormat('en', { timeStyle: 'medium', hourCycle: 'h23' });

/** The time of day. */
export function clock(time: number): string {
  return CLOCK.format(time);
}

/** A service, with its version if it has one. */
export function serviceName({ name, version }: { name: string; version: string }): string {
  return version === '' ? name : `${name} ${version}`;
}
