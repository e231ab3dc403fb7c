/** A registry within this process, for tests and for programs that are their own providers. */
import { gettyError } from '../core/errors.js';
import { badOption } from '../core/options.js';
import { checkQuery, entryPath, entryValue, matches, parseEntry } from '../micro/attributes.js';
import { type SnapshotSink, snapshots } from '../micro/snapshots.js';
import type { Registry, ServiceNode, ServiceQuery } from '../micro/types.js';

/** What the registries of one name share. */
class Place {
  /** By path. The object is the registration's own: who replaced it is not removed by it. */
  readonly entries = new Map<string, { readonly node: ServiceNode }>();
  readonly watches = new Map<SnapshotSink, ServiceQuery>();
  users = 0;

  list(query: ServiceQuery): ServiceNode[] {
    return [...this.entries.values()].map(({ node }) => node).filter((node) => matches(node, query));
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
  readonly #own = new Map<string, { readonly node: ServiceNode }>();
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
    // Through the entry's form, so that the node is exactly what another registry would have given back.
    const entry = { node: parseEntry(path, entryValue(node)) };
    this.#place.entries.set(path, entry);
    this.#own.set(path, entry);
    this.#place.changed(entry.node);
    return { [Symbol.asyncDispose]: async () => this.#remove(path, entry) };
  }

  #remove(path: string, entry: { readonly node: ServiceNode }): void {
    if (this.#own.get(path) === entry) this.#own.delete(path);
    if (this.#place.entries.get(path) !== entry) return;
    this.#place.entries.delete(path);
    this.#place.changed(entry.node);
  }

  watch(query: ServiceQuery, options: { signal?: AbortSignal | undefined } = {}): AsyncIterable<readonly ServiceNode[]> {
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
 * A registry within this process. Registries of one name share their entries; one without a name has its own.
 * Disposing it ends its watches and removes what it registered. Throws BAD_OPTION.
 */
export function memory(name?: string): Registry {
  if (name !== undefined && typeof name !== 'string') throw badOption('name', name, 'a string');
  return new MemoryRegistry(name);
}
