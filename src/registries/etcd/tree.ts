/** What is known of everything under the root: entries by service, read when somebody asks for their service. */
import { messageOf } from '../../core/errors.js';
import type { Logger } from '../../core/logger.js';
import { type Attributes, MAX_ENTRY_BYTES, matches, parseAttributes, parseEntry } from '../../micro/attributes.js';
import type { ServiceNode, ServiceQuery } from '../../micro/types.js';
import type { KeyValue } from './kv_pb.js';

export interface TreeOptions {
  readonly maxEntries: number;
  readonly maxBytes: number;
  readonly logger: Logger;
}

interface Entry {
  readonly revision: bigint;
  /** Of its key and value. */
  readonly bytes: number;
  /** The value, until somebody asks for it. */
  text: string | undefined;
  /** Once it was asked for; undefined then: garbage. */
  node: ServiceNode | undefined;
  /** It was there before an outage, and is not now: its provider may be about to come back. */
  held: boolean;
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
  #held = 0;

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

  get holds(): boolean {
    return this.#held > 0;
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

  #parse(folder: Folder, id: string, entry: Entry): void {
    const { text = '' } = entry;
    entry.text = undefined;
    try {
      entry.node = parseEntry({ attributes: folder.name, id }, text);
    } catch (error) {
      this.#refuse(`${this.#prefix}${folder.name}/${id}`, error);
    }
  }

  put(kv: KeyValue): void {
    const place = this.#place(kv.key);
    if (place === undefined) return;
    const { folder, id } = place;
    const before = folder.entries.get(id);
    // The same, read once more.
    if (before?.revision === kv.modRevision) {
      this.#release(before);
      return;
    }
    if (before !== undefined) this.#drop(folder, id, before);
    this.#changed.add(folder.attributes.service);
    const path = `${this.#prefix}${folder.name}/${id}`;
    const text = this.#textOf(path, kv.value);
    const entry: Entry = {
      revision: kv.modRevision,
      bytes: kv.key.length + (text === undefined ? 0 : kv.value.length),
      text,
      node: undefined,
      held: false,
    };
    if (this.#size >= this.#options.maxEntries || this.#bytes + entry.bytes > this.#options.maxBytes) {
      this.#overflow();
      this.#removeIfEmpty(folder);
      return;
    }
    this.#size++;
    this.#bytes += entry.bytes;
    folder.entries.set(id, entry);
  }

  #textOf(path: string, value: Uint8Array): string | undefined {
    try {
      if (value.length > MAX_ENTRY_BYTES) throw new Error(`its value has ${value.length} bytes, at most ${MAX_ENTRY_BYTES} are read`);
      const text = UTF8.decode(value);
      this.#refused.delete(path);
      return text;
    } catch (error) {
      this.#refuse(path, error);
      return undefined;
    }
  }

  /** The entry is gone; with `hold` it stays in the lists until it is put again, or releaseHeld(). */
  delete(key: Uint8Array, hold: boolean): void {
    const place = this.#place(key);
    if (place === undefined) return;
    const entry = place.folder.entries.get(place.id);
    if (entry !== undefined) this.#remove(place.folder, place.id, entry, hold);
    this.#removeIfEmpty(place.folder);
  }

  #remove(folder: Folder, id: string, entry: Entry, hold: boolean): void {
    if (hold) {
      if (!entry.held) this.#held++;
      entry.held = true;
      return;
    }
    this.#drop(folder, id, entry);
    this.#changed.add(folder.attributes.service);
  }

  #drop(folder: Folder, id: string, entry: Entry): void {
    this.#release(entry);
    folder.entries.delete(id);
    this.#size--;
    this.#bytes -= entry.bytes;
    this.#refused.delete(`${this.#prefix}${folder.name}/${id}`);
  }

  #release(entry: Entry): void {
    if (entry.held) this.#held--;
    entry.held = false;
  }

  /** All that is there, by its key; whatever is not is deleted. */
  keepOnly(keys: ReadonlySet<string>, hold: boolean): void {
    for (const folder of [...this.#folders.values()]) {
      for (const [id, entry] of [...folder.entries]) {
        if (!keys.has(`${this.#prefix}${folder.name}/${id}`)) this.#remove(folder, id, entry, hold);
      }
      this.#removeIfEmpty(folder);
    }
    // Said of what is gone, so that it is said again should it come back.
    for (const path of [...this.#refused.keys()]) if (!keys.has(path)) this.#refused.delete(path);
  }

  /** What was held did not come back. */
  releaseHeld(): void {
    if (this.#held === 0) return;
    for (const folder of [...this.#folders.values()]) {
      for (const [id, entry] of [...folder.entries]) if (entry.held) this.#remove(folder, id, entry, false);
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
    logger.warn({ path: this.#prefix, maxEntries, maxBytes }, 'registry: there are more entries than are kept, some are passed over');
  }

  /** Where a key belongs; undefined for what is no provider's entry. */
  #place(key: Uint8Array): { folder: Folder; id: string } | undefined {
    const path = keyText(key);
    const parts = path?.slice(this.#prefix.length).split('/') ?? [];
    const [name = '', id = ''] = parts;
    let folder = this.#folders.get(name);
    if (folder === undefined) {
      const attributes = this.#readAttributes(path ?? `${this.#prefix}…`, path === undefined ? '' : name);
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
    if (this.#refused.size > MAX_REFUSED) logger.warn({ path }, `registry: over ${MAX_REFUSED} entries are none, no word is said of more`);
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
