/** Tries to connect to addresses, some at a time. */
import { codeOf, messageOf } from '../../core/errors.js';
import type { RpcClient } from '../../rpc/index.js';
import type { Terminal } from '../terminal.js';
import type { ConnectionOptions } from './connection-options.js';
import { describeServer, isOtherProtocol } from './introspection.js';
import { connectTo } from './server-connection.js';

/** What one attempt to connect and to get an answer has shown. Times are in milliseconds. */
export type Dial =
  | { readonly answers: true; readonly time: number }
  | { readonly answers: false; readonly error: string };

/** How many connections are made at the same time. */
const CONCURRENCY = 8;

/**
 * Connects to `address`, makes a call, and closes the connection. Any answer counts, also an error:
 * the system accepts connections for a process that is frozen. Rejects if the user ends the
 * command.
 */
export async function dial(
  address: string,
  options: ConnectionOptions,
  terminal: Terminal,
): Promise<Dial> {
  const start = performance.now();
  try {
    const client = await connectTo(address, options, terminal);
    try {
      await untilAnswer(client, terminal);
    } finally {
      client.destroy();
    }
    return { answers: true, time: performance.now() - start };
  } catch (error) {
    if (terminal.signal.aborted) throw error;
    return { answers: false, error: messageOf(error) };
  }
}

/** Rejects if there is no answer in time, or one of another protocol. */
async function untilAnswer(client: RpcClient, terminal: Terminal): Promise<void> {
  try {
    await describeServer(client, terminal);
  } catch (error) {
    if (codeOf(error) === 'DEADLINE_EXCEEDED')
      throw new Error(`${client.address} accepts connections, and does not answer`);
    if (terminal.signal.aborted || isOtherProtocol(error)) throw error;
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
