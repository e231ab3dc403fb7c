/** The contract of workers and callers. */
import { contract, unary } from 'getty-ts/rpc';

export interface Hashed {
  readonly digest: string;
  /** The name of the worker. */
  readonly worker: string;
}

/** Idempotent, so a call whose worker dies is retried at another. */
export const Hasher = contract(
  'Hasher',
  { hash: unary<string, Hashed>({ idempotent: true }) },
  { version: 'v1' },
);
