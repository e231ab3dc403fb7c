/** Registries by address: the scheme picks the registry. */
import { fileURLToPath } from 'node:url';
import { gettyError } from '../errors.js';
import type { Registry } from '../micro/types.js';
import { type FileRegistryOptions, file } from './file.js';
import { memory } from './memory.js';
import type { ZooKeeperRegistryOptions } from './zookeeper.js';

/** Options of every kind of registry; each takes what it knows. */
export interface RegistryOptions extends FileRegistryOptions, ZooKeeperRegistryOptions {}

const ALLOWED = 'memory:name, file:///path/of/a/directory or zookeeper://host:2181,host2:2181/root';
const MEMORY = /^memory:(?:\/\/)?([^/]*)$/;
/** A slash, a question mark, a number sign and an @ in user or password are percent-encoded; an @ elsewhere is none of ours. */
const ZOOKEEPER = /^zookeeper:\/\/(?:([^/?#@]*)@)?([^/?#@]+)(\/[^?#@]*)?$/;

/**
 * The registry that a URL names: `memory:name` (`memory:` has no name and is its own), `file:///directory`,
 * `zookeeper://host:2181,host2:2181/root`, perhaps with `user:password@` before the hosts; a root or credentials in the URL go before those in the options.
 * Rejects with BAD_ADDRESS, which says what is allowed, or BAD_OPTION. Asynchronous, since a registry's client is
 * loaded only when it is asked for.
 */
export async function registry(url: string, options: RegistryOptions = {}): Promise<Registry> {
  const name = typeof url === 'string' ? MEMORY.exec(url)?.[1] : undefined;
  if (name !== undefined) return memory(name === '' ? undefined : name);
  if (typeof url === 'string' && url.startsWith('zookeeper:')) return openZooKeeper(url, options);
  return file(directoryOf(url), options);
}

async function openZooKeeper(url: string, options: RegistryOptions): Promise<Registry> {
  const [, user, hosts, path = ''] = ZOOKEEPER.exec(url) ?? [];
  if (hosts === undefined) throw badAddress(url);
  const given = { ...options };
  try {
    if (user !== undefined) given.credentials = decodeURIComponent(user);
    if (path.length > 1) given.root = decodeURIComponent(path.replace(/\/$/, ''));
  } catch (error) {
    throw badAddress(url, error);
  }
  const { zookeeper } = await import('./zookeeper.js');
  return zookeeper(hosts, given);
}

function directoryOf(url: string): string {
  // "file:directory" would become "/directory", whatever directory one is in.
  if (typeof url !== 'string' || !/^file:\/\/\/[^?#]+$/.test(url)) throw badAddress(url);
  try {
    return fileURLToPath(url);
  } catch (error) {
    throw badAddress(url, error);
  }
}

function badAddress(url: unknown, cause?: unknown): Error {
  // A URL may carry a password; an error must not.
  const given = typeof url === 'string' ? JSON.stringify(url.replace(/\/\/.*@/s, '//***@')) : String(url);
  return gettyError('BAD_ADDRESS', `registry: given ${given}, expected ${ALLOWED}`, cause);
}
