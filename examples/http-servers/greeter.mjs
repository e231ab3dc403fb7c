/** The service of the three programs. */
import { contract, implement, unary } from '../../dist/rpc/index.js';

export const Greeter = contract('Greeter', { hello: unary() });
export const greeter = implement(Greeter, { hello: (name) => `hello, ${name}` });
