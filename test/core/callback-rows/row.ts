import type { FailingCallback } from './failures.js';
import type { Reports } from './reports.js';

/**
 * Runs a program that calls a callback which fails with `fail`, at least at the first call. A
 * failure that is not a warning is added to `reports`. Then it checks that the program continues.
 */
export type Row = (fail: FailingCallback, reports: Reports) => Promise<void>;

/** Rows by the name of the callback. A suffix in parentheses distinguishes rows of one callback. */
export type Rows = Readonly<Record<string, Row>>;

let lastAddress = 0;

/** An address that no other row uses. */
export function freeAddress(): string {
  return `memory://callback-rows-${++lastAddress}`;
}
