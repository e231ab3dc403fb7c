/** All entries below the root, by service. An entry is parsed when a list first includes it. */
import type { Logger } from '../../core/logger.js';
import {
  type Attributes,
  MAX_ENTRY_BYTES,
  matches,
  parseEntry,
  readAttributes,
} from '../../micro/registry-entry.js';
import type { ServiceNode, ServiceQuery } from '../../micro/types.js';
import { InvalidEntries } from '../shared/invalid-entries.js';
import type { KeyValue } from './proto/kv_pb.js';

export interface EntryCacheOptions {
  readonly maxEntries: number;
  readonly maxBytes: number;
  readonly logger: Logger;
}

interface Entry {
  /** The bytes of its key and value. */
  readonly bytes: number;
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
interface Group {
  /** ATTRIBUTES as in the key. */
  readonly name: string;
  readonly attributes: Attributes;
  readonly entries: Map<string, Entry>;
}

/** A longer key is no entry. */
const MAX_KEY_BYTES = 16 * 1024;
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export class EntryCache {
  readonly #prefix: string;
  readonly #options: EntryCacheOptions;
  readonly #groups = new Map<string, Group>();
  readonly #byService = new Map<string, Set<Group>>();
  /** Services whose lists may have changed since takeChangedServices(). */
  #changedServices = new Set<string>();
  readonly #invalid: InvalidEntries;
  #size = 0;
  #bytes = 0;
  #isFull = false;
  /** Entries whose keys were deleted and that are still in the lists. */
  readonly #expiring = new Set<Entry>();

  /** `prefix`: the root with a slash at its end. */
  constructor(prefix: string, options: EntryCacheOptions) {
    this.#prefix = prefix;
    this.#options = options;
    this.#invalid = new InvalidEntries(options.logger);
  }

  /** Returns the services whose lists may have changed since the last call. */
  takeChangedServices(): ReadonlySet<string> {
    const changed = this.#changedServices;
    this.#changedServices = new Set();
    return changed;
  }

  /** Whether entries did not fit and there is room now. Then everything must be read again. */
  get hasRoomAgain(): boolean {
    const { maxEntries, maxBytes } = this.#options;
    return this.#isFull && this.#size < maxEntries * 0.9 && this.#bytes < maxBytes * 0.9;
  }

  /**
   * When the next entry whose key was deleted leaves the lists: a time of performance.now().
   * Infinity: there is none.
   */
  get nextRemovalAt(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { removeAt } of this.#expiring) next = Math.min(next, removeAt);
    return next;
  }

  /** Returns the nodes that match the query, in any order. */
  list(query: ServiceQuery): ServiceNode[] {
    const nodes: ServiceNode[] = [];
    for (const group of this.#byService.get(query.service) ?? []) {
      if (!matches(group.attributes, query)) continue;
      for (const [id, entry] of group.entries) {
        if (entry.text !== undefined) this.#parse(group, id, entry);
        if (entry.node !== undefined) nodes.push(entry.node);
      }
    }
    return nodes;
  }

  /** Returns the nodes of all services, in any order. */
  listAll(): ServiceNode[] {
    return [...this.#byService.keys()].flatMap((service) => this.list({ service }));
  }

  #parse(group: Group, id: string, entry: Entry): void {
    const { text = '' } = entry;
    entry.text = undefined;
    try {
      entry.node = parseEntry({ attributes: group.name, id }, text);
      this.#invalid.forget(`${this.#prefix}${group.name}/${id}`);
    } catch (error) {
      this.#invalid.report(`${this.#prefix}${group.name}/${id}`, error);
    }
  }

  /**
   * Replaces the entry, whatever its revision: a restored cluster may use a revision again with
   * another value.
   */
  put(kv: KeyValue): void {
    const location = this.#locate(kv.key);
    if (location === undefined) return;
    const { group, id } = location;
    const before = group.entries.get(id);
    if (before !== undefined) this.#drop(group, id, before);
    this.#changedServices.add(group.attributes.service);
    const text = this.#textOf(`${this.#prefix}${group.name}/${id}`, kv.value);
    const bytes = kv.key.length + (text === undefined ? 0 : kv.value.length);
    if (this.#size >= this.#options.maxEntries || this.#bytes + bytes > this.#options.maxBytes) {
      this.#onFull();
      this.#removeIfEmpty(group);
      return;
    }
    this.#size++;
    this.#bytes += bytes;
    group.entries.set(id, { bytes, text, node: undefined, removeAt: Number.POSITIVE_INFINITY });
  }

  #textOf(path: string, value: Uint8Array): string | undefined {
    try {
      if (value.length > MAX_ENTRY_BYTES)
        throw new Error(`its value has ${value.length} bytes, at most ${MAX_ENTRY_BYTES} are read`);
      return UTF8.decode(value);
    } catch (error) {
      this.#invalid.report(path, error);
      return undefined;
    }
  }

