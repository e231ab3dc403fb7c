/** The contract of providers and consumers. */
import { contract, unary } from 'getty-ts/rpc';

export const Greeter = contract(
  'Greeter',
  { hello: unary<string, string>({ idempotent: true }) },
  { version: 'v1' },
);
