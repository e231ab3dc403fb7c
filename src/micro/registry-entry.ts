/**
 * A service node as a registry entry and back, in the layout that Go's registries have: the path
 * `ROOT/ATTRIBUTES/NODE_ID` and a JSON value. Pure functions; everything read is taken for a
 * stranger's.
 */
import { gettyError, messageOf } from '../core/errors.js';
import { badOption, checkNames, type NamesOf } from '../core/options.js';
import { setKey } from '../core/records.js';
import { redactUrl } from '../core/redact.js';
import type { CodecName } from '../rpc/types.js';
import type { ServiceNode, ServiceQuery } from './types.js';

/**
 * The largest value of an entry, in bytes, that is written or read: 64 KiB. All entries of a list
 * are parsed and compared, so each must be cheap.
 */
export const MAX_ENTRY_BYTES = 64 * 1024;
/**
 * The metadata key of the service's own string, which Go's providers write and self-defined
 * balancers read.
 */
export const META_KEY = 'getty-micro-meta-key';
/**
 * The metadata key that holds a node's address when it is not plain `tcp://host:port`, which Go's
 * fields cannot say.
 */
export const ADDRESS_KEY = 'getty-address';
/** The metadata key of a node's weight. */
export const WEIGHT_KEY = 'getty-weight';
/** The weight of a node that says none. */
export const DEFAULT_WEIGHT = 100;
export const MAX_WEIGHT = 1_000_000;

export type Role = 'SRT_Provider' | 'SRT_Consumer';

/** What the ATTRIBUTES part of a path says; '' is what it leaves out. */
export interface Attributes {
  readonly group: string;
  readonly protocol: string;
  readonly role: Role;
  readonly service: string;
  readonly version: string;
}

