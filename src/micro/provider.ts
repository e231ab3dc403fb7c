/** A provider: an rpc server whose services are published in a registry. */
import { callAsync, notifyOrWarn } from '../core/callbacks.js';
import { gettyError, messageOf } from '../core/errors.js';
import { guardedLogger } from '../core/logger.js';
import { type RpcServer, type RpcStatistics, serve } from '../rpc/index.js';
import type { TlsOptions } from '../transport/types.js';
import { defaultAddress } from './advertised-address.js';
import { type EntryOwner, leaveEntry, takeEntry } from './entry-owners.js';
import {
  checkProvideOptions,
  nodesOf,
  type ProvideOptions,
  type ProviderUpdate,
  serverOptions,
  updatedOptions,
} from './provide-options.js';
import { nodeKey } from './snapshots.js';
import type { Registry, ServiceNode } from './types.js';

/** A running provider. Made by provide(). */
export interface Provider extends AsyncDisposable {
  /** Where it listens, with the actual port. */
  readonly address: string;
  /** The nodes that it publishes: one for each service and codec. */
  readonly nodes: readonly ServiceNode[];
  /** Peers that were refused, by reason; see RpcServer.refusals. */
  readonly refusals: RpcServer['refusals'];
  /**
   * The nodes whose entries the registry has confirmed. A node is missing in three cases: its entry
   * could not be written yet, because the registry is unreachable; the registry has lost the entry;
   * or another provider with the same id has written it. The provider publishes a missing node
   * again by itself. Empty after close(), unless close() could not deregister.
   */
  readonly published: readonly ServiceNode[];
  /** The statistics of the server; see RpcServer.statistics(). */
  statistics(): RpcStatistics;
  /** Resets the counts of the server. */
  resetStatistics(): void;
  /**
   * Replaces the published metadata. Every list has the node meanwhile; a registry with
   * `goConsumers` lists it for 500 ms with `-replacing` after its id. Updates run one after
   * another. Rejects with BAD_OPTION, and changes nothing; with REGISTRY_FAILED, and publishes the
   * old metadata again; or with ENDPOINT_CLOSED after close() or destroy().
   */
  update(changes: ProviderUpdate): Promise<void>;
  /**
   * Deregisters, sends goaway, lets calls in flight finish for at most `drainTimeout`, and closes.
   * Rejects with REGISTRY_FAILED if it could not deregister; the server is closed then too.
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

/** A node and the result of its Registry.register(). */
interface Registered {
  readonly node: ServiceNode;
  readonly registration: AsyncDisposable;
}

class ServiceProvider implements Provider, EntryOwner {
  readonly #server: RpcServer;
  readonly #registry: Registry;
  #options: ProvideOptions;
  #nodes: readonly ServiceNode[];
  #registered: readonly Registered[] = [];
  /**
   * The nodes whose entries the registry has not confirmed or has lost, or another provider has
   * taken over; after close() all nodes.
   */
  readonly #unpublished = new Set<ServiceNode>();
  /** Calls of #register() that have not settled. */
  #registering = 0;
  /** Settles after the last update. */
  #lastUpdate: Promise<unknown> = Promise.resolve();
  #closing: Promise<void> | undefined;
  #isDestroyed = false;

  constructor(server: RpcServer, options: ProvideOptions) {
    this.#server = server;
    this.#registry = options.registry;
    this.#options = options;
    this.#nodes = nodesOf(server.address, options);
  }

  get nodes(): readonly ServiceNode[] {
    return this.#nodes;
  }

  get published(): readonly ServiceNode[] {
    return this.#nodes.filter((node) => !this.#unpublished.has(node));
  }

  get address(): string {
    return this.#server.address;
  }

  get refusals(): RpcServer['refusals'] {
    return this.#server.refusals;
  }

  statistics(): RpcStatistics {
    return this.#server.statistics();
  }

  resetStatistics(): void {
    this.#server.resetStatistics();
  }

