/** A provider: services that listen, publish themselves, and leave in good order. */

import { notify, settle } from '../core/callbacks.js';
import { gettyError, messageOf } from '../core/errors.js';
import { badOption, checkNames, checkNumber, type NamesOf, pickNames } from '../core/options.js';
import { warn } from '../core/warning.js';
import {
  type RpcServer,
  type RpcServerOptions,
  type RpcStatistics,
  type Service,
  serve,
} from '../rpc/index.js';
import { checkRpcServerNames, RPC_SERVER_NAMES } from '../rpc/option-names.js';
import type { TlsOptions } from '../transport/types.js';
import { advertisedAddress, defaultAddress, defaultId } from './advertised-address.js';
import { MAX_WEIGHT, META_KEY, WEIGHT_KEY } from './registry-entry.js';
import type { Registry, ServiceNode } from './types.js';

export interface ProvideOptions extends RpcServerOptions {
  registry: Registry;
  /** Made by implement(). One entry is published for each service and codec. */
  services: readonly Service[];
  /**
   * Where to listen. Default: a free TCP port of all interfaces; of IPv6 where the machine has no
   * IPv4 address for others.
   */
  address?: string | undefined;
  /** Consumers of other groups do not see it. Default: none. */
  group?: string | undefined;
  /**
   * The `host`, or `host:port`, that others reach it at; the port where it has none, and the path,
   * are those of the address. Default: the address. Where that is all interfaces, it is this
   * machine's first address: IPv4 before IPv6, link-local ones last.
   */
  advertise?: string | undefined;
  /**
   * The entries' id. Default: the advertised `host:port` with the path, percent-encoded; for a Unix
   * socket the machine's name and the path. So a restart replaces its own stale entry.
   */
  id?: string | undefined;
  /** Go's meta string: balancers of the user's own see it. */
  meta?: string | undefined;
  metadata?: Readonly<Record<string, string>> | undefined;
  /**
   * Called when the registry has confirmed or lost entries, with the nodes whose entries are there
   * now: all of them when everything is published, none while the registry has not confirmed any.
   * First called before provide() resolves. What it throws is a warning of the process.
   */
  onPublish?: ((published: readonly ServiceNode[]) => unknown) | undefined;
  /**
   * A whole number from 0 to 1,000,000, for weighted(); 0: no calls, unless all have 0. Default:
   * 100, which is not written.
   */
  weight?: number | undefined;
}

/**
 * What a provider may change while it is published; what is not given stays. `metadata` replaces
 * all that was given before.
 */
export type ProviderUpdate = Pick<ProvideOptions, 'meta' | 'metadata' | 'weight'>;

const UPDATE_NAMES = { meta: true, metadata: true, weight: true } satisfies NamesOf<ProviderUpdate>;
const NAMES = {
  registry: true,
  services: true,
  address: true,
  group: true,
  advertise: true,
  id: true,
  onPublish: true,
  ...UPDATE_NAMES,
} satisfies NamesOf<Omit<ProvideOptions, keyof RpcServerOptions>>;

export interface Provider extends AsyncDisposable {
  /** Where it listens, with the real port. */
  readonly address: string;
  /** What it publishes: one node for each service and codec. */
  readonly nodes: readonly ServiceNode[];
  /** As RpcServer.refusals. */
  readonly refusals: RpcServer['refusals'];
  /**
   * Those of `nodes` whose entries the registry has confirmed. Fewer than `nodes`: the registry is
   * away since before they were written, has lost them, or another process has written them; they
   * are published again by themselves.
   */
  readonly published: readonly ServiceNode[];
  /** As those of the server that it is. */
  statistics(): RpcStatistics;
  resetStatistics(): void;
  /**
   * Publish other metadata, in the place of what is there: no list is without the node meanwhile.
   * Updates are done one after the other. Rejects with BAD_OPTION, ENDPOINT_CLOSED after close(),
   * or REGISTRY_FAILED; then it is published as before, or is again soon.
   */
  update(changes: ProviderUpdate): Promise<void>;
  /** Deregister, send goaway, let calls under way finish, close. */
  close(): Promise<void>;
  /**
   * Close now, as a crash of the process would leave it: calls under way are lost, and its entries
   * stay until close(), or until the registry is closed or the process ends.
   */
  destroy(): void;
  /** As RpcServer.reloadTls. */
  reloadTls(options: TlsOptions): void;
}

class ServiceProvider implements Provider {
  readonly #server: RpcServer;
  readonly #registry: Registry;
  #options: ProvideOptions;
  #nodes: readonly ServiceNode[];
  #registrations: AsyncDisposable[] = [];
  /** Whose entries are not in the registry, as it has told. */
  readonly #unpublished = new Set<ServiceNode>();
  #registering = 0;
  /** The updates, one after the other. */
  #updating: Promise<unknown> = Promise.resolve();
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
    this.#registrations = [];
    for (const node of this.#nodes) this.#unpublished.add(node);
    await this.#register(this.#nodes);
    this.#tellPublished();
  }

