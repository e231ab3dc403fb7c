/**
 * The contracts of the page and its server. `getty-ts/web/rpc` runs in browsers and in Node.js, so
 * both import this file. The server uses `getty-ts/rpc` for all else.
 */
import { contract, oneway, serverStream, unary } from 'getty-ts/web/rpc';

export interface Task {
  id: number;
  text: string;
  done: boolean;
}

/** The service of the server. */
export const Tasks = contract(
  'Tasks',
  {
    add: unary<string, Task>(),
    toggle: unary<number, Task>(),
    /** The whole list, at once and after each change. */
    watch: serverStream<void, readonly Task[]>(),
  },
  { version: 'v1' },
);

/** The service of each page, for the server. */
export const Page = contract('Page', { say: oneway<string>() });
