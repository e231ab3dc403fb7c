/** A registry within this process, for tests and for programs that call their own services. */
import { gettyError } from '../core/errors.js';
import { badOption } from '../core/options.js';
import { entryPath, entryValue, matches, parseEntry } from '../micro/registry-entry.js';
import { type SnapshotSink, sortedNodes } from '../micro/snapshots.js';
import type { Registry, ServiceNode, ServiceQuery } from '../micro/types.js';
import { watchQuery } from './shared/watch-query.js';

interface Entry {
  readonly node: ServiceNode;
}

/** The entries and watches of all registries with one name. */
class SharedEntries {
  /** The entries of all registries, by path. The entry that was published last is in the lists. */
  readonly #entries = new Map<string, readonly Entry[]>();
  readonly watches = new Map<SnapshotSink, ServiceQuery>();
  registryCount = 0;

  list(query: ServiceQuery): ServiceNode[] {
    return this.all().filter((node) => matches(node, query));
  }

  all(): ServiceNode[] {
    return [...this.#entries.values()].map((entries) => (entries.at(-1) as Entry).node);
  }

  add(path: string, entry: Entry): void {
    this.#entries.set(path, [...(this.#entries.get(path) ?? []), entry]);
  }

  /** The entry of another registry at the same path returns to the lists. */
  remove(path: string, entry: Entry): void {
    const left = (this.#entries.get(path) ?? []).filter((other) => other !== entry);
    if (left.length > 0) this.#entries.set(path, left);
    else this.#entries.delete(path);
  }

  offerChange(node: ServiceNode): void {
    for (const [sink, query] of this.watches) {
      if (matches(node, query)) sink.offer(this.list(query));
    }
  }
}

const sharedByName = new Map<string, SharedEntries>();

function sharedEntriesOf(name: string | undefined): SharedEntries {
  if (name === undefined) return new SharedEntries();
  let shared = sharedByName.get(name);
  if (shared === undefined) {
    shared = new SharedEntries();
    sharedByName.set(name, shared);
  }
  return shared;
}

class MemoryRegistry implements Registry {
  readonly #name: string | undefined;
  readonly #shared: SharedEntries;
  readonly #own = new Map<string, Entry>();
  readonly #watches = new Set<SnapshotSink>();
  #isClosed = false;

  constructor(name: string | undefined) {
    this.#name = name;
    this.#shared = sharedEntriesOf(name);
    this.#shared.registryCount++;
  }

  async register(node: ServiceNode): Promise<AsyncDisposable> {
    if (this.#isClosed) throw gettyError('REGISTRY_FAILED', 'the memory registry is closed');
    const path = entryPath('', node);
    // The node is encoded and decoded, so that it is exactly what any other registry returns.
    const entry = { node: parseEntry(path, entryValue(node)) };
    const before = this.#own.get(path);
    this.#shared.add(path, entry);
    if (before !== undefined) this.#shared.remove(path, before);
    this.#own.set(path, entry);
    this.#shared.offerChange(entry.node);
    return { [Symbol.asyncDispose]: async () => this.#remove(path, entry) };
  }

  #remove(path: string, entry: Entry): void {
    if (this.#own.get(path) !== entry) return;
    this.#own.delete(path);
    this.#shared.remove(path, entry);
    this.#shared.offerChange(entry.node);
  }

  watch(
    query: ServiceQuery,
    options: { signal?: AbortSignal | undefined } = {},
  ): AsyncIterable<readonly ServiceNode[]> {
    return watchQuery(query, options, (sink) => {
      if (this.#isClosed) return undefined;
      this.#watches.add(sink);
      this.#shared.watches.set(sink, query);
      sink.offer(this.#shared.list(query));
      return () => {
        this.#watches.delete(sink);
        this.#shared.watches.delete(sink);
      };
    });
  }

  async list(): Promise<readonly ServiceNode[]> {
    if (this.#isClosed) throw gettyError('REGISTRY_FAILED', 'the memory registry is closed');
    return sortedNodes(this.#shared.all());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const sink of [...this.#watches]) sink.end();
    for (const [path, entry] of [...this.#own]) this.#remove(path, entry);
    this.#shared.registryCount--;
    if (this.#shared.registryCount === 0 && this.#name !== undefined)
      sharedByName.delete(this.#name);
  }
}

/**
 * Makes a registry within this process. Registries with the same name share their entries; a
 * registry without a name shares none. Disposing it ends its watches and removes its entries.
 * Throws BAD_OPTION.
 */
export function memory(name?: string): Registry {
  if (name !== undefined && typeof name !== 'string') throw badOption('name', name, 'a string');
  return new MemoryRegistry(name);
}
