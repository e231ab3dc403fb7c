/** The watchers of a session, by kind and path. Each is called once. */
import type { WatchEventType, Watcher } from '../types.js';
import type { WatchedPaths } from './protocol.js';

export type WatchKind = 'data' | 'exist' | 'child';

const KINDS: Readonly<Record<WatchEventType, readonly WatchKind[]>> = {
  created: ['data', 'exist'],
  changed: ['data', 'exist'],
  deleted: ['data', 'exist', 'child'],
  children: ['child'],
  lost: ['data', 'exist', 'child'],
};

export class WatcherTable {
  readonly #watchers: Readonly<Record<WatchKind, Map<string, Set<Watcher>>>> = {
    data: new Map(),
    exist: new Map(),
    child: new Map(),
  };

  /** A watcher that is added twice is called once. */
  add(kind: WatchKind, path: string, watcher: Watcher): void {
    const watchers = this.#watchers[kind].get(path);
    if (watchers === undefined) this.#watchers[kind].set(path, new Set([watcher]));
    else watchers.add(watcher);
  }

  remove(path: string, watcher: Watcher): void {
    for (const watched of Object.values(this.#watchers)) {
      const watchers = watched.get(path);
      if (watchers?.delete(watcher) && watchers.size === 0) watched.delete(path);
    }
  }

  /** Removes and returns the watchers of an event, each once. */
  take(type: WatchEventType, path: string): ReadonlySet<Watcher> {
    const taken = new Set<Watcher>();
    for (const kind of KINDS[type]) {
      for (const watcher of this.#watchers[kind].get(path) ?? []) taken.add(watcher);
      this.#watchers[kind].delete(path);
    }
    return taken;
  }

  get paths(): WatchedPaths {
    const { data, exist, child } = this.#watchers;
    return { data: [...data.keys()], exist: [...exist.keys()], child: [...child.keys()] };
  }

  get size(): number {
    return Object.values(this.#watchers).reduce((sum, watched) => sum + watched.size, 0);
  }
}
