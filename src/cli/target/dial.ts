/** Tries to connect to addresses, some at a time. */
import { messageOf } from '../../core/errors.js';
import type { Terminal } from '../terminal.js';
import type { ConnectionOptions } from './connection-options.js';
import { connectTo } from './server-connection.js';

/** What one attempt to connect has shown. */
export type Dial =
  | { readonly connected: true /** Milliseconds. */; readonly time: number }
  | { readonly connected: false; readonly error: string };

/** How many connections are made at the same time. */
const CONCURRENCY = 8;

/** Connects to `address` and closes the connection. Rejects if the user ends the command. */
export async function dial(
  address: string,
  options: ConnectionOptions,
  terminal: Terminal,
): Promise<Dial> {
  const start = performance.now();
  try {
    const client = await connectTo(address, options, terminal);
    const time = performance.now() - start;
    client.destroy();
    return { connected: true, time };
  } catch (error) {
    if (terminal.signal.aborted) throw error;
    return { connected: false, error: messageOf(error) };
  }
}

/** The results of `work` for each item, in the order of the items. */
export async function inParallel<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = new Array(items.length);
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < items.length) {
      const at = next++;
      results[at] = await work(items[at] as Item);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  return results;
}
