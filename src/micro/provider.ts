/** A provider: an rpc server whose services are published in a registry. */
import { notifyOrWarn } from '../core/callbacks.js';
import {
  type EntrySelector,
  type ProviderState,
  type ProviderStatus,
  RpcError,
  type RpcServer,
  type RpcStatistics,
  serve,
} from '../rpc/index.js';
import { SERVED_PROVIDER, type ServedProvider } from '../rpc/served-provider.js';
import type { TlsOptions } from '../transport/types.js';
import { defaultAddress } from './advertised-address.js';
import {
  checkListening,
  checkProvideOptions,
  checkWeight,
  entryKey,
  nodesOf,
  type ProvideOptions,
  type ProviderUpdate,
  serverOptions,
  updatedOptions,
} from './provide-options.js';
import { ProviderEntries } from './provider/provider-entries.js';
import { selectedNodes, statusOf } from './provider/provider-status.js';
import type { Registry, ServiceNode } from './types.js';

/** A running provider. Made by provide(). */
export interface Provider extends AsyncDisposable {
  /** Where it listens, with the actual port. */
  readonly address: string;
  /** All addresses where it listens; the first is `address`, which is published. */
  readonly addresses: readonly string[];
  /** The nodes that it publishes: one for each service and codec. */
  readonly nodes: readonly ServiceNode[];
  /** Peers that were refused, by reason; see RpcServer.refusals. */
  readonly refusals: RpcServer['refusals'];
  /**
   * The nodes whose entries the registry has confirmed. A node is missing in three cases: its entry
   * could not be written yet, because the registry is unreachable; the registry has lost the entry;
   * or another provider with the same id has written it. The provider publishes a missing node
   * again by itself. Empty after drain() and close(), unless they could not deregister. After a
   * drain() that rejects, it has the nodes whose entries the registry has not removed yet.
   */
  readonly published: readonly ServiceNode[];
  /**
   * `published`: the registry has confirmed all nodes. `waiting`: it has not, and the provider goes
   * on to publish them. `draining`: drain(), close() or destroy() was called.
   */
  readonly state: ProviderState;
  /** The statistics of the server; see RpcServer.statistics(). */
  statistics(): RpcStatistics;
  /** Resets the counts of the server. */
  resetStatistics(): void;
  /**
   * Replaces the published metadata. Every list has the node meanwhile; a registry with
   * `goConsumers` lists it for 500 ms with `-replacing` after its id. Changes run one after
   * another. Rejects with BAD_OPTION, and changes nothing; with REGISTRY_FAILED, and publishes the
   * old metadata again; or with ENDPOINT_CLOSED after close() or destroy().
   */
  update(changes: ProviderUpdate): Promise<void>;
  /**
   * Changes the weight of all nodes, or of those of one service; see ProvideOptions.weight. It
   * holds until the next update() with a weight. Rejects as update() does, and with BAD_OPTION if
   * no node fits.
   */
  setWeight(weight: number, entries?: EntrySelector): Promise<void>;
  /**
   * Deregisters, so that consumers call other nodes. The server goes on: it serves calls in flight,
   * and calls of clients that stay. Resolves when the entries are removed. Rejects with
   * REGISTRY_FAILED if the registry could not remove them now, such as while it is away, or did not
   * answer within 10 s. Consumers
   * may still call the provider then. Most registries remove the entries when they can be reached;
   * call drain() again to know. Rejects with ENDPOINT_CLOSED after close() or destroy().
   */
  drain(): Promise<void>;
  /**
   * Publishes the nodes again after drain(), with the changes of update() and setWeight()
   * meanwhile. Rejects with REGISTRY_FAILED if the registry refuses a node; then none is published.
   * Rejects with ENDPOINT_CLOSED after close() or destroy().
   */
  undrain(): Promise<void>;
  /**
   * Deregisters, sends goaway, lets calls in flight finish for at most `drainTimeout`, and closes.
   * Rejects with REGISTRY_FAILED if it could not deregister, or if the registry did not answer
   * within 10 s; the server is closed then too.
   */
  close(): Promise<void>;
  /**
   * Closes at once, with the effect of a crash: calls in flight are lost. The entries stay until
   * close(), until the registry is disposed, or until the process ends.
   */
  destroy(): void;
  /** Uses other certificates for new connections; see RpcServer.reloadTls(). */
  reloadTls(options: TlsOptions): void;
}

class ServiceProvider implements Provider, ServedProvider {
  readonly #server: RpcServer;
  readonly #registry: Registry;
  #options: ProvideOptions;
  /** The weights that setWeight() has set for single entries, by entryKey(). */
  #weights: ReadonlyMap<string, number> = new Map();
  readonly #entries: ProviderEntries;
  #closing: Promise<void> | undefined;

