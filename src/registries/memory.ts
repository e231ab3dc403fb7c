/** A registry within this process, for tests and for programs that are their own providers. */
import { gettyError } from '../core/errors.js';
import { badOption } from '../core/options.js';
import { checkQuery, entryPath, entryValue, matches, parseEntry } from '../micro/registry-entry.js';
import { type SnapshotSink, snapshots, sortedNodes } from '../micro/snapshots.js';
import type { Registry, ServiceNode, ServiceQuery } from '../micro/types.js';

interface Entry {
  readonly node: ServiceNode;
}

/** What the registries of one name share. */
class Place {
  /**
   * By path: what each registry has published there, the newest last, which is the one that counts.
   */
  readonly #entries = new Map<string, readonly Entry[]>();
  readonly watches = new Map<SnapshotSink, ServiceQuery>();
  users = 0;

  list(query: ServiceQuery): ServiceNode[] {
    return this.all().filter((node) => matches(node, query));
  }

  all(): ServiceNode[] {
    return [...this.#entries.values()].map((entries) => (entries.at(-1) as Entry).node);
  }

  add(path: string, entry: Entry): void {
    this.#entries.set(path, [...(this.#entries.get(path) ?? []), entry]);
  }

  /** An older entry of another registry counts again. */
  remove(path: string, entry: Entry): void {
    const left = (this.#entries.get(path) ?? []).filter((other) => other !== entry);
    if (left.length > 0) this.#entries.set(path, left);
    else this.#entries.delete(path);
  }

  changed(node: ServiceNode): void {
    for (const [sink, query] of this.watches) {
      if (matches(node, query)) sink.offer(this.list(query));
    }
  }
}

const places = new Map<string, Place>();

function placeOf(name: string | undefined): Place {
  if (name === undefined) return new Place();
  let place = places.get(name);
  if (place === undefined) {
    place = new Place();
    places.set(name, place);
  }
  return place;
}

class MemoryRegistry implements Registry {
  readonly #name: string | undefined;
  readonly #place: Place;
  readonly #own = new Map<string, Entry>();
  readonly #watches = new Set<SnapshotSink>();
  #closed = false;

  constructor(name: string | undefined) {
    this.#name = name;
    this.#place = placeOf(name);
    this.#place.users++;
  }

  async register(node: ServiceNode): Promise<AsyncDisposable> {
    if (this.#closed) throw gettyError('REGISTRY_FAILED', 'the memory registry is closed');
    const path = entryPath('', node);
    // Through the entry's form, so that the node is exactly what another registry would have given
    // back.
    const entry = { node: parseEntry(path, entryValue(node)) };
    const before = this.#own.get(path);
    this.#place.add(path, entry);
    if (before !== undefined) this.#place.remove(path, before);
    this.#own.set(path, entry);
    this.#place.changed(entry.node);
    return { [Symbol.asyncDispose]: async () => this.#remove(path, entry) };
  }

  #remove(path: string, entry: Entry): void {
    if (this.#own.get(path) !== entry) return;
    this.#own.delete(path);
    this.#place.remove(path, entry);
    this.#place.changed(entry.node);
  }

  watch(
    query: ServiceQuery,
    options: { signal?: AbortSignal | undefined } = {},
  ): AsyncIterable<readonly ServiceNode[]> {
    checkQuery(query, options);
    return snapshots((sink) => {
      if (this.#closed) {
        sink.end();
        return () => {};
      }
      this.#watches.add(sink);
      this.#place.watches.set(sink, query);
      sink.offer(this.#place.list(query));
      return () => {
        this.#watches.delete(sink);
        this.#place.watches.delete(sink);
      };
    }, options.signal);
  }

  async list(): Promise<readonly ServiceNode[]> {
    if (this.#closed) throw gettyError('REGISTRY_FAILED', 'the memory registry is closed');
    return sortedNodes(this.#place.all());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const sink of [...this.#watches]) sink.end();
    for (const [path, entry] of [...this.#own]) this.#remove(path, entry);
    this.#place.users--;
    if (this.#place.users === 0 && this.#name !== undefined) places.delete(this.#name);
  }
}

/**
 * A registry within this process. Registries of one name share their entries; one without a name
 * has its own. Disposing it ends its watches and removes what it registered. Throws BAD_OPTION.
 */
export function memory(name?: string): Registry {
  if (name !== undefined && typeof name !== 'string') throw badOption('name', name, 'a string');
  return new MemoryRegistry(name);
}
