/**
 * What is known of everything under the root: entries by service, read when somebody asks for their
 * service.
 */
import { messageOf } from '../../core/errors.js';
import type { Logger } from '../../core/logger.js';
import {
  type Attributes,
  MAX_ENTRY_BYTES,
  matches,
  parseAttributes,
  parseEntry,
} from '../../micro/registry-entry.js';
import type { ServiceNode, ServiceQuery } from '../../micro/types.js';
import type { KeyValue } from './proto/kv_pb.js';

export interface TreeOptions {
  readonly maxEntries: number;
  readonly maxBytes: number;
  readonly logger: Logger;
}

interface Entry {
  /** Of its key and value. */
  readonly bytes: number;
  /** The value, until somebody asks for it. */
  text: string | undefined;
  /** Once it was asked for; undefined then: garbage. */
  node: ServiceNode | undefined;
  /**
   * The key is gone, and its provider may be about to write it again: when the entry leaves the
   * lists, by performance.now(). It is set once, so that further outages do not prolong it.
   * Infinity: the key is there.
   */
  leavesAt: number;
}

/** The entries of one ATTRIBUTES. */
interface Folder {
  /** As in the path. */
  readonly name: string;
  readonly attributes: Attributes;
  readonly entries: Map<string, Entry>;
}

/** No word is said of more garbage than this. */
const MAX_REFUSED = 1_000;
/** A longer key is nobody's entry. */
const MAX_KEY_BYTES = 16 * 1024;
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export class Tree {
  readonly #prefix: string;
  readonly #options: TreeOptions;
  #folders = new Map<string, Folder>();
  readonly #byService = new Map<string, Set<Folder>>();
  /** Services whose lists may have changed since takeChanged(). */
  #changed = new Set<string>();
  /** Why a path is passed over, so that it is said once. */
  readonly #refused = new Map<string, string>();
  #size = 0;
  #bytes = 0;
  #overflowed = false;
  /** Entries whose keys are gone. */
  readonly #leaving = new Set<Entry>();

  /** `prefix` is the root with its slash. */
  constructor(prefix: string, options: TreeOptions) {
    this.#prefix = prefix;
    this.#options = options;
  }

  /** Services whose lists may have changed since this was last asked. */
  takeChanged(): ReadonlySet<string> {
    const changed = this.#changed;
    this.#changed = new Set();
    return changed;
  }

  /** Entries did not fit, and now there is room: everything has to be read again. */
  get hasRoomAgain(): boolean {
    const { maxEntries, maxBytes } = this.#options;
    return this.#overflowed && this.#size < maxEntries * 0.9 && this.#bytes < maxBytes * 0.9;
  }

  /**
   * When the next entry whose key is gone leaves the lists, by performance.now(); Infinity: none
   * does.
   */
  get nextLeavesAt(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { leavesAt } of this.#leaving) next = Math.min(next, leavesAt);
    return next;
  }

  /** The nodes that a query looks for, in any order. */
  list(query: ServiceQuery): ServiceNode[] {
    const nodes: ServiceNode[] = [];
    for (const folder of this.#byService.get(query.service) ?? []) {
      if (!matches(folder.attributes, query)) continue;
      for (const [id, entry] of folder.entries) {
        if (entry.text !== undefined) this.#parse(folder, id, entry);
        if (entry.node !== undefined) nodes.push(entry.node);
      }
    }
    return nodes;
  }

  /** All nodes of all services, in any order. */
  all(): ServiceNode[] {
    return [...this.#byService.keys()].flatMap((service) => this.list({ service }));
  }

  #parse(folder: Folder, id: string, entry: Entry): void {
    const { text = '' } = entry;
    entry.text = undefined;
    try {
      entry.node = parseEntry({ attributes: folder.name, id }, text);
      this.#refused.delete(`${this.#prefix}${folder.name}/${id}`);
    } catch (error) {
      this.#refuse(`${this.#prefix}${folder.name}/${id}`, error);
    }
  }

  /**
   * Whatever was known of the key is replaced: a cluster that was restored may use a revision
   * again, with another value.
   */
  put(kv: KeyValue): void {
    const place = this.#place(kv.key);
    if (place === undefined) return;
    const { folder, id } = place;
    const before = folder.entries.get(id);
    if (before !== undefined) this.#drop(folder, id, before);
    this.#changed.add(folder.attributes.service);
    const text = this.#textOf(`${this.#prefix}${folder.name}/${id}`, kv.value);
    const bytes = kv.key.length + (text === undefined ? 0 : kv.value.length);
    if (this.#size >= this.#options.maxEntries || this.#bytes + bytes > this.#options.maxBytes) {
      this.#overflow();
      this.#removeIfEmpty(folder);
      return;
    }
    this.#size++;
    this.#bytes += bytes;
    folder.entries.set(id, { bytes, text, node: undefined, leavesAt: Number.POSITIVE_INFINITY });
  }

  #textOf(path: string, value: Uint8Array): string | undefined {
    try {
      if (value.length > MAX_ENTRY_BYTES)
        throw new Error(`its value has ${value.length} bytes, at most ${MAX_ENTRY_BYTES} are read`);
      return UTF8.decode(value);
    } catch (error) {
      this.#refuse(path, error);
      return undefined;
    }
  }

  /**
   * The key is gone. The entry stays in the lists until `leavesAt`, by performance.now(), unless it
   * is put again.
   */
  delete(key: Uint8Array, leavesAt: number): void {
    const place = this.#place(key);
    if (place === undefined) return;
    const entry = place.folder.entries.get(place.id);
    if (entry !== undefined) this.#remove(place.folder, place.id, entry, leavesAt);
    this.#removeIfEmpty(place.folder);
  }

  #remove(folder: Folder, id: string, entry: Entry, leavesAt: number): void {
    entry.leavesAt = Math.min(entry.leavesAt, leavesAt);
    if (entry.leavesAt > performance.now()) {
      this.#leaving.add(entry);
      return;
    }
    this.#drop(folder, id, entry);
    this.#refused.delete(`${this.#prefix}${folder.name}/${id}`);
    this.#changed.add(folder.attributes.service);
  }

  #drop(folder: Folder, id: string, entry: Entry): void {
    this.#leaving.delete(entry);
    folder.entries.delete(id);
    this.#size--;
    this.#bytes -= entry.bytes;
  }

  /** `keys` are all that are there: the other entries stay until `leavesAt`. */
  keepOnly(keys: ReadonlySet<string>, leavesAt: number): void {
    for (const folder of [...this.#folders.values()]) {
      for (const [id, entry] of [...folder.entries]) {
        if (!keys.has(`${this.#prefix}${folder.name}/${id}`))
          this.#remove(folder, id, entry, leavesAt);
      }
      this.#removeIfEmpty(folder);
    }
    // Said of what is gone, so that it is said again should it come back.
    for (const path of [...this.#refused.keys()]) if (!keys.has(path)) this.#refused.delete(path);
  }

  /** Remove the entries whose time is over. */
  removeLeft(): void {
    if (this.#leaving.size === 0) return;
    for (const folder of [...this.#folders.values()]) {
      for (const [id, entry] of [...folder.entries]) {
        if (this.#leaving.has(entry)) this.#remove(folder, id, entry, entry.leavesAt);
      }
      this.#removeIfEmpty(folder);
    }
  }

  /** Everything is about to be read again. */
  beginReading(): void {
    this.#overflowed = false;
  }

  #overflow(): void {
    if (this.#overflowed) return;
    this.#overflowed = true;
    const { maxEntries, maxBytes, logger } = this.#options;
    logger.warn(
      { path: this.#prefix, maxEntries, maxBytes },
      'registry: there are more entries than are kept, some are passed over',
    );
  }

  /** Where a key belongs; undefined for what is no provider's entry. */
  #place(key: Uint8Array): { folder: Folder; id: string } | undefined {
    const path = keyText(key);
    const parts = path?.slice(this.#prefix.length).split('/') ?? [];
    const [name = '', id = ''] = parts;
    let folder = this.#folders.get(name);
    if (folder === undefined) {
      const attributes = this.#readAttributes(
        path ?? `${this.#prefix}…`,
        path === undefined ? '' : name,
      );
      if (attributes === undefined || attributes.role !== 'SRT_Provider') return undefined;
      folder = { name, attributes, entries: new Map() };
    }
    if (parts.length !== 2 || id === '') {
      this.#refuse(path ?? '', new Error('it is not ROOT/ATTRIBUTES/NODE_ID'));
      return undefined;
    }
    if (!this.#folders.has(name)) this.#add(folder);
    return { folder, id };
  }

  #add(folder: Folder): void {
    this.#folders.set(folder.name, folder);
    const folders = this.#byService.get(folder.attributes.service) ?? new Set();
    this.#byService.set(folder.attributes.service, folders.add(folder));
  }

  #removeIfEmpty(folder: Folder): void {
    if (folder.entries.size > 0) return;
    this.#folders.delete(folder.name);
    const folders = this.#byService.get(folder.attributes.service);
    folders?.delete(folder);
    if (folders?.size === 0) this.#byService.delete(folder.attributes.service);
  }

  #readAttributes(path: string, name: string): Attributes | undefined {
    try {
      return parseAttributes(name);
    } catch (error) {
      this.#refuse(path, error);
      return undefined;
    }
  }

  #refuse(path: string, error: unknown): void {
    const reason = messageOf(error);
    if (this.#refused.get(path) === reason || this.#refused.size > MAX_REFUSED) return;
    this.#refused.set(path, reason);
    const { logger } = this.#options;
    if (this.#refused.size > MAX_REFUSED)
      logger.warn(
        { path },
        `registry: over ${MAX_REFUSED} entries are none, no word is said of more`,
      );
    else logger.warn({ path, error }, 'registry: this is no entry, passed over');
  }
}

/** A key as text; undefined when it is too long or not UTF-8. */
export function keyText(key: Uint8Array): string | undefined {
  if (key.length > MAX_KEY_BYTES) return undefined;
  try {
    return UTF8.decode(key);
  } catch {
    return undefined;
  }
}
