/** Registries by address: the scheme picks the registry. */
import { fileURLToPath } from 'node:url';
import { gettyError } from '../core/errors.js';
import { badOption, checkNames, type NamesOf, pickNames } from '../core/options.js';
import { showUrl } from '../core/redact.js';
import type { Registry } from '../micro/types.js';
import type { EtcdOptions } from './etcd/index.js';
import { FILE_REGISTRY_NAMES, type FileRegistryOptions, file } from './file/index.js';
import { memory } from './memory.js';
import type { ZooKeeperRegistryOptions } from './zookeeper/index.js';

/**
 * Options of every kind of registry. Each kind uses those that it knows; a name that no kind knows
 * is a BAD_OPTION.
 */
export interface RegistryOptions
  extends FileRegistryOptions,
    Omit<EtcdOptions, 'root'>,
    ZooKeeperRegistryOptions {}

const NAMES = {
  ttl: true,
  pollInterval: true,
  logger: true,
  root: true,
  username: true,
  password: true,
  tls: true,
  dialTimeout: true,
  requestTimeout: true,
  pingInterval: true,
  pingTimeout: true,
  initialDelay: true,
  maxDelay: true,
  waitForRegistry: true,
  goConsumers: true,
  maxEntries: true,
  maxBytes: true,
  sessionTimeout: true,
  operationTimeout: true,
  settleTime: true,
  credentials: true,
  acl: true,
} satisfies NamesOf<RegistryOptions>;

const ALLOWED =
  'memory:name, file:///path/of/a/directory, etcd://host:port,host:port/root, etcds://host:port/root (TLS) or zookeeper://host:2181,host2:2181/root';
const MEMORY = /^memory:(?:\/\/)?([^/?#]*)$/;
const ETCD = /^etcd(s?):\/\/(?:([^\s@/]*)@)?([^\s@/?#]+)(\/[^\s?#]*)?$/;
const ETCD_PORT = 2379;
/**
 * A slash, a question mark, a number sign and an @ in user or password are percent-encoded; an @
 * elsewhere is none of ours.
 */
const ZOOKEEPER = /^zookeeper:\/\/(?:([^/?#@]*)@)?([^/?#@]+)(\/[^?#@]*)?$/;

/**
 * The registry that a URL names: `memory:name` (`memory:` has no name and is its own),
 * `file:///directory`, `etcd://user:password@host:2379,host2:2379/root` (`etcds:` for TLS), or
 * `zookeeper://user:password@host:2181,host2:2181/root`, where the user and the password are
 * percent-encoded, and may as well be options. Rejects with BAD_ADDRESS, which says what is
 * allowed, or BAD_OPTION. Asynchronous, since a registry's client is loaded only when it is asked
 * for.
 */
export async function registry(url: string, options: RegistryOptions = {}): Promise<Registry> {
  if (typeof options !== 'object' || options === null)
    throw badOption('options', options, 'an object');
  checkNames('registry()', options, NAMES);
  const name = typeof url === 'string' ? MEMORY.exec(url)?.[1] : undefined;
  if (name !== undefined) return memory(name === '' ? undefined : name);
  const cluster = typeof url === 'string' ? ETCD.exec(url) : null;
  if (cluster !== null) return etcdAt(url, cluster, options);
  if (typeof url === 'string' && url.startsWith('zookeeper:')) return openZooKeeper(url, options);
  return file(directoryOf(url), pickNames(options, FILE_REGISTRY_NAMES));
}

async function openZooKeeper(url: string, options: RegistryOptions): Promise<Registry> {
  const [, user, hosts, path = ''] = ZOOKEEPER.exec(url) ?? [];
  if (hosts === undefined) throw badAddress(url);
  const given = { ...options };
  try {
    if (user !== undefined) given.credentials = decodeURIComponent(user);
    if (path.length > 1) given.root = decodeURIComponent(path.replace(/\/$/, ''));
  } catch {
    throw badAddress(url);
  }
  const { zookeeper, ZOOKEEPER_NAMES } = await import('./zookeeper/index.js');
  return zookeeper(hosts, pickNames(given, ZOOKEEPER_NAMES));
}

async function etcdAt(
  url: string,
  [, secure, credentials, hosts = '', root]: RegExpExecArray,
  options: RegistryOptions,
): Promise<Registry> {
  const scheme = secure === 's' ? 'https' : 'http';
  const endpoints = hosts
    .split(',')
    .map((host) => `${scheme}://${/:\d+$/.test(host) ? host : `${host}:${ETCD_PORT}`}`);
  const { etcd, ETCD_NAMES } = await import('./etcd/index.js');
  const given = pickNames(options, ETCD_NAMES);
  const path = root === undefined || root === '/' ? given.root : root;
  return etcd(endpoints, { ...given, ...credentialsOf(url, credentials), root: path });
}

function credentialsOf(
  url: string,
  text: string | undefined,
): Pick<EtcdOptions, 'username' | 'password'> {
  if (text === undefined) return {};
  const [username = '', ...rest] = text.split(':');
  try {
    return { username: decodeURIComponent(username), password: decodeURIComponent(rest.join(':')) };
  } catch {
    throw badAddress(url);
  }
}

function directoryOf(url: string): string {
  // "file:directory" would become "/directory", whatever directory one is in.
  if (typeof url !== 'string' || !/^file:\/\/\/[^?#]+$/.test(url)) throw badAddress(url);
  try {
    return fileURLToPath(url);
  } catch {
    throw badAddress(url);
  }
}

/** It has no cause: errors of URL functions repeat the URL. */
function badAddress(url: unknown): Error {
  return gettyError('BAD_ADDRESS', `registry: given ${showUrl(url)}, expected ${ALLOWED}`);
}
