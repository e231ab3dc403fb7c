/** Ends a read of many pages, or a change of many fragments, if the server sends ever more. */
import { Code, ConnectError } from '@connectrpc/connect';
import { nextTurn } from '../../../core/turn.js';
import type { EntryLimits } from '../../shared/entry-budget.js';
import type { KeyValue } from '../proto/kv_pb.js';

/**
 * Entries over the limits are skipped, so a list may be longer than them. One that is so many times
 * longer is refused.
 */
const FACTOR = 10;

export class PartLimit {
  readonly #maxEntries: number;
  readonly #maxBytes: number;
  #entries = 0;
  #bytes = 0;

  constructor({ maxEntries, maxBytes }: EntryLimits) {
    this.#maxEntries = FACTOR * maxEntries;
    this.#maxBytes = FACTOR * maxBytes;
  }

  /** Counts the entries of a part. Rejects with a ConnectError if all parts have too many. */
  async add(entries: readonly (KeyValue | undefined)[]): Promise<void> {
    this.#entries += entries.length;
    for (const entry of entries)
      if (entry !== undefined) this.#bytes += entry.key.length + entry.value.length;
    if (this.#entries <= this.#maxEntries && this.#bytes <= this.#maxBytes) return;
    // Node.js loops forever if a stream is reset within its HTTP/2 parser.
    await nextTurn();
    const limit =
      this.#entries > this.#maxEntries
        ? `${this.#maxEntries} entries, ${FACTOR} times maxEntries`
        : `${this.#maxBytes} bytes, ${FACTOR} times maxBytes`;
    throw new ConnectError(`the server sent more than ${limit}`, Code.ResourceExhausted);
  }

  /** Must be called when the last part has arrived. */
  reset(): void {
    this.#entries = 0;
    this.#bytes = 0;
  }
}
