/** What the parent and its child process call of each other. */
import { contract, unary } from 'getty-ts/rpc';

/** The service of the child. */
export const Words = contract('Words', {
  /** How many words a file has. */
  count: unary<string, number>(),
});

/** The service of the parent, for its child. */
export const Files = contract('Files', {
  /** The text of a file. */
  read: unary<string, string>(),
});
