/**
 * What the page and its server agree on. `getty-ts/web/rpc` has all that contracts need and nothing
 * of Node.js, so one file serves both; the server takes the rest from `getty-ts/rpc`.
 */
import { contract, oneway, serverStream, unary } from 'getty-ts/web/rpc';

export interface Task {
  id: number;
  text: string;
  done: boolean;
}

/** What the server offers. */
export const Tasks = contract(
  'Tasks',
  {
    add: unary<string, Task>(),
    toggle: unary<number, Task>(),
    /** The whole list, now and after each change. */
    watch: serverStream<void, readonly Task[]>(),
  },
  { version: 'v1' },
);

/** What each page offers to the server. */
export const Page = contract('Page', { say: oneway<string>() });
