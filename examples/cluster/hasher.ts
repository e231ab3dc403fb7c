/** What workers and callers of this example agree on. */
import { contract, unary } from 'getty-ts/rpc';

export interface Hashed {
  readonly digest: string;
  /** Which worker did it. */
  readonly worker: string;
}

/** Idempotent, so that a call whose worker dies may go to another. */
export const Hasher = contract(
  'Hasher',
  { hash: unary<string, Hashed>({ idempotent: true }) },
  { version: 'v1' },
);
