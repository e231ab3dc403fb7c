/**
 * All entries below the root, by service. A small entry is parsed when a list first includes it, a
 * large one at once.
 */
import type { Logger } from '../../core/logger.js';
import { nextTurn, spend, unitsOf } from '../../core/turn.js';
import {
  type Attributes,
  MAX_ENTRY_BYTES,
  matches,
  parseEntry,
  readAttributes,
} from '../../micro/registry-entry.js';
import type { ServiceNode, ServiceQuery } from '../../micro/types.js';
import { EntryBudget, type EntryLimits, entryBytes, groupBytes } from '../shared/entry-budget.js';
import { InvalidEntries } from '../shared/invalid-entries.js';
import type { Entry, Group } from './entry-group.js';
import { decodeText, keyText } from './entry-key.js';
import type { KeyValue } from './proto/kv_pb.js';

export interface EntryCacheOptions extends EntryLimits {
  readonly logger: Logger;
}

export interface EntryCacheEvents {
  /** Logs invalid entries. Default: the logger of the options. */
  readonly invalid?: Logger;
  /** Whether changes of the service are of interest. Default: none is. */
  readonly isWatched?: (service: string) => boolean;
}

/** Units of core/turn.ts for an entry, besides those of its value. */
const ENTRY_UNITS = 4;
/** The longest text of an entry that is parsed only when a list includes it. */
const LAZY_LENGTH = 1024;

export class EntryCache {
  readonly #prefix: string;
  readonly #groups = new Map<string, Group>();
  readonly #byService = new Map<string, Set<Group>>();
  readonly #isWatched: (service: string) => boolean;
  /** Watched services whose lists may have changed since takeChangedServices(). */
  #changedServices = new Set<string>();
  readonly #invalid: InvalidEntries;
  readonly #budget: EntryBudget;
  /** The number of full reads that have begun. */
  #read = 0;
  /** Entries whose keys were deleted and that are still in the lists. */
  readonly #expiring = new Map<Entry, { readonly group: Group; readonly id: string }>();
  #nextRemovalAt = Number.POSITIVE_INFINITY;

  /** `prefix`: the root with a slash at its end. */
  constructor(prefix: string, options: EntryCacheOptions, events: EntryCacheEvents = {}) {
    this.#prefix = prefix;
    this.#budget = new EntryBudget(prefix, options, options.logger);
    this.#isWatched = events.isWatched ?? (() => false);
    this.#invalid = new InvalidEntries(events.invalid ?? options.logger);
  }

  /** Returns the watched services whose lists may have changed since the last call. */
  takeChangedServices(): ReadonlySet<string> {
    const changed = this.#changedServices;
    this.#changedServices = new Set();
    return changed;
  }

  /** Whether entries did not fit and there is room now. Then everything must be read again. */
  get hasRoomAgain(): boolean {
    return this.#budget.hasRoomAgain;
  }

  /**
   * When removeExpired() must be called: a time of performance.now(). Infinity: no key of an entry
   * was deleted.
   */
  get nextRemovalAt(): number {
    return this.#nextRemovalAt;
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
  async listAll(): Promise<ServiceNode[]> {
    const nodes: ServiceNode[] = [];
    for (const group of this.#groups.values()) {
      for (const [id, entry] of group.entries) {
        if (spend(ENTRY_UNITS + unitsOf(entry.bytes))) await nextTurn();
        if (entry.text !== undefined) this.#parse(group, id, entry);
        if (entry.node !== undefined) nodes.push(entry.node);
      }
    }
    return nodes;
  }

  #parse(group: Group, id: string, entry: Entry): void {
    const { text = '' } = entry;
    entry.text = undefined;
    const path = `${this.#prefix}${group.name}/${id}`;
    try {
      entry.node = parseEntry({ attributes: group.name, id }, text);
      this.#invalid.forget(path);
    } catch (error) {
      this.#invalid.report(path, error);
    }
  }

  /** Puts all of them, in several turns. */
  async putAll(kvs: readonly KeyValue[]): Promise<void> {
    for (const kv of kvs) {
      if (this.spendOn(kv)) await nextTurn();
      this.put(kv);
    }
  }

