/** Makes a registry from a URL: the scheme selects its kind. */
import { fileURLToPath } from 'node:url';
import { gettyError } from '../core/errors.js';
import { checkNames, type NamesOf, pickNames } from '../core/options.js';
import { showUrl } from '../core/redact.js';
import type { Registry } from '../micro/types.js';
import { parseDnsUrl } from './dns/dns-url.js';
import { DNS_NAMES, type DnsRegistryOptions } from './dns/registry-options.js';
import { ETCD_NAMES, type EtcdOptions } from './etcd/registry-options.js';
import { FILE_REGISTRY_NAMES, type FileRegistryOptions, file } from './file/index.js';
import { memory } from './memory.js';
import { STATIC_NAMES, type StaticRegistryOptions, staticRegistry } from './static/index.js';
import { parseStaticUrl } from './static/static-url.js';
import { ZOOKEEPER_NAMES, type ZooKeeperRegistryOptions } from './zookeeper/registry-options.js';

/**
 * Options of every kind of registry. Each kind ignores the options of the others. A name that no
 * kind has is a BAD_OPTION.
 */
export interface RegistryOptions
  extends FileRegistryOptions,
    Omit<EtcdOptions, 'root'>,
    ZooKeeperRegistryOptions,
    StaticRegistryOptions,
    DnsRegistryOptions {}

const NAMES = {
  ...FILE_REGISTRY_NAMES,
  ...ETCD_NAMES,
  ...ZOOKEEPER_NAMES,
  ...STATIC_NAMES,
  ...DNS_NAMES,
} satisfies NamesOf<RegistryOptions>;

const EXPECTED =
  'memory:name, file:///path/of/a/directory, etcd://host:port,host:port/root, etcds://host:port/root (TLS), zookeeper://host:2181,host2:2181/root, static:tcp://host:port,tcp://host2:port or dns:host:port';
const MEMORY_URL = /^memory:(?:\/\/)?([^/?#]*)$/;
const ETCD_URL = /^etcd(s?):\/\/(?:([^\s@/]*)@)?([^\s@/?#]+)(\/[^\s?#]*)?$/;
const ETCD_PORT = 2379;
/** The characters / ? # and @ in the user or password are percent-encoded. */
const ZOOKEEPER_URL = /^zookeeper:\/\/(?:([^/?#@]*)@)?([^/?#@]+)(\/[^?#@]*)?$/;

/**
 * Makes the registry of a URL. The kinds:
 *
 * - `memory:name`; `memory:` without a name shares its entries with no other registry
 * - `file:///directory`
 * - `etcd://user:password@host:2379,host2:2379/root`; `etcds:` for TLS
 * - `zookeeper://user:password@host:2181,host2:2181/root`
 * - `static:tcp://host:port,tcp://host2:port?service=S&group=G&version=V&protocol=P`
 * - `dns:host:port`, `dns:_service._tcp.domain`, `dns://nameserver/host:port`; with the names of
 *   `static:` and `scheme`, `path` after a question mark
 *
 * The user and the password are percent-encoded; both may be options instead. The client of DNS,
 * etcd or ZooKeeper is loaded by the first call that needs it. Rejects with BAD_ADDRESS, which
 * lists the allowed URLs, or with BAD_OPTION.
 */
export async function registry(url: string, options: RegistryOptions = {}): Promise<Registry> {
  checkNames('registry()', options, NAMES);
  const name = typeof url === 'string' ? MEMORY_URL.exec(url)?.[1] : undefined;
  if (name !== undefined) return memory(name === '' ? undefined : name);
  const etcdUrl = typeof url === 'string' ? ETCD_URL.exec(url) : null;
  if (etcdUrl !== null) return openEtcd(url, etcdUrl, options);
  if (typeof url === 'string' && url.startsWith('zookeeper:')) return openZooKeeper(url, options);
  if (typeof url === 'string' && url.startsWith('static:')) {
    const { addresses, options: told } = parseStaticUrl(url);
    return staticRegistry(addresses, { ...pickNames(options, STATIC_NAMES), ...told });
  }
  if (typeof url === 'string' && url.startsWith('dns:')) {
    const { name: host, options: told } = parseDnsUrl(url);
    const { dns } = await import('./dns/index.js');
    return dns(host, { ...pickNames(options, DNS_NAMES), ...told });
  }
  return file(directoryOf(url), pickNames(options, FILE_REGISTRY_NAMES));
}

async function openZooKeeper(url: string, options: RegistryOptions): Promise<Registry> {
  const [, user, hosts, path = ''] = ZOOKEEPER_URL.exec(url) ?? [];
  if (hosts === undefined) throw badAddress(url);
  const given = { ...options };
  try {
    if (user !== undefined) given.credentials = decodeURIComponent(user);
    if (path.length > 1) given.root = decodeURIComponent(path.replace(/\/$/, ''));
  } catch {
    throw badAddress(url);
  }
  const { zookeeper } = await import('./zookeeper/index.js');
  return zookeeper(hosts, pickNames(given, ZOOKEEPER_NAMES));
}

async function openEtcd(
  url: string,
  [, secure, credentials, hosts = '', root]: RegExpExecArray,
  options: RegistryOptions,
): Promise<Registry> {
  const scheme = secure === 's' ? 'https' : 'http';
  const endpoints = hosts
    .split(',')
    .map((host) => `${scheme}://${/:\d+$/.test(host) ? host : `${host}:${ETCD_PORT}`}`);
  const { etcd } = await import('./etcd/index.js');
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
  // fileURLToPath() makes "/directory" of the relative URL "file:directory".
  if (typeof url !== 'string' || !/^file:\/\/\/[^?#]+$/.test(url)) throw badAddress(url);
  try {
    return fileURLToPath(url);
  } catch {
    throw badAddress(url);
  }
}

/** The error has no cause, because errors of URL functions repeat the URL and its password. */
function badAddress(url: unknown): Error {
  return gettyError('BAD_ADDRESS', `registry: got ${showUrl(url)}, expected ${EXPECTED}`);
}
