/**
 * Limits the memory that the entries of a registry take: any program that may write to the registry
 * can make any number of them.
 */
import type { Logger } from '../../core/logger.js';
import type { Attributes } from '../../micro/registry-entry.js';

export interface EntryLimits {
  readonly maxEntries: number;
  /** Bytes of memory, as entryBytes() and groupBytes() count them. */
  readonly maxBytes: number;
}

export const ENTRY_LIMITS = {
  maxEntries: 1_000_000,
  maxBytes: 512 * 1024 * 1024,
} satisfies EntryLimits;

export const ENTRY_LIMIT_RANGES = {
  maxEntries: [1, 1e7, 'integer'],
  maxBytes: [1, Number.MAX_SAFE_INTEGER, 'integer'],
} as const;

/** The bytes of an entry and its node, and of their places in the maps, without their texts. */
const ENTRY_BYTES = 350;
/** The bytes of the maps and objects for the entries with the same ATTRIBUTES. */
const GROUP_BYTES = 800;
/** The bytes of a pair of metadata, besides its characters. */
const PAIR_BYTES = 80;
/** Each further comma in a value may begin a pair of metadata. */
const OTHER_COMMAS = 8;
/** The bytes of a text besides its characters. */
const TEXT_BYTES = 16;
const COMMA = 44;
const NOT_ASCII = /[\u0080-\uffff]/;
/** Entries are read again when this part is left of those that were there when one was refused. */
const ROOM_AGAIN = 0.9;

/** One character above U+00FF makes all characters of a text take two bytes. */
export function textBytes(text: string): number {
  return TEXT_BYTES + text.length * (NOT_ASCII.test(text) ? 2 : 1);
}

function attributeBytes({ group, protocol, service, version }: Attributes): number {
  return textBytes(group) + textBytes(protocol) + textBytes(service) + textBytes(version);
}

/**
 * What an entry takes, before and after its value is parsed. `value`: undefined if it is not kept.
 */
export function entryBytes(
  path: string,
  value: string | undefined,
  attributes: Attributes,
): number {
  const bytes = ENTRY_BYTES + textBytes(path) + attributeBytes(attributes);
  if (value === undefined) return bytes;
  let commas = 0;
  for (let at = 0; at < value.length; at++) if (value.charCodeAt(at) === COMMA) commas++;
  return bytes + textBytes(value) + Math.max(0, commas - OTHER_COMMAS) * PAIR_BYTES;
}

/** What the first entry of a group takes besides its own bytes. `name`: ATTRIBUTES as written. */
export function groupBytes(name: string, attributes: Attributes): number {
  return GROUP_BYTES + textBytes(name) + attributeBytes(attributes);
}

export class EntryBudget {
  readonly #path: string;
  readonly #limits: EntryLimits;
  readonly #logger: Logger;
  #entries = 0;
  #bytes = 0;
  #isFull = false;
  /** What was counted when an entry did not fit the last time. */
  #whenRefused = { entries: 0, bytes: 0 };
  /** Whether an entry did not fit since restart(). */
  #wasSkipped = false;

  /** `path`: the root, for the log line. */
  constructor(path: string, { maxEntries, maxBytes }: EntryLimits, logger: Logger) {
    this.#path = path;
    this.#limits = { maxEntries, maxBytes };
    this.#logger = logger;
  }

  /**
   * Counts an entry. False: it does not fit, and is not counted. That is logged once until retry().
   */
  add(bytes: number): boolean {
    const { maxEntries, maxBytes } = this.#limits;
    if (this.#entries >= maxEntries || this.#bytes + bytes > maxBytes) {
      this.#onFull();
      return false;
    }
    this.#entries++;
    this.#bytes += bytes;
    return true;
  }

  remove(bytes: number): void {
    this.#entries--;
    this.#bytes -= bytes;
  }

  /**
   * Whether entries did not fit, and others were removed since. Then everything must be read again.
   * An entry that is larger than the room that is left does not count as removed.
   */
  get hasRoomAgain(): boolean {
    const { entries, bytes } = this.#whenRefused;
    return (
      this.#isFull && (this.#entries < entries * ROOM_AGAIN || this.#bytes < bytes * ROOM_AGAIN)
    );
  }

  /** Must be called before everything is read again. */
  retry(): void {
    this.#isFull = false;
  }

  /**
   * Counts all entries anew. If some do not fit again, that is not logged again.
   */
  restart(): void {
    if (!this.#wasSkipped) this.#isFull = false;
    this.#wasSkipped = false;
    this.#entries = 0;
    this.#bytes = 0;
  }

  #onFull(): void {
    this.#wasSkipped = true;
    this.#whenRefused = { entries: this.#entries, bytes: this.#bytes };
    if (this.#isFull) return;
    this.#isFull = true;
    this.#logger.warn(
      { path: this.#path, ...this.#limits },
      'registry: the cache is full, more entries are skipped',
    );
  }
}
