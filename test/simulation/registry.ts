/** A registry that runs on a simulated host: the server, and the Registry that its clients use. */
import { randomUUID } from 'node:crypto';
import { gettyError, messageOf } from '../../src/core/errors.js';
import type { Registry, ServiceNode, ServiceQuery } from '../../src/micro/index.js';
import { entryPath, entryValue, matches, parseEntry } from '../../src/micro/registry-entry.js';
import { sortedNodes } from '../../src/micro/snapshots.js';
import {
  connect,
  contract,
  implement,
  type RpcClient,
  type RpcServer,
  serve,
  unary,
} from '../../src/rpc/index.js';
import type { RegistryStore, StoredEntry } from './registry-store.js';

const RegistryService = contract('Registry', {
  put: unary<StoredEntry & { owner: string }, null>({ idempotent: true }),
  remove: unary<{ path: string; owner: string }, null>({ idempotent: true }),
  keepAlive: unary<{ owner: string; paths: string[] }, string[]>({ idempotent: true }),
  /** Without `entries` if the revision is still that of the request. */
  list: unary<{ revision: number }, { revision: number; entries?: StoredEntry[] }>({
    idempotent: true,
  }),
});

/** Milliseconds. */
const SWEEP_PERIOD = 500;
const REQUEST_TIMEOUT = 3_000;
/** How often a client that watches asks for the list. */
const POLL_PERIOD = 1_000;

/** Serves `store` at `address`. Call it on the host of the registry. */
export async function serveRegistry(address: string, store: RegistryStore): Promise<RpcServer> {
  store.restart();
  const sweep = setInterval(() => store.removeExpired(), SWEEP_PERIOD);
  const server = await serve(address, [
    implement(RegistryService, {
      put({ owner, ...entry }) {
        store.put(entry, owner);
        return null;
      },
      remove({ path, owner }) {
        store.remove(path, owner);
        return null;
      },
      keepAlive: ({ owner, paths }) => store.keepAlive(owner, paths),
      list({ revision }) {
        const current = store.revision;
        return revision === current ? { revision } : { revision: current, entries: store.list() };
      },
    }),
  ]);
  const close = server.close.bind(server);
  server.close = () => {
    clearInterval(sweep);
    return close();
  };
  return server;
}

/** A Registry whose server is at `address`. Call it on the host of the client. */
export class RegistryClient implements Registry {
  readonly #address: string;
  readonly #owner = randomUUID();
  readonly #ttl: number;
  /** The values of own entries, by path. */
  readonly #entries = new Map<string, string>();
  readonly #timer: NodeJS.Timeout;
  #client: Promise<RpcClient> | undefined;
  /** The latest list. Undefined: the registry could not be asked. */
  #snapshot: readonly ServiceNode[] | undefined;
  #revision = -1;
  #failure: unknown;
  #isPolling = false;
  #pollTimer: NodeJS.Timeout | undefined;
  #endPause: () => void = () => {};
  /** Watches that have not ended. */
  #watches = 0;
  /** Continue the watches that wait for a change. */
  readonly #waiting = new Set<() => void>();
  #isClosed = false;

  constructor(address: string, ttl: number) {
    this.#address = address;
    this.#ttl = ttl;
    this.#timer = setInterval(() => void this.#keepAlive(), this.#ttl / 5);
  }

  async #stub() {
    if (this.#isClosed) throw gettyError('REGISTRY_FAILED', 'the registry is closed');
    this.#client ??= connect(this.#address, {
      heartbeatPeriod: 2_000,
      connectTimeout: 3_000,
      reconnect: { initialDelay: 100, maxDelay: 2_000, retryFirst: true },
    });
    return (await this.#client).stub(RegistryService);
  }

  async #keepAlive(): Promise<void> {
    if (this.#entries.size === 0) return;
    try {
      const stub = await this.#stub();
      const request = { owner: this.#owner, paths: [...this.#entries.keys()] };
      const missing = await stub.keepAlive(request, { timeout: this.#ttl / 5 });
      for (const path of missing) await this.#put(path);
    } catch {
      // The next period tries again.
    }
  }

  async #put(path: string): Promise<void> {
    const value = this.#entries.get(path);
    if (value === undefined) return;
    const stub = await this.#stub();
    await stub.put({ path, value, owner: this.#owner }, { timeout: REQUEST_TIMEOUT });
  }

  async register(node: ServiceNode): Promise<AsyncDisposable> {
    const path = entryPath('', node);
    this.#entries.set(path, entryValue(node));
    try {
      await this.#put(path);
    } catch (error) {
      this.#entries.delete(path);
      throw gettyError('REGISTRY_FAILED', `cannot register: ${messageOf(error)}`, error);
    }
    return {
      [Symbol.asyncDispose]: async () => {
        if (!this.#entries.delete(path)) return;
        const stub = await this.#stub();
        await stub.remove({ path, owner: this.#owner }, { timeout: REQUEST_TIMEOUT });
      },
    };
  }

  /** One poll serves all watches of this client. A failure ends all of them. */
  async *watch(
    query: ServiceQuery,
    { signal }: { signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<readonly ServiceNode[]> {
    this.#failure = undefined;
    this.#watches++;
    if (!this.#isPolling) void this.#poll();
    let last: readonly ServiceNode[] | undefined;
    const wake = (): void => {
      for (const resume of [...this.#waiting]) resume();
    };
    signal?.addEventListener('abort', wake);
    try {
      while (!signal?.aborted && !this.#isClosed) {
        const snapshot = this.#snapshot;
        if (this.#failure !== undefined)
          throw gettyError('REGISTRY_FAILED', messageOf(this.#failure), this.#failure);
        if (snapshot !== undefined && snapshot !== last) {
          last = snapshot;
          yield snapshot.filter((node) => matches(node, query));
        } else await this.#change();
      }
    } finally {
      signal?.removeEventListener('abort', wake);
      this.#watches--;
    }
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      const resume = (): void => {
        this.#waiting.delete(resume);
        resolve();
      };
      this.#waiting.add(resume);
    });
  }

  async #poll(): Promise<void> {
    this.#isPolling = true;
    while (this.#watches > 0 && !this.#isClosed) {
      try {
        const stub = await this.#stub();
        const request = { revision: this.#revision };
        const { revision, entries } = await stub.list(request, { timeout: REQUEST_TIMEOUT });
        this.#revision = revision;
        if (entries !== undefined) this.#publish(nodesOf(entries), undefined);
      } catch (error) {
        this.#revision = -1;
        this.#publish(undefined, error);
        break;
      }
      await new Promise<void>((resume) => {
        this.#endPause = resume;
        this.#pollTimer = setTimeout(this.#endPause, POLL_PERIOD);
      });
    }
    this.#isPolling = false;
  }

  #publish(snapshot: readonly ServiceNode[] | undefined, failure: unknown): void {
    this.#snapshot = snapshot;
    this.#failure = failure;
    for (const resume of [...this.#waiting]) resume();
  }

  async list(): Promise<readonly ServiceNode[]> {
    const stub = await this.#stub();
    const { entries = [] } = await stub.list({ revision: -1 }, { timeout: REQUEST_TIMEOUT });
    return nodesOf(entries);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#timer);
    this.#pollTimer?.close();
    this.#endPause();
    for (const resume of [...this.#waiting]) resume();
    await (await this.#client)?.close();
  }
}

function nodesOf(entries: readonly StoredEntry[]): readonly ServiceNode[] {
  return sortedNodes(entries.map(({ path, value }) => parseEntry(path, value)));
}
