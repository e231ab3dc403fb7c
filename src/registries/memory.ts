/** A registry within this process, for tests and for programs that call their own services. */
import { gettyError } from '../core/errors.js';
import { badOption } from '../core/options.js';
import { entryPath, entryValue, matches, parseEntry } from '../micro/registry-entry.js';
import { type SnapshotSink, sortedNodes } from '../micro/snapshots.js';
import type { PublicationListener, Registry, ServiceNode, ServiceQuery } from '../micro/types.js';
import { Registration } from './shared/registration.js';
import { watchQuery } from './shared/watch-query.js';

interface Entry {
  readonly node: ServiceNode;
  readonly registration: Registration;
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

  /**
   * Publishes `entry` in place of `replaced`, the entry of the same registry. An entry of another
   * registry at the same path leaves the lists.
   */
  add(path: string, entry: Entry, replaced: Entry | undefined): void {
    const before = this.#entries.get(path) ?? [];
    const last = before.at(-1);
    this.#entries.set(path, [...before.filter((other) => other !== replaced), entry]);
    this.#offerChange(entry.node);
    if (last !== replaced) last?.registration.report(false);
  }

  /** The entry of another registry at the same path returns to the lists. */
  remove(path: string, entry: Entry): void {
    const before = this.#entries.get(path) ?? [];
    const left = before.filter((other) => other !== entry);
    if (left.length > 0) this.#entries.set(path, left);
    else this.#entries.delete(path);
    this.#offerChange(entry.node);
    left.at(-1)?.registration.report(true);
  }

  #offerChange(node: ServiceNode): void {
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

  async register(node: ServiceNode, onPublished?: PublicationListener): Promise<AsyncDisposable> {
    if (this.#isClosed) throw gettyError('REGISTRY_FAILED', 'the memory registry is closed');
    const path = entryPath('', node);
    // The node is encoded and decoded, so that it is exactly what any other registry returns.
    const published = parseEntry(path, entryValue(node));
    // When register() resolves, the entry is there: the listener is not called for that.
    const entry = { node: published, registration: new Registration(path, onPublished, true) };
    const replaced = this.#own.get(path);
    this.#own.set(path, entry);
    this.#shared.add(path, entry, replaced);
    return { [Symbol.asyncDispose]: async () => this.#remove(path, entry) };
  }

  #remove(path: string, entry: Entry): void {
    if (this.#own.get(path) !== entry) return;
    this.#own.delete(path);
    this.#shared.remove(path, entry);
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
