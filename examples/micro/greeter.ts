/** What providers and consumers of this example agree on. */
import { contract, unary } from 'getty-ts/rpc';

export const Greeter = contract(
  'Greeter',
  { hello: unary<string, string>({ idempotent: true }) },
  { version: 'v1' },
);
