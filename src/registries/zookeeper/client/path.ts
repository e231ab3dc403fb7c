/** Checks of ZooKeeper paths. */
import { badOption } from '../../../core/options.js';

// ZooKeeper refuses these characters in a path.
// biome-ignore lint/suspicious/noControlCharactersInRegex: the expression finds control characters
const FORBIDDEN = /[\u0000-\u001f\u007f-\u009f\ud800-\udfff\ue000-\uf8ff\ufff0-\uffff]/u;

export function isPath(path: unknown): path is string {
  if (typeof path !== 'string' || !path.startsWith('/')) return false;
  return path === '/' || path.slice(1).split('/').every(isName);
}

/**
 * Whether `name` can be a part of a path. A server may send others: ZooKeeper permits some
 * characters that this client refuses.
 */
export function isName(name: string): boolean {
  if (name === '' || name === '.' || name === '..') return false;
  return !name.includes('/') && !FORBIDDEN.test(name);
}

/** Throws BAD_OPTION. */
export function checkPath(path: string, name = 'path'): void {
  if (!isPath(path))
    throw badOption(
      name,
      path,
      'a path such as /a/b, without control characters, ".", ".." and a slash at its end',
    );
}

/** `path`: any except `/`. */
export function parentOf(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf('/')));
}