  /**
   * Handles the deletion of a key. The entry stays in the lists until `removeAt`, a time of
   * performance.now(), or until it is put again.
   */
  delete(key: Uint8Array, removeAt: number): void {
    const location = this.#locate(key);
    if (location === undefined) return;
    const entry = location.group.entries.get(location.id);
    if (entry !== undefined) this.#remove(location.group, location.id, entry, removeAt);
    this.#removeIfEmpty(location.group);
  }

  #remove(group: Group, id: string, entry: Entry, removeAt: number): void {
    entry.removeAt = Math.min(entry.removeAt, removeAt);
    if (entry.removeAt > performance.now()) {
      this.#expiring.add(entry);
      return;
    }
    this.#drop(group, id, entry);
    this.#invalid.forget(`${this.#prefix}${group.name}/${id}`);
    this.#changedServices.add(group.attributes.service);
  }

  #drop(group: Group, id: string, entry: Entry): void {
    this.#expiring.delete(entry);
    group.entries.delete(id);
    this.#size--;
    this.#bytes -= entry.bytes;
  }

  /** `keys`: all keys that exist. The other entries stay until `removeAt`. */
  keepOnly(keys: ReadonlySet<string>, removeAt: number): void {
    for (const group of [...this.#groups.values()]) {
      for (const [id, entry] of [...group.entries]) {
        if (!keys.has(`${this.#prefix}${group.name}/${id}`))
          this.#remove(group, id, entry, removeAt);
      }
      this.#removeIfEmpty(group);
    }
    // An invalid entry that is deleted and written again is logged again.
    this.#invalid.keepOnly((path) => keys.has(path));
  }

  /** Removes the entries whose `removeAt` has passed. */
  removeExpired(): void {
    if (this.#expiring.size === 0) return;
    for (const group of [...this.#groups.values()]) {
      for (const [id, entry] of [...group.entries]) {
        if (this.#expiring.has(entry)) this.#remove(group, id, entry, entry.removeAt);
      }
      this.#removeIfEmpty(group);
    }
  }

  /** Must be called before everything is read again. */
  beforeFullRead(): void {
    this.#isFull = false;
  }

  #onFull(): void {
    if (this.#isFull) return;
    this.#isFull = true;
    const { maxEntries, maxBytes, logger } = this.#options;
    logger.warn(
      { path: this.#prefix, maxEntries, maxBytes },
      'registry: the cache is full, more entries are skipped',
    );
  }

  /** undefined: the key is not that of a provider's entry. */
  #locate(key: Uint8Array): { group: Group; id: string } | undefined {
    const path = keyText(key);
    const parts = path?.slice(this.#prefix.length).split('/') ?? [];
    const [name = '', id = ''] = parts;
    let group = this.#groups.get(name);
    if (group === undefined) {
      const attributes = this.#readAttributes(
        path ?? `${this.#prefix}…`,
        path === undefined ? '' : name,
      );
      if (attributes === undefined || attributes.role !== 'SRT_Provider') return undefined;
      group = { name, attributes, entries: new Map() };
    }
    if (parts.length !== 2 || id === '') {
      this.#invalid.report(path ?? '', 'it is not ROOT/ATTRIBUTES/NODE_ID');
      return undefined;
    }
    if (!this.#groups.has(name)) this.#add(group);
    return { group, id };
  }

  #add(group: Group): void {
    this.#groups.set(group.name, group);
    const groups = this.#byService.get(group.attributes.service) ?? new Set();
    this.#byService.set(group.attributes.service, groups.add(group));
  }

  #removeIfEmpty(group: Group): void {
    if (group.entries.size > 0) return;
    this.#groups.delete(group.name);
    const groups = this.#byService.get(group.attributes.service);
    groups?.delete(group);
    if (groups?.size === 0) this.#byService.delete(group.attributes.service);
  }

  #readAttributes(path: string, name: string): Attributes | undefined {
    const attributes = readAttributes(name);
    if (!('why' in attributes)) return attributes;
    this.#invalid.report(path, attributes.why);
    return undefined;
  }
}

/** Returns the key as text. undefined: it is too long or not UTF-8. */
export function keyText(key: Uint8Array): string | undefined {
  if (key.length > MAX_KEY_BYTES) return undefined;
  try {
    return UTF8.decode(key);
  } catch {
    return undefined;
  }
}