const QUERY_NAMES = {
  service: true,
  group: true,
  version: true,
  protocol: true,
} satisfies NamesOf<ServiceQuery>;
const PROTOCOLS: readonly string[] = ['json', 'protobuf'] satisfies CodecName[];
/** Roles by their number in the value. */
const ROLES: readonly (Role | undefined)[] = [undefined, 'SRT_Provider', 'SRT_Consumer'];
/** In the order of the path. */
const KEYS = ['group', 'protocol', 'role', 'service', 'version'] as const;
// Control characters, halves of a surrogate pair, and the ranges that ZooKeeper refuses in a path.
// biome-ignore lint/suspicious/noControlCharactersInRegex: to find them is its purpose
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\ud800-\udfff\ue000-\uf8ff\ufff0-\uffff]/u;
const HOST = /^(?:[0-9a-fA-F:.]+|[^\s/:[\]]+)$/;
const HOST_AND_PORT =
  /^[a-z][a-z0-9+.-]*:\/\/(?:\[([0-9a-fA-F:.]+)\]|([^\s/:[\]]+)):(\d{1,5})(?=[/?#]|$)/;
const ADDRESS = /^[a-z][a-z0-9+.-]*:\/\/[^\s]+$/;

/** Go's url.QueryEscape: only letters, digits and `-_.~` stay, a space is a plus. */
function queryEscape(text: string): string {
  const hex = (char: string): string => `%${char.charCodeAt(0).toString(16).toUpperCase()}`;
  return encodeURIComponent(text)
    .replace(/[!'()*]/g, hex)
    .replaceAll('%20', '+');
}

/** Go's url.QueryUnescape. Throws a URIError. */
function queryUnescape(text: string): string {
  return decodeURIComponent(text.replaceAll('+', '%20'));
}

/**
 * ATTRIBUTES of a provider that offers this, or of the entries that a query with every field looks
 * for. Throws BAD_OPTION.
 */
export function attributesOf(of: ServiceNode | ServiceQuery): string {
  checkAttribute('service', of.service);
  if (of.service === '') throw badOption('service', '', 'the name of a service');
  checkAttribute('group', of.group ?? '');
  checkAttribute('version', of.version ?? '');
  if (of.protocol !== undefined && !PROTOCOLS.includes(of.protocol))
    throw badOption('protocol', of.protocol, '"json" or "protobuf"');
  const values = {
    group: of.group,
    protocol: of.protocol,
    role: 'SRT_Provider',
    service: of.service,
    version: of.version,
  };
  const pairs = KEYS.filter((key) => values[key]).map(
    (key) => `${key}=${queryEscape(values[key] as string)}`,
  );
  return queryEscape(pairs.join('&'));
}

function checkAttribute(name: string, given: unknown): void {
  if (typeof given !== 'string' || UNSAFE.test(given))
    throw badOption(name, given, 'a string without control or private characters');
}

/**
 * Of Registry.watch(). Throws BAD_OPTION unless the query names a service and is made of strings.
 */
export function checkQuery(
  query: ServiceQuery,
  options: { signal?: AbortSignal | undefined },
): void {
  checkNames('a query', query, QUERY_NAMES);
  checkNames('watch()', options, { signal: true });
  attributesOf(query);
}

function isSafeId(id: unknown): id is string {
  return (
    typeof id === 'string' &&
    id !== '' &&
    id !== '.' &&
    id !== '..' &&
    !id.includes('/') &&
    !UNSAFE.test(id)
  );
}

function checkNode(node: ServiceNode): void {
  attributesOf(node);
  if (node.protocol === undefined)
    throw badOption('protocol', node.protocol, '"json" or "protobuf"');
  if (!isSafeId(node.id)) {
    throw badOption(
      'id',
      node.id,
      'a name that can stand in a path: not empty, "." or "..", without "/" and control characters',
    );
  }
  if (!isAddress(node.address))
    throw badOption('address', redactUrl(node.address), 'an address such as tcp://host:port');
  if (typeof node.metadata !== 'object' || node.metadata === null)
    throw badOption('metadata', node.metadata, 'an object of strings');
  for (const [key, value] of Object.entries(node.metadata)) {
    if (key === ADDRESS_KEY)
      throw badOption(`metadata.${key}`, redactUrl(value), 'nothing: the address says it');
    if (typeof value !== 'string') throw badOption(`metadata.${key}`, value, 'a string');
  }
}

/**
 * `ROOT/ATTRIBUTES/NODE_ID`, the id raw as Go writes it. Throws BAD_OPTION for a node that cannot
 * be published.
 */
export function entryPath(root: string, node: ServiceNode): string {
  checkNode(node);
  return `${root.replace(/\/+$/, '')}/${attributesOf(node)}/${node.id}`;
}

/**
 * The entry's value, the JSON that Go writes, metadata in the order of its keys. Throws BAD_OPTION
 * for a node that cannot be published.
 */
export function entryValue(node: ServiceNode): string {
  checkNode(node);
  const target = splitAddress(node.address);
  const metadata = Object.entries(node.metadata);
  // What Go's two fields give back exactly needs no word more.
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

function isAddress(text: unknown): text is string {
  return typeof text === 'string' && ADDRESS.test(text) && !UNSAFE.test(text);
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
 * Read the ATTRIBUTES part of a path; keys that are not known are passed over. Throws
 * REGISTRY_FAILED, saying why.
 */
export function parseAttributes(text: string): Attributes {
  const found = new Map<string, string>();
  try {
    for (const pair of queryUnescape(text).split('&')) {
      const [key = '', ...rest] = pair.split('=');
      const name = queryUnescape(key);
      if (found.has(name)) throw new Error(`${quote(name)} is there twice`);
      found.set(name, queryUnescape(rest.join('=')));
    }
  } catch (error) {
    throw badEntry(text, `its attributes are not form-encoded: ${messageOf(error)}`, error);
  }
  const [group, protocol, role, service, version] = KEYS.map((key) => found.get(key) ?? '') as [
    string,
    string,
    string,
    string,
    string,
  ];
  if (service === '') throw badEntry(text, 'its attributes name no service');
  if (role !== 'SRT_Provider' && role !== 'SRT_Consumer')
    throw badEntry(text, `its role is ${quote(role)}, expected SRT_Provider or SRT_Consumer`);
  if ([group, protocol, service, version].some((value) => UNSAFE.test(value)))
    throw badEntry(text, 'its attributes hold control characters');
  return { group, protocol, role, service, version };
}

/**
 * Whether a provider with these attributes is what the query looks for, as a Go consumer decides:
 * service and role first, then exactly by group, protocol and version where they are given and not
 * empty.
 */
export function matches(of: ServiceNode | Attributes, query: ServiceQuery): boolean {
  if (of.service !== query.service) return false;
  if ('role' in of && of.role !== 'SRT_Provider') return false;
  return (
    (!query.group || of.group === query.group) &&
    (!query.protocol || of.protocol === query.protocol) &&
    (!query.version || of.version === query.version)
  );
}

/**
 * Read a provider's entry: its path, whole or as its last two parts, and its value. Throws
 * REGISTRY_FAILED, saying why: not JSON, too large, a wrong type, something missing, or a value
 * that contradicts its path.
 */
export function parseEntry(
  path: string | { readonly attributes: string; readonly id: string },
  value: string,
): ServiceNode {
  const { attributes: text, id } = typeof path === 'string' ? lastTwo(path) : path;
  const name = `${text}/${id}`;
  if (!isSafeId(id)) throw badEntry(name, 'its path does not end in ATTRIBUTES/NODE_ID');
  const attributes = parseAttributes(text);
  if (attributes.role !== 'SRT_Provider')
    throw badEntry(name, `its role is ${attributes.role}, only providers are nodes`);
  const { group, protocol, service, version } = attributes;
  if (!isCodec(protocol))
    throw badEntry(name, `its protocol is ${quote(protocol)}, expected json or protobuf`);
  if (Buffer.byteLength(value) > MAX_ENTRY_BYTES)
    throw badEntry(name, `its value is larger than ${MAX_ENTRY_BYTES} bytes`);

  const body = record(name, 'the value', parseJson(name, value));
  checkAttr(name, record(name, 'Attr', own(body, 'Attr')), attributes);
  const nodes = own(body, 'Nodes');
  if (!Array.isArray(nodes) || nodes.length !== 1)
    throw badEntry(name, 'Nodes is not an array of one node');
  const node = record(name, 'the node', nodes[0]);
  if (own(node, 'ID') !== id) throw badEntry(name, 'the ID of its node is not the one in its path');
  return { id, service, group, version, protocol, ...readAddress(name, node) };
}

function lastTwo(path: string): { attributes: string; id: string } {
  const parts = path.split('/');
  return { id: parts.pop() ?? '', attributes: parts.pop() ?? '' };
}

function isCodec(name: string): name is CodecName {
  return PROTOCOLS.includes(name);
}

function parseJson(name: string, value: string): unknown {
  try {
    return JSON.parse(value);
  } catch {
    // The message of JSON.parse() quotes the text, which may hold a secret.
    throw badEntry(name, 'its value is not JSON');
  }
}

function checkAttr(name: string, attr: Record<string, unknown>, path: Attributes): void {
  const expected: readonly (readonly [string, string | number])[] = [
    ['Group', path.group],
    ['Service', path.service],
    ['Protocol', path.protocol],
    ['Version', path.version],
    ['Role', ROLES.indexOf(path.role)],
  ];
  for (const [key, inPath] of expected) {
    const inValue = own(attr, key) ?? '';
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
  // No prototype: every key is the provider's own.
  const metadata: Record<string, string> = Object.create(null);
  for (const [key, value] of Object.entries(
    record(name, 'Metadata', own(node, 'Metadata') ?? {}),
  )) {
    if (typeof value !== 'string')
      throw badEntry(name, `a value of Metadata is ${typeName(value)}, expected a string`);
    setKey(metadata, key, value);
  }
  const host = own(node, 'Address') ?? '';
  const port = own(node, 'Port') ?? 0;
  if (typeof host !== 'string')
    throw badEntry(name, `Address is ${typeName(host)}, expected a string`);
  if (typeof port !== 'number')
    throw badEntry(name, `Port is ${typeName(port)}, expected a number`);

  const told = metadata[ADDRESS_KEY];
  if (told !== undefined) {
    if (!isAddress(told))
      throw badEntry(name, `its ${ADDRESS_KEY} is no address such as udp://host:port`);
    delete metadata[ADDRESS_KEY];
    return { address: told, metadata: Object.freeze(metadata) };
  }
  const plain = host.replace(/^\[(.*)\]$/, '$1');
  if (!HOST.test(plain) || UNSAFE.test(plain)) throw badEntry(name, 'its Address is no host');
  if (!Number.isInteger(port) || port < 1 || port > 65535)
    throw badEntry(name, `Port is ${port}, expected 1 to 65535`);
  return { address: joinAddress(plain, port), metadata: Object.freeze(metadata) };
}

function record(name: string, what: string, value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw badEntry(name, `${what} is ${typeName(value)}, expected an object`);
  return value as Record<string, unknown>;
}

function own(object: Record<string, unknown>, key: string): unknown {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

function typeName(value: unknown): string {
  if (value === undefined) return 'missing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

/** A stranger's text for a message: one line, not endless. */
function quote(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

function badEntry(name: string, why: string, cause?: unknown): Error {
  return gettyError('REGISTRY_FAILED', `registry entry ${quote(name)}: ${why}`, cause);
}
