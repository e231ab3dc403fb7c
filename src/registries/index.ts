/** Registries by address: the scheme picks the registry. */
import { fileURLToPath } from 'node:url';
import { gettyError } from '../errors.js';
import type { Registry } from '../micro/types.js';
import { type FileRegistryOptions, file } from './file.js';
import { memory } from './memory.js';

/** Options of every kind of registry; each takes what it knows. */
export interface RegistryOptions extends FileRegistryOptions {}

const ALLOWED = 'memory:name or file:///path/of/a/directory';
const MEMORY = /^memory:(?:\/\/)?([^/]*)$/;

/**
 * The registry that a URL names: `memory:name` (`memory:` has no name and is its own), `file:///directory`.
 * Rejects with BAD_ADDRESS, which says what is allowed, or BAD_OPTION. Asynchronous, since a registry's client may be
 * loaded only when it is asked for.
 */
export async function registry(url: string, options: RegistryOptions = {}): Promise<Registry> {
  const name = typeof url === 'string' ? MEMORY.exec(url)?.[1] : undefined;
  if (name !== undefined) return memory(name === '' ? undefined : name);
  return file(directoryOf(url), options);
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
  const given = typeof url === 'string' ? JSON.stringify(url.replace(/\/\/[^/]*@/, '//***@')) : String(url);
  return gettyError('BAD_ADDRESS', `registry: given ${given}, expected ${ALLOWED}`, cause);
}
