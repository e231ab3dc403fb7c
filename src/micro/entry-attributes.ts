/**
 * ATTRIBUTES, the part of an entry's path that describes what a node offers. The form is that of
 * Go's registries: `key=value` pairs, query-escaped twice.
 */
import { gettyError, messageOf } from '../core/errors.js';
import { badOption, checkNames, type NamesOf } from '../core/options.js';
import { checkSignal } from '../core/signals.js';
import type { CodecName } from '../rpc/types.js';
import type { ServiceNode, ServiceQuery } from './types.js';

/** The names of Go's enum ServiceRoleType. */
export type Role = 'SRT_Provider' | 'SRT_Consumer';

/** Parsed ATTRIBUTES; '' stands for a missing pair. */
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
const CODECS: readonly string[] = ['json', 'protobuf'] satisfies CodecName[];
/** The keys of ATTRIBUTES, in their order in the path. */
const KEYS = ['group', 'protocol', 'role', 'service', 'version'] as const;
// Control characters, unpaired surrogates, and the other ranges that ZooKeeper rejects in a path.
// biome-ignore lint/suspicious/noControlCharactersInRegex: it must match them
const FORBIDDEN = /[\u0000-\u001f\u007f-\u009f\ud800-\udfff\ue000-\uf8ff\ufff0-\uffff]/u;

const FORBIDDEN_NAMES =
  'control characters, private-use characters, unpaired surrogates, U+FFF0 to U+FFFF';

/** Whether the text can be part of a path in every registry. */
export function isAllowedInPath(text: string): boolean {
  return !FORBIDDEN.test(text);
}

export function isCodec(name: string): name is CodecName {
  return CODECS.includes(name);
}

/** Go's url.QueryEscape: letters, digits and `-_.~` stay, and a space becomes a plus. */
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
 * The ATTRIBUTES part of the path of a node's entry. For a query that gives all fields, the part
 * that all matching entries have. Throws BAD_OPTION for invalid fields.
 */
export function attributesOf(node: ServiceNode | ServiceQuery): string {
  checkFields(node);
  const { group, protocol, service, version } = node;
  const values = { group, protocol, role: 'SRT_Provider', service, version };
  const pairs = KEYS.filter((key) => values[key]).map(
    (key) => `${key}=${queryEscape(values[key] as string)}`,
  );
  return queryEscape(pairs.join('&'));
}

function checkFields({
  service,
  group = '',
  version = '',
  protocol,
}: ServiceNode | ServiceQuery): void {
  checkField('service', service);
  if (service === '') throw badOption('service', '', 'the name of a service');
  checkField('group', group);
  checkField('version', version);
  if (protocol !== undefined && !isCodec(protocol))
    throw badOption('protocol', protocol, '"json" or "protobuf"');
}

/** Throws BAD_OPTION for a group that no node can have. */
export function checkGroup(given: unknown): void {
  checkField('group', given);
}

function checkField(name: string, given: unknown): void {
  if (typeof given !== 'string') throw badOption(name, given, 'a string');
  if (!isAllowedInPath(given)) throw badOption(name, given, `a string without ${FORBIDDEN_NAMES}`);
}

/**
 * Checks the arguments of Registry.watch(). Throws BAD_OPTION for invalid fields of the query,
 * and for unknown names in the query or the options.
 */
export function checkQuery(
  query: ServiceQuery,
  options: { signal?: AbortSignal | undefined },
): void {
  if (query === undefined) throw badOption('query', query, 'an object with a service');
  checkNames('a query', query, QUERY_NAMES);
  checkNames('watch()', options, { signal: true });
  checkSignal(options?.signal);
  checkFields(query);
}

/** Why a text is not ATTRIBUTES. No error, because to make thousands of them takes long. */
export interface BadAttributes {
  readonly why: string;
  readonly cause?: unknown;
}

/** Parses ATTRIBUTES and ignores unknown keys. Throws REGISTRY_FAILED with the reason. */
export function parseAttributes(text: string): Attributes {
  const attributes = readAttributes(text);
  if ('why' in attributes) throw badEntry(text, attributes.why, attributes.cause);
  return attributes;
}

/** As parseAttributes(), but returns the reason. Never throws. */
export function readAttributes(text: string): Attributes | BadAttributes {
  const found = new Map<string, string>();
  try {
    for (const pair of queryUnescape(text).split('&')) {
      const [key = '', ...rest] = pair.split('=');
      const name = queryUnescape(key);
      if (found.has(name))
        return { why: `its attributes cannot be parsed: ${quote(name)} occurs twice` };
      found.set(name, queryUnescape(rest.join('=')));
    }
  } catch (error) {
    return { why: `its attributes cannot be parsed: ${messageOf(error)}`, cause: error };
  }
  const [group, protocol, role, service, version] = KEYS.map((key) => found.get(key) ?? '') as [
    string,
    string,
    string,
    string,
    string,
  ];
  if (service === '') return { why: 'its attributes name no service' };
  if (role !== 'SRT_Provider' && role !== 'SRT_Consumer')
    return { why: `its role is ${quote(role)}, expected SRT_Provider or SRT_Consumer` };
  if (![group, protocol, service, version].every(isAllowedInPath))
    return { why: `its attributes contain one of these: ${FORBIDDEN_NAMES}` };
  return { group, protocol, role, service, version };
}

/**
 * Whether a node, or an entry with these attributes, matches the query, as Go's consumers decide.
 * The service must be equal, and the role must be that of a provider. Group, protocol and version
 * must be equal unless they are missing or empty in the query.
 */
export function matches(node: ServiceNode | Attributes, query: ServiceQuery): boolean {
  if (node.service !== query.service) return false;
  if ('role' in node && node.role !== 'SRT_Provider') return false;
  return (
    (!query.group || node.group === query.group) &&
    (!query.protocol || node.protocol === query.protocol) &&
    (!query.version || node.version === query.version)
  );
}

/** A peer's text for an error message: on one line, at most 201 characters. */
export function quote(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

/**
 * The REGISTRY_FAILED error of an entry that is not valid. `pathOrAttributes` names the entry in
 * the message.
 */
export function badEntry(pathOrAttributes: string, why: string, cause?: unknown): Error {
  return gettyError('REGISTRY_FAILED', `registry entry ${quote(pathOrAttributes)}: ${why}`, cause);
}
