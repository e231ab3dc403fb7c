/** The entries of a registry on a simulated host, with leases. They survive a crash of the host. */

export interface StoredEntry {
  readonly path: string;
  readonly value: string;
}

interface Lease extends StoredEntry {
  readonly owner: string;
  expiresAt: number;
}

export class RegistryStore {
  /** Milliseconds: an entry whose owner is silent for this long is removed. */
  readonly ttl: number;
  readonly #leases = new Map<string, Lease>();
  /** Hosts whose entries no list has. */
  readonly #hidden = new Set<string>();
  /** Changes with each change of the lists. */
  revision = 0;

  constructor(ttl: number) {
    this.ttl = ttl;
  }

  /** The entries in the order of their paths. */
  list(): StoredEntry[] {
    return [...this.#leases.values()]
      .filter(({ value }) => ![...this.#hidden].some((host) => value.includes(`://${host}:`)))
      .map(({ path, value }) => ({ path, value }))
      .sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  put({ path, value }: StoredEntry, owner: string): void {
    this.#leases.set(path, { path, value, owner, expiresAt: performance.now() + this.ttl });
    this.revision++;
  }

  remove(path: string, owner: string): void {
    if (this.#leases.get(path)?.owner !== owner) return;
    this.#leases.delete(path);
    this.revision++;
  }

  /** Extends the leases of `owner`. Returns the paths that it does not own. */
  keepAlive(owner: string, paths: readonly string[]): string[] {
    const missing: string[] = [];
    for (const path of paths) {
      const lease = this.#leases.get(path);
      if (lease?.owner === owner) lease.expiresAt = performance.now() + this.ttl;
      else if (lease === undefined) missing.push(path);
    }
    return missing;
  }

  /** All leases begin again: the registry was down, and its clients could not extend them. */
  restart(): void {
    for (const lease of this.#leases.values()) lease.expiresAt = performance.now() + this.ttl;
  }

  removeExpired(): void {
    for (const { path, expiresAt } of [...this.#leases.values()]) {
      if (expiresAt > performance.now()) continue;
      this.#leases.delete(path);
      this.revision++;
    }
  }

  /** Removes the entries of a host from all lists, or shows them again. */
  setHidden(host: string, isHidden: boolean): void {
    if (isHidden) this.#hidden.add(host);
    else this.#hidden.delete(host);
    this.revision++;
  }
}
