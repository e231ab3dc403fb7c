/**
 * Nodes of registries that have addresses and no entries. What a node does not say of its service,
 * it takes from the query.
 */
import { gettyError } from '../../core/errors.js';
import { badOption, type NamesOf, show } from '../../core/options.js';
import { showUrl } from '../../core/redact.js';
import {
  attributesOf,
  checkZone,
  entryValue,
  MAX_WEIGHT,
  matches,
  WEIGHT_KEY,
  ZONE_KEY,
} from '../../micro/registry-entry.js';
import type { ServiceNode, ServiceQuery } from '../../micro/types.js';
import { ALL_SCHEMES, parseAddress } from '../../transport/address.js';

/** What nodes serve. Undefined: whatever the query asks for. */
export interface Served {
  readonly service?: string | undefined;
  readonly group?: string | undefined;
  readonly version?: string | undefined;
  readonly protocol?: ServiceNode['protocol'] | undefined;
}

/** A node before a query is known. */
export interface ListedNode extends Served {
  readonly id: string;
  readonly address: string;
  readonly metadata: Readonly<Record<string, string>>;
}

export const SERVED_NAMES = {
  service: true,
  group: true,
  version: true,
  protocol: true,
} satisfies NamesOf<Served>;
const FIELDS = ['service', 'group', 'version', 'protocol'] as const;
/** What list() gives for a field that a node does not say. */
const UNSAID = { service: '*', group: '', version: '', protocol: 'json' } as const;

/** Throws BAD_OPTION if no node could have these fields. */
export function checkServed({ service, group, version, protocol }: Served): void {
  attributesOf({ service: service ?? UNSAID.service, group, version, protocol });
}

/**
 * Throws BAD_OPTION, or BAD_ADDRESS for an address that cannot be dialed.
 */
export function checkListed(node: ListedNode): void {
  const { port, scheme } = parseAddress(node.address, ALL_SCHEMES);
  if (port === 0 && scheme !== 'unix' && scheme !== 'memory')
    throw gettyError(
      'BAD_ADDRESS',
      `address: got ${showUrl(node.address)}, expected a port from 1 to 65535`,
    );
  entryValue(asked(node, {}));
}

/** Metadata with a weight. Throws BAD_OPTION. */
export function withWeight(
  metadata: Readonly<Record<string, string>>,
  weight: number | undefined,
): Readonly<Record<string, string>> {
  if (weight === undefined) return metadata;
  if (!Number.isInteger(weight) || weight < 0 || weight > MAX_WEIGHT)
    throw badOption('weight', weight, `a whole number from 0 to ${MAX_WEIGHT}`);
  return { ...metadata, [WEIGHT_KEY]: `${weight}` };
}

/** Metadata with a zone. Throws BAD_OPTION. */
export function withZone(
  metadata: Readonly<Record<string, string>>,
  zone: string | undefined,
): Readonly<Record<string, string>> {
  if (zone === undefined) return metadata;
  checkZone(zone);
  return { ...metadata, [ZONE_KEY]: zone };
}

/** The node as an answer to a query. */
function asked(node: ListedNode, query: Partial<ServiceQuery>): ServiceNode {
  const fields = Object.fromEntries(
    FIELDS.map((name) => [name, node[name] ?? (query[name] || UNSAID[name])]),
  ) as unknown as Pick<ServiceNode, (typeof FIELDS)[number]>;
  const assumed = FIELDS.filter((name) => node[name] === undefined);
  const { id, address, metadata } = node;
  return { id, ...fields, address, metadata, ...(assumed.length > 0 && { assumed }) };
}

/** The nodes that match the query. */
export function nodesFor(listed: readonly ListedNode[], query: ServiceQuery): ServiceNode[] {
  return listed.map((node) => asked(node, query)).filter((node) => matches(node, query));
}

/** All nodes, for Registry.list(). */
export function allNodes(listed: readonly ListedNode[]): ServiceNode[] {
  return listed.map((node) => asked(node, {}));
}

/** The error of register(). `registry`: its name, such as `the dns registry`. */
export function refusedRegistration(registry: string, node: ServiceNode): Error {
  return gettyError(
    'BAD_OPTION',
    `registry: got ${registry}, which has no entries to publish ${show(node.service)} in, ` +
      'expected a registry with entries; or start this server with serve() of getty-ts/rpc',
  );
}
