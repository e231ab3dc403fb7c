/** The entries of the cache, by their ATTRIBUTES. */
import type { Attributes } from '../../micro/registry-entry.js';
import type { ServiceNode } from '../../micro/types.js';

export interface Entry {
  /** What the budget counts for it. */
  readonly bytes: number;
  /** The number of the full read that began last before it was put. */
  readonly read: number;
  /** The value, until it is parsed. */
  text: string | undefined;
  /** undefined: not parsed yet, or invalid. */
  node: ServiceNode | undefined;
  /**
   * When the entry leaves the lists after its key was deleted: a time of performance.now(). Until
   * then its provider may write it again. Set once, so that further outages do not prolong it.
   * Infinity: the key exists.
   */
  removeAt: number;
}

/** The entries with the same ATTRIBUTES. */
export interface Group {
  /** ATTRIBUTES as in the key. */
  readonly name: string;
  readonly attributes: Attributes;
  /** What the budget counts for it while it has entries. */
  readonly bytes: number;
  readonly entries: Map<string, Entry>;
}