  constructor(server: RpcServer, options: ProvideOptions) {
    const { registry, logger } = options;
    const { address } = server;
    this.#server = server;
    this.#registry = registry;
    this.#options = options;
    this.#entries = new ProviderEntries(nodesOf(address, options, this.#weights), {
      registry,
      logger,
      address,
      onChange: () => this.#notifyPublished(),
    });
  }

  get nodes(): readonly ServiceNode[] {
    return this.#entries.nodes;
  }

  get published(): readonly ServiceNode[] {
    return this.#entries.published;
  }

  get address(): string {
    return this.#server.address;
  }

  get addresses(): readonly string[] {
    return this.#server.addresses;
  }

  get refusals(): RpcServer['refusals'] {
    return this.#server.refusals;
  }

  get isDraining(): boolean {
    return this.#entries.isDraining;
  }

  get state(): ProviderState {
    if (this.isDraining) return 'draining';
    return this.published.length === this.nodes.length ? 'published' : 'waiting';
  }

  status(): ProviderStatus {
    const { state } = this;
    return statusOf(state, this.nodes, this.published, this.#registry);
  }

  statistics(): RpcStatistics {
    return this.#server.statistics();
  }

  resetStatistics(): void {
    this.#server.resetStatistics();
  }

  publish(): Promise<void> {
    return this.#entries.publish();
  }

  #notifyPublished(): void {
    const { onPublish } = this.#options;
    if (onPublish === undefined || this.#closing !== undefined) return;
    const { published } = this;
    notifyOrWarn(`onPublish of the provider at ${this.address}`, () => onPublish(published));
  }

  update(changes: ProviderUpdate): Promise<void> {
    return this.#entries.enqueue(() => {
      const options = updatedOptions(this.#options, changes);
      return this.#replace(options, changes.weight === undefined ? this.#weights : new Map());
    });
  }

  setWeight(weight: number, entries?: EntrySelector): Promise<void> {
    return this.#entries.enqueue(() => {
      checkWeight(weight);
      if (entries === undefined) return this.#replace({ ...this.#options, weight }, new Map());
      const weights = new Map(this.#weights);
      for (const node of selectedNodes(this.nodes, entries)) weights.set(entryKey(node), weight);
      return this.#replace(this.#options, weights);
    });
  }

  /** Publishes the nodes that the options and weights define. */
  async #replace(options: ProvideOptions, weights: ReadonlyMap<string, number>): Promise<void> {
    await this.#entries.replace(nodesOf(this.#server.address, options, weights));
    this.#options = options;
    this.#weights = weights;
  }

  drain(): Promise<void> {
    return this.#entries.drain();
  }

  undrain(): Promise<void> {
    return this.#entries.undrain();
  }

  destroy(): void {
    this.#entries.stop();
    this.#server.destroy();
  }

  reloadTls(options: TlsOptions): void {
    this.#server.reloadTls(options);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    // The calls in flight still finish if the registry is unreachable.
    const failure = await this.#entries.close();
    await this.#server.close();
    if (failure !== undefined) throw failure;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * Listens, and then publishes each service in each of its codecs. Rejects with BAD_OPTION,
 * BAD_ADDRESS, LISTEN_FAILED, or REGISTRY_FAILED; then no entry and no listener is left.
 */
export async function provide(options: ProvideOptions): Promise<Provider> {
  checkProvideOptions(options);
  const { services, address = defaultAddress() } = options;
  let provider: ServiceProvider | undefined;
  const server = await serve(address, services, {
    ...serverOptions(options),
    ...servedProvider(() => provider),
  });
  try {
    checkListening(options, server.address);
    provider = new ServiceProvider(server, options);
    await provider.publish();
    return provider;
  } catch (error) {
    await (provider ?? server).close().catch(() => {});
    throw error;
  }
}

/**
 * The internal option of serve() with which the services of operators find the provider. A call may
 * arrive before the provider exists.
 */
function servedProvider(find: () => ServedProvider | undefined): object {
  const provider = (): ServedProvider => {
    const found = find();
    if (found === undefined) throw new RpcError('UNAVAILABLE', 'the provider is starting');
    return found;
  };
  const served: ServedProvider = {
    status: () => provider().status(),
    get isDraining() {
      return find()?.isDraining ?? false;
    },
    drain: () => provider().drain(),
    undrain: () => provider().undrain(),
    setWeight: (weight, entries) => provider().setWeight(weight, entries),
  };
  return { [SERVED_PROVIDER]: served };
}
