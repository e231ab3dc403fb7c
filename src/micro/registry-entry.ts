/**
 * A service node as a registry entry, in the layout of Go's registries: the path
 * `ROOT/ATTRIBUTES/NODE_ID` and a JSON value. Entries that are read may come from any program, so
 * nothing in them is trusted.
 */
import { badOption, checkObject } from '../core/options.js';
import { setKey } from '../core/records.js';
import { redactUrl } from '../core/redact.js';
import {
  type Attributes,
  attributesOf,
  badEntry,
  isAllowedInPath,
  isCodec,
  parseAttributes,
  quote,
  type Role,
} from './entry-attributes.js';
import type { ServiceNode } from './types.js';

export {
  type Attributes,
  attributesOf,
  type BadAttributes,
  badEntry,
  checkQuery,
  matches,
  parseAttributes,
  readAttributes,
} from './entry-attributes.js';

/**
 * The largest value of an entry that is written or read: 64 KiB. All entries of a list are parsed
 * and compared, so each must be cheap.
 */
export const MAX_ENTRY_BYTES = 64 * 1024;
/**
 * The most keys of the metadata, without that of the address. Reading and comparing a key takes as
 * long as hundreds of bytes.
 */
export const MAX_METADATA_KEYS = 256;
/** The longest address, in UTF-16 code units. It is parsed at each dial, and errors show it. */
const MAX_ADDRESS_LENGTH = 1024;
/** The metadata key of Go's meta string, which self-defined balancers read. */
export const META_KEY = 'getty-micro-meta-key';
/**
 * The metadata key of an address other than `tcp://host:port`, for which the entry has no fields.
 */
export const ADDRESS_KEY = 'getty-address';
/** The metadata key of the weight of a node. */
export const WEIGHT_KEY = 'getty-weight';
/** The metadata key of the zone of a node, which zoneFirst() reads. */
export const ZONE_KEY = 'getty-zone';
/** The weight of a node without a valid weight. */
export const DEFAULT_WEIGHT = 100;
export const MAX_WEIGHT = 1_000_000;