  /** Counts the work of one entry in core/turn.ts. Returns true if the rest must wait. */
  spendOn({ value }: KeyValue): boolean {
    return spend(ENTRY_UNITS + unitsOf(value.length));
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
    this.#onChange(group);
    const path = `${this.#prefix}${group.name}/${id}`;
    const text = this.#textOf(path, kv.value);
    const bytes = entryBytes(path, text, group.attributes);
    if (!this.#budget.add(bytes + (group.entries.size === 0 ? group.bytes : 0)))
      return this.#removeIfEmpty(group);
    const read = this.#read;
    const removeAt = Number.POSITIVE_INFINITY;
    const entry: Entry = { bytes, read, text, node: undefined, removeAt };
    group.entries.set(id, entry);
    // list() cannot divide its work among turns.
    if (text !== undefined && text.length > LAZY_LENGTH) this.#parse(group, id, entry);
  }

  #onChange({ attributes: { service } }: Group): void {
    if (this.#isWatched(service)) this.#changedServices.add(service);
  }

  #textOf(path: string, value: Uint8Array): string | undefined {
    try {
      if (value.length > MAX_ENTRY_BYTES)
        throw new Error(`its value has ${value.length} bytes, at most ${MAX_ENTRY_BYTES} are read`);
      return decodeText(value);
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
    const found = this.#find(keyText(key) ?? '');
    if (found === undefined) return;
    this.#remove(found.group, found.id, found.entry, removeAt);
    this.#removeIfEmpty(found.group);
  }

  #find(path: string): { group: Group; id: string; entry: Entry } | undefined {
    const [name = '', id = '', ...rest] = path.slice(this.#prefix.length).split('/');
    const group = this.#groups.get(name);
    const entry = group?.entries.get(id);
    if (group === undefined || entry === undefined || rest.length > 0) return undefined;
    return { group, id, entry };
  }

  #remove(group: Group, id: string, entry: Entry, removeAt: number): void {
    entry.removeAt = Math.min(entry.removeAt, removeAt);
    if (entry.removeAt > performance.now()) {
      this.#expiring.set(entry, { group, id });
      this.#nextRemovalAt = Math.min(this.#nextRemovalAt, entry.removeAt);
      return;
    }
    this.#drop(group, id, entry);
    this.#invalid.forget(`${this.#prefix}${group.name}/${id}`);
    this.#onChange(group);
  }

  #drop(group: Group, id: string, entry: Entry): void {
    this.#expiring.delete(entry);
    group.entries.delete(id);
    this.#budget.remove(entry.bytes + (group.entries.size === 0 ? group.bytes : 0));
  }

  /** Must be called before everything is read again. */
  beginRead(): void {
    this.#read++;
    this.#budget.retry();
    this.#invalid.beginRead();
  }

  /**
   * Must be called when everything was read. The entries that were not put since beginRead() stay
   * until `removeAt`.
   */
  async endRead(removeAt: number): Promise<void> {
    for (const group of this.#groups.values()) {
      for (const [id, entry] of group.entries) {
        if (spend(1)) await nextTurn();
        if (entry.read !== this.#read) this.#remove(group, id, entry, removeAt);
      }
      this.#removeIfEmpty(group);
    }
    // An invalid entry that is deleted and written again is logged again.
    this.#invalid.endRead((path) => this.#find(path) !== undefined);
  }

  /** Removes the entries whose `removeAt` has passed. */
  async removeExpired(): Promise<void> {
    this.#nextRemovalAt = Number.POSITIVE_INFINITY;
    for (const [entry, { group, id }] of this.#expiring) {
      if (spend(1)) await nextTurn();
      // It may have been put again meanwhile.
      if (this.#expiring.has(entry)) this.#remove(group, id, entry, entry.removeAt);
      this.#removeIfEmpty(group);
    }
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
      group = { name, attributes, bytes: groupBytes(name, attributes), entries: new Map() };
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
    // A removed group may have been made again, as another object.
    if (group.entries.size > 0 || this.#groups.get(group.name) !== group) return;
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
