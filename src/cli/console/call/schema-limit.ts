/** The limit of the schemas in one answer to the page. */
import { printable } from '../../output/printable.js';

/** Bytes of all schemas as JSON. With their examples they fit into an answer of 1 MiB. */
const MAX_BYTES = 300_000;
/** Bytes of a part of a schema, or of a text, in addition to its characters. */
const OVERHEAD = 40;

/**
 * Counts the schemas of all methods of a node. A schema may refer to one part many times, and the
 * methods to one schema, so a short answer of a node can describe very much.
 */
export class SchemaLimit {
  #left = MAX_BYTES;

  /** True: no further schema fits, and the one that is being read is incomplete. */
  get isReached(): boolean {
    return this.#left < 0;
  }

  /** Counts a text of the node. Returns it printable and at most `most` characters long. */
  text(given: string, most?: number): string {
    const text = printable(given, most);
    this.#left -= OVERHEAD + Buffer.byteLength(JSON.stringify(text));
    return text;
  }

  /** Counts a part of a schema without its texts. */
  addPart(): void {
    this.#left -= OVERHEAD;
  }
}