  async publish(): Promise<void> {
    for (const node of this.#nodes) this.#unpublished.add(node);
    await this.#register(this.#nodes);
    this.#notifyPublished();
  }

  #setPublished(node: ServiceNode, isPublished: boolean): void {
    const wasPublished = !this.#unpublished.has(node);
    if (isPublished) this.#unpublished.delete(node);
    else this.#unpublished.add(node);
    // provide() and update() notify once, when all nodes are registered.
    if (wasPublished !== isPublished && this.#registering === 0 && this.#nodes.includes(node))
      this.#notifyPublished();
  }

  #notifyPublished(): void {
    const { onPublish } = this.#options;
    if (onPublish === undefined || this.#closing !== undefined) return;
    const { published } = this;
    notifyOrWarn(`onPublish of the provider at ${this.address}`, () => onPublish(published));
  }

  /**
   * Registers all nodes. If one fails, registers the others too, and then rejects. The newest
   * registration of a node owns its entry, so an older one need not be disposed. If a node fails,
   * all are kept: its older registration still owns its entry.
   */
  async #register(nodes: readonly ServiceNode[]): Promise<void> {
    this.#registering++;
    const outcomes = await Promise.allSettled(nodes.map((node) => this.#registerNode(node)));
    this.#registering--;
    const registered = outcomes.flatMap((outcome) =>
      outcome.status === 'fulfilled' ? [outcome.value] : [],
    );
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    this.#registered = failed === undefined ? registered : [...registered, ...this.#registered];
    if (failed !== undefined) throw failed.reason;
  }

  async #registerNode(node: ServiceNode): Promise<Registered> {
    let wasNotified = false;
    const registration = await this.#registry.register(node, (isPublished) => {
      wasNotified = true;
      this.#setPublished(node, isPublished);
    });
    // A registry that does not call the listener has published the node by now.
    if (!wasNotified) this.#setPublished(node, true);
    takeEntry(this.#registry, node, this);
    return { node, registration };
  }

  onTakenOver(node: ServiceNode): void {
    guardedLogger(this.#options.logger).warn(
      { node },
      'provider: another provider of this process has published the node, because its id is the same',
    );
    this.#setPublished(this.#ownNode(node), false);
  }

  /** The node of this provider that has the same entry. */
  #ownNode(node: ServiceNode): ServiceNode {
    const key = nodeKey(node);
    return this.#nodes.find((own) => nodeKey(own) === key) ?? node;
  }

  async republish(node: ServiceNode): Promise<boolean> {
    if (this.#closing !== undefined || this.#isDestroyed) return false;
    const done = this.#lastUpdate.then(async () => {
      const registered = await this.#registerNode(this.#ownNode(node));
      const key = nodeKey(node);
      const others = this.#registered.filter((other) => nodeKey(other.node) !== key);
      this.#registered = [registered, ...others];
    });
    const isDone = done.then(
      () => true,
      () => false,
    );
    this.#lastUpdate = isDone;
    return isDone;
  }

  update(changes: ProviderUpdate): Promise<void> {
    const done = this.#lastUpdate.then(() => this.#update(changes));
    this.#lastUpdate = done.catch(() => {});
    return done;
  }

  async #update(changes: ProviderUpdate): Promise<void> {
    const options = updatedOptions(this.#options, changes);
    if (this.#closing !== undefined || this.#isDestroyed)
      throw gettyError('ENDPOINT_CLOSED', `the provider at ${this.address} is closed`);
    const nodes = nodesOf(this.#server.address, options);
    try {
      await this.#register(nodes);
    } catch (error) {
      // Some of the new nodes may be registered. The old ones replace them.
      await this.#register(this.#nodes).catch(() => {});
      throw error;
    }
    this.#options = options;
    this.#nodes = nodes;
    for (const node of [...this.#unpublished])
      if (!nodes.includes(node)) this.#unpublished.delete(node);
    this.#notifyPublished();
  }

  destroy(): void {
    this.#isDestroyed = true;
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
    await this.#lastUpdate;
    await Promise.all(this.#nodes.map((node) => leaveEntry(this.#registry, node, this)));
    // An unreachable registry removes the entries later; the calls in flight still finish.
    const outcomes = await Promise.allSettled(
      this.#registered.map(({ registration }) =>
        callAsync(() => registration[Symbol.asyncDispose]()),
      ),
    );
    await this.#server.close();
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined)
      throw gettyError(
        'REGISTRY_FAILED',
        `the provider at ${this.address} could not deregister: ${messageOf(failed.reason)}`,
        failed.reason,
      );
    for (const node of this.#nodes) this.#unpublished.add(node);
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
  const server = await serve(address, services, serverOptions(options));
  let provider: ServiceProvider | undefined;
  try {
    provider = new ServiceProvider(server, options);
    await provider.publish();
    return provider;
  } catch (error) {
    await (provider ?? server).close().catch(() => {});
    throw error;
  }
}
