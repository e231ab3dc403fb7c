/** The options of provide() and of Provider.update(), and the nodes that they define. */
import { checkCallback } from '../core/callbacks.js';
import {
  badOption,
  checkNames,
  checkNumber,
  checkObject,
  type NamesOf,
  pickNames,
} from '../core/options.js';
import type { RpcServerOptions, Service } from '../rpc/index.js';
import { checkRpcServerNames, RPC_SERVER_OPTION_NAMES } from '../rpc/option-names.js';
import type { HttpServerAddress } from '../transport/types.js';
import { advertisedAddress, defaultId } from './advertised-address.js';
import { checkRegistry } from './check-registry.js';
import { checkZone, MAX_WEIGHT, META_KEY, WEIGHT_KEY, ZONE_KEY } from './registry-entry.js';
import type { Registry, ServiceNode } from './types.js';

/** Options of provide(). The rpc options are those of the server. */
export interface ProvideOptions extends RpcServerOptions {
  /** Where the services are published. The provider does not dispose it. */
  registry: Registry;
  /** What implement() returns. One node is published for each service and codec. */
  services: readonly Service[];
  /**
   * Where to listen; or `{ server, path }` with an HTTP server that listens at a port already,
   * because its address is published. With an array the provider listens at all its addresses, and
   * publishes the first one: the others are for clients that do not use the registry, such as
   * pages. Default: `tcp://0.0.0.0:0`, a free port of all interfaces; `tcp://[::]:0` if the machine
   * has no IPv4 address for others.
   */
  address?: string | HttpServerAddress | readonly (string | HttpServerAddress)[] | undefined;
  /** The group of the nodes. Consumers of another group do not see them. Default: none. */
  group?: string | undefined;
  /**
   * The `host`, or `host:port`, at which consumers reach the provider. The path, and the port if it
   * is not given, are those of `address`. Default: the host of `address`; if that is all
   * interfaces, an address of this machine: IPv4, then IPv6, then link-local IPv4, then loopback;
   * never link-local IPv6.
   */
  advertise?: string | undefined;
  /**
   * The id of the nodes. A provider that is started again with its old id replaces its old entries.
   * Default: the advertised `host:port` with the path, percent-encoded; for a Unix socket the name
   * of the machine and the path.
   */
  id?: string | undefined;
  /** Go's meta string, for self-defined balancers. Default: none. */
  meta?: string | undefined;
  /** Further strings by key, at most 256. The entry has at most 64 KiB of JSON. Default: none. */
  metadata?: Readonly<Record<string, string>> | undefined;
  /**
   * Called when the registry has confirmed or lost entries, and once before provide() resolves.
   * `published` has the nodes whose entries are in the registry: none before it has confirmed any.
   * An error that it throws becomes a warning of the process. Default: none.
   */
  onPublish?: ((published: readonly ServiceNode[]) => unknown) | undefined;
  /**
   * For weighted(): a whole number from 0 to 1,000,000. 0: no calls, unless all nodes have 0.
   * Default: 100, which is not written to the registry.
   */
  weight?: number | undefined;
  /**
   * For zoneFirst(): the zone in which the provider runs, such as that of the cloud. Default: none.
   */
  zone?: string | undefined;
}

/**
 * What Provider.update() changes. A field that is not given stays; `metadata` replaces all metadata
 * given before.
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
  zone: true,
  ...UPDATE_NAMES,
} satisfies NamesOf<Omit<ProvideOptions, keyof RpcServerOptions>>;

/** Throws BAD_OPTION. The options of the server are checked by serve(). */
export function checkProvideOptions(options: ProvideOptions): void {
  checkObject('options of provide()', options);
  checkRpcServerNames(options, 'provide()', NAMES);
  const { registry, services, onPublish } = options;
  checkRegistry(registry, 'register');
  checkCallback('onPublish', onPublish);
  if (!Array.isArray(services) || services.length === 0)
    throw badOption('services', services, 'at least one of what implement() returns');
}

/** Throws BAD_OPTION for an HTTP server without a port, whose address cannot be published. */
export function checkListening({ address }: ProvideOptions, listening: string): void {
  if (listening === '')
    throw badOption('address', address, 'an HTTP server that listens at a port already');
}

/** The options of the rpc server. */
export function serverOptions(options: ProvideOptions): RpcServerOptions {
  return pickNames(options, RPC_SERVER_OPTION_NAMES);
}

/** `options` with the changes. Throws BAD_OPTION for an unknown name, or if it is no object. */
export function updatedOptions(options: ProvideOptions, changes: ProviderUpdate): ProvideOptions {
  if (typeof changes !== 'object' || changes === null)
    throw badOption('changes', changes, 'an object');
  checkNames('update()', changes, UPDATE_NAMES, {
    'provide()': { ...NAMES, ...RPC_SERVER_OPTION_NAMES },
  });
  const { meta, metadata, weight } = changes;
  return {
    ...options,
    meta: meta ?? options.meta,
    metadata: metadata ?? options.metadata,
    weight: weight ?? options.weight,
  };
}

/** The identity of an entry among those of its provider, which have one id and group. */
export type EntryKey = Pick<ServiceNode, 'service' | 'version' | 'protocol'>;

/** A key of a Map for an entry. */
export function entryKey({ service, version, protocol }: EntryKey): string {
  return JSON.stringify([service, version, protocol]);
}

/** Throws BAD_OPTION. */
export function checkWeight(weight: unknown): void {
  checkNumber('weight', weight, 0, MAX_WEIGHT, 'integer');
}

/**
 * The nodes of a provider that listens at `listening`. `weights`: those of single entries, by
 * entryKey(). Throws BAD_OPTION.
 */
export function nodesOf(
  listening: string,
  { services, group = '', advertise, id, meta, metadata, weight, zone }: ProvideOptions,
  weights: ReadonlyMap<string, number>,
): ServiceNode[] {
  const address = advertisedAddress(listening, advertise);
  if (weight !== undefined) checkWeight(weight);
  if (
    metadata !== undefined &&
    (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata))
  )
    throw badOption('metadata', metadata, 'an object of strings');
  if (meta !== undefined && typeof meta !== 'string') throw badOption('meta', meta, 'a string');
  if (zone !== undefined) checkZone(zone);
  const allMetadata = {
    ...metadata,
    ...(zone !== undefined && { [ZONE_KEY]: zone }),
    ...(meta !== undefined && { [META_KEY]: meta }),
  };
  const keys = services.flatMap(({ contract: { name: service, version, codecs } }) =>
    codecs.map((protocol) => ({ service, version, protocol })),
  );
  return keys.map((key) => {
    const own = weights.get(entryKey(key)) ?? weight;
    return {
      id: id ?? defaultId(address),
      group,
      ...key,
      address,
      metadata: { ...allMetadata, ...(own !== undefined && { [WEIGHT_KEY]: `${own}` }) },
    };
  });
}