  #onPublished(node: ServiceNode, isPublished: boolean): void {
    const wasPublished = !this.#unpublished.has(node);
    if (isPublished) this.#unpublished.delete(node);
    else this.#unpublished.add(node);
    // During provide() and update() it is told at their end.
    if (wasPublished !== isPublished && this.#registering === 0 && this.#nodes.includes(node))
      this.#tellPublished();
  }

  #tellPublished(): void {
    const { onPublish } = this.#options;
    if (onPublish === undefined || this.#closing !== undefined) return;
    const { published } = this;
    notify(
      () => onPublish(published),
      (error) =>
        warn(
          gettyError(
            'HANDLER_FAILED',
            `onPublish of the provider at ${this.address} failed: ${messageOf(error)}`,
            error,
          ),
        ),
    );
  }

  /**
   * All of them, even if one fails. An entry belongs to who registered it last, so a newer
   * registration is put before the older one.
   */
  async #register(nodes: readonly ServiceNode[]): Promise<void> {
    this.#registering++;
    const outcomes = await Promise.allSettled(nodes.map((node) => this.#registerOne(node)));
    this.#registering--;
    const made = outcomes.flatMap((outcome) =>
      outcome.status === 'fulfilled' ? [outcome.value] : [],
    );
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    this.#registrations = failed === undefined ? made : [...made, ...this.#registrations];
    if (failed !== undefined) throw failed.reason;
  }

  async #registerOne(node: ServiceNode): Promise<AsyncDisposable> {
    let isTold = false;
    const registration = await this.#registry.register(node, (isPublished) => {
      isTold = true;
      this.#onPublished(node, isPublished);
    });
    // A registry that tells nothing has published the node by now.
    if (!isTold) this.#onPublished(node, true);
    return registration;
  }

  update(changes: ProviderUpdate): Promise<void> {
    const done = this.#updating.then(() => this.#update(changes));
    this.#updating = done.catch(() => {});
    return done;
  }

  async #update(changes: ProviderUpdate): Promise<void> {
    checkNames('update()', changes, UPDATE_NAMES, {
      'provide()': { ...NAMES, ...RPC_SERVER_NAMES },
    });
    const { meta, metadata, weight } = changes;
    if (this.#closing !== undefined || this.#isDestroyed)
      throw gettyError('ENDPOINT_CLOSED', `the provider at ${this.address} is closed`);
    const before = this.#options;
    const options = {
      ...before,
      meta: meta ?? before.meta,
      metadata: metadata ?? before.metadata,
      weight: weight ?? before.weight,
    };
    const nodes = nodesOf(this.#server.address, options);
    try {
      await this.#register(nodes);
    } catch (error) {
      // Some may be as they shall be, and others not; together they are as they were.
      await this.#register(this.#nodes).catch(() => {});
      throw error;
    }
    this.#options = options;
    this.#nodes = nodes;
    for (const node of [...this.#unpublished])
      if (!nodes.includes(node)) this.#unpublished.delete(node);
    this.#tellPublished();
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
    await this.#updating;
    // A registry that is away forgets the entries by itself; that must not keep the calls under way
    // from finishing.
    const outcomes = await Promise.allSettled(
      this.#registrations.map((registration) => settle(() => registration[Symbol.asyncDispose]())),
    );
    await this.#server.close();
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined)
      throw gettyError(
        'REGISTRY_FAILED',
        `the provider at ${this.address} could not deregister: ${messageOf(failed.reason)}`,
        failed.reason,
      );
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * Listen, then publish every service in each of its codecs. Rejects with BAD_OPTION, BAD_ADDRESS,
 * LISTEN_FAILED, or REGISTRY_FAILED when the registry refuses; then nothing is left behind.
 */
export async function provide(options: ProvideOptions): Promise<Provider> {
  checkRpcServerNames(options, 'provide()', NAMES);
  const { registry, services, address = defaultAddress() } = options;
  if (typeof registry?.register !== 'function') throw badOption('registry', registry, 'a Registry');
  if (options.onPublish !== undefined && typeof options.onPublish !== 'function')
    throw badOption('onPublish', options.onPublish, 'a function');
  if (!Array.isArray(services) || services.length === 0)
    throw badOption('services', services, 'at least one of what implement() returns');
  const server = await serve(address, services, pickNames(options, RPC_SERVER_NAMES));
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

function nodesOf(
  listening: string,
  { services, group = '', advertise, id, meta, metadata = {}, weight }: ProvideOptions,
): ServiceNode[] {
  const address = advertisedAddress(listening, advertise);
  if (weight !== undefined) checkNumber('weight', weight, 0, MAX_WEIGHT);
  if (weight !== undefined && !Number.isInteger(weight))
    throw badOption('weight', weight, 'a whole number');
  const all = {
    ...metadata,
    ...(meta !== undefined && { [META_KEY]: meta }),
    ...(weight !== undefined && { [WEIGHT_KEY]: `${weight}` }),
  };
  return services.flatMap(({ contract }) =>
    contract.codecs.map((protocol) => ({
      id: id ?? defaultId(address),
      service: contract.name,
      group,
      version: contract.version,
      protocol,
      address,
      metadata: all,
    })),
  );
}
