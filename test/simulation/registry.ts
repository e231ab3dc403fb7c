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
  serverStream,
  unary,
} from '../../src/rpc/index.js';
import type { RegistryStore, StoredEntry } from './registry-store.js';

const RegistryService = contract('Registry', {
  put: unary<StoredEntry & { owner: string }, null>({ idempotent: true }),
  remove: unary<{ path: string; owner: string }, null>({ idempotent: true }),
  keepAlive: unary<{ owner: string; paths: string[] }, string[]>({ idempotent: true }),
  watch: serverStream<null, StoredEntry[]>(),
});

/** Milliseconds. */
const SWEEP_PERIOD = 500;
const REQUEST_TIMEOUT = 3_000;

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
      async *watch(_, { signal }) {
        let wake: () => void = () => {};
        let isChanged = true;
        const stop = store.onChange(() => {
          isChanged = true;
          wake();
        });
        signal.addEventListener('abort', () => wake());
        try {
          while (!signal.aborted) {
            if (isChanged) {
              isChanged = false;
              yield store.list();
            } else {
              await new Promise<void>((resume) => {
                wake = resume;
              });
            }
          }
        } finally {
          stop();
        }
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

  async *watch(
    query: ServiceQuery,
    { signal }: { signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<readonly ServiceNode[]> {
    try {
      const stub = await this.#stub();
      for await (const entries of stub.watch(null, { signal }))
        yield nodesOf(entries).filter((node) => matches(node, query));
    } catch (error) {
      if (signal?.aborted || this.#isClosed) return;
      throw gettyError('REGISTRY_FAILED', `the watch ended: ${messageOf(error)}`, error);
    }
    if (signal?.aborted || this.#isClosed) return;
    throw gettyError('REGISTRY_FAILED', 'the registry ended the watch');
  }

  async list(): Promise<readonly ServiceNode[]> {
    const stub = await this.#stub();
    for await (const entries of stub.watch(null, { timeout: REQUEST_TIMEOUT }))
      return nodesOf(entries);
    return [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#timer);
    await (await this.#client)?.close();
  }
}

function nodesOf(entries: readonly StoredEntry[]): readonly ServiceNode[] {
  return sortedNodes(entries.map(({ path, value }) => parseEntry(path, value)));
}
