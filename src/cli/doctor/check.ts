/** One result of `getty doctor`. */

export type CheckStatus = 'ok' | 'warning' | 'failed';

export interface Check {
  readonly status: CheckStatus;
  /** What was checked: `registry`, `node a`, `certificate`. */
  readonly name: string;
  /** What was found. */
  readonly detail: string;
  /** What to do. Undefined: nothing. */
  readonly advice?: string | undefined;
}

/** Receives each check as soon as it is made. */
export type Report = (check: Check) => Promise<void>;

export const ok = (name: string, detail: string): Check => ({ status: 'ok', name, detail });

export const warning = (name: string, detail: string, advice?: string): Check => ({
  status: 'warning',
  name,
  detail,
  advice,
});

export const failed = (name: string, detail: string, advice?: string): Check => ({
  status: 'failed',
  name,
  detail,
  advice,
});
