/** Connect strings, paths and ACLs: what a user gives, checked. */
import { createHash } from 'node:crypto';
import { gettyError } from '../../core/errors.js';
import { badOption } from '../../core/options.js';
import { showUrl } from '../../core/redact.js';
import { type Acl, type AclName, PERMISSIONS } from './types.js';

export interface Ensemble {
  /** `host:port`, IPv6 in brackets. */
  readonly hosts: readonly string[];
  /** What stands before every path; '' is nothing. */
  readonly chroot: string;
}

const DEFAULT_PORT = 2181;
const HOST = /^(\[[0-9a-fA-F:.]+(?:%[\w.~-]+)?\]|[^\s/:[\]@,?#]+)(?::(\d{1,5}))?$/;
// ZooKeeper refuses these characters in a path.
// biome-ignore lint/suspicious/noControlCharactersInRegex: to find them is its purpose
const REFUSED = /[\u0000-\u001f\u007f-\u009f\ud800-\udfff\ue000-\uf8ff\ufff0-\uffff]/u;

/** `host:2181,other:2181/chroot`; the port may be left out. Throws BAD_ADDRESS. */
export function parseEnsemble(text: string): Ensemble {
  const [, list = '', path = ''] =
    (typeof text === 'string' && /^([^/]*)(\/.*)?$/s.exec(text)) || [];
  const hosts = list.split(',').map((host) => {
    const [, name, port = String(DEFAULT_PORT)] = HOST.exec(host.trim()) ?? [];
    return name === undefined || Number(port) < 1 || Number(port) > 65535
      ? undefined
      : `${name}:${port}`;
  });
  const chroot = path.replace(/\/$/, '');
  if (hosts.some((host) => host === undefined) || !(chroot === '' || isPath(chroot))) {
    throw gettyError(
      'BAD_ADDRESS',
      `ZooKeeper: given ${showUrl(text)}, expected host:port,host:port/chroot`,
    );
  }
  return { hosts: hosts as string[], chroot };
}

function isPath(path: unknown): path is string {
  if (typeof path !== 'string' || !path.startsWith('/') || REFUSED.test(path)) return false;
  return (
    path === '/' ||
    path.split('/').every((part, at) => at === 0 || (part !== '' && part !== '.' && part !== '..'))
  );
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

/** Of a path other than `/`. */
export function parentOf(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf('/')));
}

const ANYONE: Acl = { permissions: PERMISSIONS.all, scheme: 'world', id: 'anyone' };
/** The server puts those in its place whom the connection has authenticated as. */
const CREATOR: Acl = { permissions: PERMISSIONS.all, scheme: 'auth', id: '' };
const ACLS: Readonly<Record<AclName, readonly Acl[]>> = {
  anyone: [ANYONE],
  creator: [CREATOR],
  readable: [CREATOR, { ...ANYONE, permissions: PERMISSIONS.read }],
};

/** Throws BAD_OPTION. */
export function aclOf(given: AclName | readonly Acl[]): readonly Acl[] {
  const acl = typeof given === 'string' && Object.hasOwn(ACLS, given) ? ACLS[given] : given;
  const isAcl = ({ permissions, scheme, id }: Acl): boolean =>
    Number.isInteger(permissions) &&
    permissions > 0 &&
    permissions <= PERMISSIONS.all &&
    typeof scheme === 'string' &&
    typeof id === 'string';
  if (
    !Array.isArray(acl) ||
    acl.length === 0 ||
    !acl.every((entry) => typeof entry === 'object' && entry !== null && isAcl(entry))
  ) {
    throw badOption(
      'acl',
      given,
      "'anyone', 'creator', 'readable', or at least one { permissions, scheme, id }",
    );
  }
  return acl;
}

/** What an ACL of the scheme `digest` names its user by; the password cannot be had from it. */
export function digestId(user: string, password: string): string {
  return `${user}:${createHash('sha1').update(`${user}:${password}`).digest('base64')}`;
}