/** Roles by their number in the value. */
const ROLES: readonly (Role | undefined)[] = [undefined, 'SRT_Provider', 'SRT_Consumer'];
const HOST = /^(?:[0-9a-fA-F:.]+|[^\s/:[\]]+)$/;
const HOST_AND_PORT =
  /^[a-z][a-z0-9+.-]*:\/\/(?:\[([0-9a-fA-F:.]+)\]|([^\s/:[\]]+)):(\d{1,5})(?=[/?#]|$)/;
const ADDRESS = /^[a-z][a-z0-9+.-]*:\/\/[^\s]+$/;

/** Throws BAD_OPTION unless `zone` is the name of a zone. */
export function checkZone(zone: unknown): void {
  if (typeof zone !== 'string' || zone === '')
    throw badOption('zone', zone, 'the name of a zone, a string that is not empty');
}

function isValidId(id: unknown): id is string {
  return (
    typeof id === 'string' &&
    id !== '' &&
    id !== '.' &&
    id !== '..' &&
    !id.includes('/') &&
    isAllowedInPath(id)
  );
}

function isAddress(text: unknown): text is string {
  return (
    typeof text === 'string' &&
    text.length <= MAX_ADDRESS_LENGTH &&
    ADDRESS.test(text) &&
    isAllowedInPath(text)
  );
}

function checkNode(node: ServiceNode): void {
  checkObject('node', node);
  attributesOf(node);
  if (node.protocol === undefined)
    throw badOption('protocol', node.protocol, '"json" or "protobuf"');
  if (!isValidId(node.id))
    throw badOption(
      'id',
      node.id,
      'a segment of a path: not empty, "." or "..", without "/" and control characters',
    );
  if (!isAddress(node.address))
    throw badOption(
      'address',
      redactUrl(node.address),
      `an address such as tcp://host:port, of at most ${MAX_ADDRESS_LENGTH} characters`,
    );
  if (typeof node.metadata !== 'object' || node.metadata === null)
    throw badOption('metadata', node.metadata, 'an object of strings');
  const metadata = Object.entries(node.metadata);
  if (metadata.length > MAX_METADATA_KEYS)
    throw badOption('metadata', `${metadata.length} keys`, `at most ${MAX_METADATA_KEYS} keys`);
  for (const [key, value] of metadata) {
    if (key === ADDRESS_KEY)
      throw badOption(`metadata.${key}`, redactUrl(value), 'no such key: it holds the address');
    if (typeof value !== 'string') throw badOption(`metadata.${key}`, value, 'a string');
  }
}

/**
 * `ROOT/ATTRIBUTES/NODE_ID`; the id is not escaped, as in Go. Throws BAD_OPTION for a node that
 * cannot be published.
 */
export function entryPath(root: string, node: ServiceNode): string {
  checkNode(node);
  return `${root.replace(/\/+$/, '')}/${attributesOf(node)}/${node.id}`;
}

/**
 * The value of an entry: the JSON that Go writes, with the metadata ordered by key. Throws
 * BAD_OPTION for a node that cannot be published.
 */
export function entryValue(node: ServiceNode): string {
  checkNode(node);
  const target = splitAddress(node.address);
  const metadata = Object.entries(node.metadata);
  // Needed unless Go's two fields give exactly this address.
  if (target === undefined || joinAddress(target.host, target.port) !== node.address)
    metadata.push([ADDRESS_KEY, node.address]);
  metadata.sort(([a], [b]) => (a < b ? -1 : 1));
  const value = JSON.stringify({
    Attr: {
      Group: node.group || undefined,
      Service: node.service,
      Protocol: node.protocol,
      Version: node.version || undefined,
      Role: ROLES.indexOf('SRT_Provider'),
    },
    Nodes: [
      {
        ID: node.id,
        Address: target?.host,
        Port: target?.port,
        Metadata: metadata.length > 0 ? Object.fromEntries(metadata) : undefined,
      },
    ],
  });
  const size = Buffer.byteLength(value);
  if (size > MAX_ENTRY_BYTES)
    throw badOption(
      'node',
      `${size} bytes`,
      `at most ${MAX_ENTRY_BYTES} bytes of JSON, its metadata included`,
    );
  return value;
}

function splitAddress(address: string): { host: string; port: number } | undefined {
  const found = HOST_AND_PORT.exec(address);
  const port = Number(found?.[3] ?? 0);
  const host = found?.[1] ?? found?.[2];
  return host === undefined || port < 1 || port > 65535 ? undefined : { host, port };
}

function joinAddress(host: string, port: number): string {
  return `tcp://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/**
 * The node of a provider's entry. `path` is the whole path, or its last two segments. Throws
 * REGISTRY_FAILED with the reason: the value is not JSON, too large, incomplete, of a wrong type,
 * or contradicts the path.
 */
export function parseEntry(
  path: string | { readonly attributes: string; readonly id: string },
  value: string,
): ServiceNode {
  const { attributes: text, id } = typeof path === 'string' ? lastSegments(path) : path;
  const name = `${text}/${id}`;
  if (!isValidId(id)) throw badEntry(name, 'its path does not end in ATTRIBUTES/NODE_ID');
  const attributes = parseAttributes(text);
  if (attributes.role !== 'SRT_Provider')
    throw badEntry(name, `its role is ${attributes.role}, only providers are nodes`);
  const { group, protocol, service, version } = attributes;
  if (!isCodec(protocol))
    throw badEntry(name, `its protocol is ${quote(protocol)}, expected json or protobuf`);
  if (Buffer.byteLength(value) > MAX_ENTRY_BYTES)
    throw badEntry(name, `its value is larger than ${MAX_ENTRY_BYTES} bytes`);

  const body = asObject(name, 'the value', parseJson(name, value));
  checkAttr(name, asObject(name, 'Attr', ownValue(body, 'Attr')), attributes);
  const nodes = ownValue(body, 'Nodes');
  if (!Array.isArray(nodes) || nodes.length !== 1)
    throw badEntry(name, 'Nodes is not an array of one node');
  const node = asObject(name, 'the node', nodes[0]);
  if (ownValue(node, 'ID') !== id)
    throw badEntry(name, 'the ID of its node is not the one in its path');
  return { id, service, group, version, protocol, ...readAddress(name, node) };
}

function lastSegments(path: string): { attributes: string; id: string } {
  const parts = path.split('/');
  return { id: parts.pop() ?? '', attributes: parts.pop() ?? '' };
}

function parseJson(name: string, value: string): unknown {
  try {
    return JSON.parse(value);
  } catch {
    // The message of JSON.parse() quotes the text, which may contain a secret.
    throw badEntry(name, 'its value is not JSON');
  }
}

/** Throws unless the value has the same attributes as the path. */
function checkAttr(name: string, attr: Record<string, unknown>, path: Attributes): void {
  const expected: readonly (readonly [string, string | number])[] = [
    ['Group', path.group],
    ['Service', path.service],
    ['Protocol', path.protocol],
    ['Version', path.version],
    ['Role', ROLES.indexOf(path.role)],
  ];
  for (const [key, inPath] of expected) {
    const inValue = ownValue(attr, key) ?? '';
    if (typeof inValue !== typeof inPath)
      throw badEntry(name, `Attr.${key} is ${typeName(inValue)}, expected a ${typeof inPath}`);
    if (inValue !== inPath)
      throw badEntry(name, `Attr.${key} is not ${quote(inPath)}, as in its path`);
  }
}

function readAddress(
  name: string,
  node: Record<string, unknown>,
): Pick<ServiceNode, 'address' | 'metadata'> {
  const metadata = readMetadata(name, node);
  const host = ownValue(node, 'Address') ?? '';
  const port = ownValue(node, 'Port') ?? 0;
  if (typeof host !== 'string')
    throw badEntry(name, `Address is ${typeName(host)}, expected a string`);
  if (typeof port !== 'number')
    throw badEntry(name, `Port is ${typeName(port)}, expected a number`);

  const wholeAddress = metadata[ADDRESS_KEY];
  if (wholeAddress !== undefined) {
    if (!isAddress(wholeAddress))
      throw badEntry(
        name,
        `its ${ADDRESS_KEY} is not an address such as udp://host:port, of at most ${MAX_ADDRESS_LENGTH} characters`,
      );
    delete metadata[ADDRESS_KEY];
    return { address: wholeAddress, metadata: Object.freeze(metadata) };
  }
  const hostWithoutBrackets = host.replace(/^\[(.*)\]$/, '$1');
  if (
    hostWithoutBrackets.length > MAX_ADDRESS_LENGTH ||
    !HOST.test(hostWithoutBrackets) ||
    !isAllowedInPath(hostWithoutBrackets)
  )
    throw badEntry(name, 'its Address is not a host');
  if (!Number.isInteger(port) || port < 1 || port > 65535)
    throw badEntry(name, `Port is ${port}, expected 1 to 65535`);
  return { address: joinAddress(hostWithoutBrackets, port), metadata: Object.freeze(metadata) };
}

function readMetadata(name: string, node: Record<string, unknown>): Record<string, string> {
  // No prototype, so that `__proto__` is an ordinary key.
  const metadata: Record<string, string> = Object.create(null);
  const given = asObject(name, 'Metadata', ownValue(node, 'Metadata') ?? {});
  const entries = Object.entries(given);
  const count = entries.length - (Object.hasOwn(given, ADDRESS_KEY) ? 1 : 0);
  if (count > MAX_METADATA_KEYS)
    throw badEntry(name, `its Metadata has ${count} keys, at most ${MAX_METADATA_KEYS} are read`);
  for (const [key, value] of entries) {
    if (typeof value !== 'string')
      throw badEntry(name, `a value of Metadata is ${typeName(value)}, expected a string`);
    setKey(metadata, key, value);
  }
  return metadata;
}

function asObject(name: string, what: string, value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw badEntry(name, `${what} is ${typeName(value)}, expected an object`);
  return value as Record<string, unknown>;
}

function ownValue(object: Record<string, unknown>, key: string): unknown {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

function typeName(value: unknown): string {
  if (value === undefined) return 'missing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
