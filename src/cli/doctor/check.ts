/** One result of `getty doctor`. */

/** `unknown`: it could not be checked now. `note`: it may be intended. */
export type CheckStatus = 'ok' | 'note' | 'unknown' | 'warning' | 'failed';

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

export const note = (name: string, detail: string, advice?: string): Check => ({
  status: 'note',
  name,
  detail,
  advice,
});

export const unknown = (name: string, detail: string, advice: string): Check => ({
  status: 'unknown',
  name,
  detail,
  advice,
});

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
