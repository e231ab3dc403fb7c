/** The contract of server and client. */
import { contract, oneway, unary } from 'getty-ts/rpc';

export interface Item {
  name: string;
  price: number;
}

export const Shop = contract(
  'Shop',
  {
    /** Idempotent: a call whose outcome is unknown may be retried. */
    find: unary<string, Item>({ idempotent: true }),
    count: unary<{ from: number; to: number }, number>(),
    visited: oneway<string>(),
  },
  { version: 'v1' },
);
