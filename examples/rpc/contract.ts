/** What server and client agree on. */
import { contract, oneway, unary } from 'getty-ts/rpc';

export interface Item {
  name: string;
  price: number;
}

export const Shop = contract(
  'Shop',
  {
    /** Looking twice does no harm, so a call whose fate is unknown may be made again. */
    find: unary<string, Item>({ idempotent: true }),
    count: unary<{ from: number; to: number }, number>(),
    visited: oneway<string>(),
  },
  { version: 'v1' },
);
