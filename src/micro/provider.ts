/** A provider: services that listen, publish themselves, and leave in good order. */
import { networkInterfaces } from 'node:os';
import { gettyError, messageOf } from '../errors.js';
import { badOption } from '../options.js';
import { type RpcServer, type RpcServerOptions, type RpcStatistics, type Service, serve } from '../rpc/index.js';
import { META_KEY } from './attributes.js';
import type { Registry, ServiceNode } from './types.js';

export interface ProvideOptions extends RpcServerOptions {
  registry: Registry;
  /** Made by implement(). One entry is published for each service and codec. */
  services: readonly Service[];
  /** Where to listen. Default: a free TCP port of all interfaces. */
  address?: string;
  /** Consumers of other groups do not see it. Default: none. */
  group?: string;
  /** The `host`, or `host:port`, that others reach it at. Default: the address, or this machine's when that is all interfaces. */
  advertise?: string;
  /** The entries' id. Default: the advertised `host:port`, so that a restart replaces its own stale entry. */
  id?: string;
  /** Go's meta string: balancers of the user's own see it. */
  meta?: string;
  metadata?: Readonly<Record<string, string>>;
}

export interface Provider extends AsyncDisposable {
  /** Where it listens, with the real port. */
  readonly address: string;
  /** What it has published. */
  readonly nodes: readonly ServiceNode[];
  /** As those of the server that it is. */
  statistics(): RpcStatistics;
  resetStatistics(): void;
  /** Deregister, send goaway, let calls under way finish, close. */
  close(): Promise<void>;
}

class ServiceProvider implements Provider {
  readonly nodes: readonly ServiceNode[];
  readonly #server: RpcServer;
  #registrations: AsyncDisposable[] = [];
  #closing: Promise<void> | undefined;

  constructor(server: RpcServer, nodes: readonly ServiceNode[]) {
    this.#server = server;
    this.nodes = nodes;
  }

  get address(): string {
    return this.#server.address;
  }

  statistics(): RpcStatistics {
    return this.#server.statistics();
  }

  resetStatistics(): void {
    this.#server.resetStatistics();
  }

  async publish(registry: Registry): Promise<void> {
    const outcomes = await Promise.allSettled(this.nodes.map((node) => registry.register(node)));
    this.#registrations = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    // A registry that is away forgets the entries by itself; that must not keep the calls under way from finishing.
    const outcomes = await Promise.allSettled(this.#registrations.map((registration) => registration[Symbol.asyncDispose]()));
    await this.#server.close();
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined)
      throw gettyError('REGISTRY_FAILED', `the provider at ${this.address} could not deregister: ${messageOf(failed.reason)}`, failed.reason);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * Listen, then publish every service in each of its codecs.
 * Rejects with BAD_OPTION, BAD_ADDRESS, LISTEN_FAILED, or REGISTRY_FAILED when the registry refuses; then nothing is left behind.
 */
export async function provide(options: ProvideOptions): Promise<Provider> {
  const { registry, services, address = 'tcp://0.0.0.0:0' } = options;
  if (typeof registry?.register !== 'function') throw badOption('registry', registry, 'a Registry');
  if (!Array.isArray(services) || services.length === 0) throw badOption('services', services, 'at least one of what implement() returns');
  const server = await serve(address, services, options);
  let provider: ServiceProvider | undefined;
  try {
    provider = new ServiceProvider(server, nodesOf(server.address, options));
    await provider.publish(registry);
    return provider;
  } catch (error) {
    await (provider ?? server).close().catch(() => {});
    throw error;
  }
}

function nodesOf(listening: string, { services, group = '', advertise, id, meta, metadata = {} }: ProvideOptions): ServiceNode[] {
  const address = advertised(listening, advertise);
  const all = meta === undefined ? metadata : { ...metadata, [META_KEY]: meta };
  return services.flatMap(({ contract }) =>
    contract.codecs.map((protocol) => ({
      id: id ?? address.replace(/^[a-z]+:\/\//, ''),
      service: contract.name,
      group,
      version: contract.version,
      protocol,
      address,
      metadata: all,
    })),
  );
}

/** The address for others: `listening` with the host, or host and port, of `advertise`. */
function advertised(listening: string, advertise: string | undefined): string {
  const found = /^([a-z]+:\/\/)(.*?)(:\d+)?$/.exec(listening);
  if (found === null) return listening;
  const [, scheme, host = '', port = ''] = found;
  if (advertise !== undefined) {
    if (!/^(\[[0-9a-fA-F:.]+\]|[^\s:/[\]]+)(:\d+)?$/.test(advertise)) throw badOption('advertise', advertise, 'a host, or host:port');
    return `${scheme}${advertise}${/:\d+$/.test(advertise.replace(/^\[.*\]/, '')) ? '' : port}`;
  }
  const everywhere = host === '' || host === '0.0.0.0' || host === '[::]';
  return everywhere ? `${scheme}${ownHost()}${port}` : listening;
}

/** The first address of this machine that others can reach. */
function ownHost(): string {
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { family, internal, address } of addresses ?? []) if (family === 'IPv4' && !internal) return address;
  }
  return '127.0.0.1';
}
