/** What the scanner keeps of a file from one scan to the next. */
import type { ServiceNode } from '../../micro/types.js';

/**
 * A file as the last scan saw it. Times are those of performance.now(), which does not jump as the
 * clock of the machine does.
 */
export interface KnownFile {
  /** Differs whenever the file was touched or replaced. */
  readonly version: string;
  readonly inode: number;
  /** Milliseconds: that of the publisher, or of this reader if that one is unknown. */
  readonly ttl: number;
  /** When the entry was last known to be alive. -Infinity: never. */
  readonly aliveAt: number;
  /** When this version was first seen. */
  readonly firstSeen: number;
  /** undefined: not read yet, because the entry is not alive. */
  readonly content: Content | undefined;
}

export interface Content {
  readonly text: string | undefined;
  /** undefined: the file is no valid entry. */
  readonly node: ServiceNode | undefined;
}
