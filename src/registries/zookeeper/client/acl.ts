/** Access control lists, as options and as ZooKeeper has them. */
import { createHash } from 'node:crypto';
import { badOption, badSecret } from '../../../core/options.js';
import { type Acl, type AclName, PERMISSIONS } from '../types.js';

const ANYONE: Acl = { permissions: PERMISSIONS.all, scheme: 'world', id: 'anyone' };
/** The server replaces it with the users that the connection has authenticated as. */
const CREATOR: Acl = { permissions: PERMISSIONS.all, scheme: 'auth', id: '' };
const ACLS: Readonly<Record<AclName, readonly Acl[]>> = {
  anyone: [ANYONE],
  creator: [CREATOR],
  readable: [CREATOR, { ...ANYONE, permissions: PERMISSIONS.read }],
};

/** Throws BAD_OPTION. */
export function aclOf(option: AclName | readonly Acl[]): readonly Acl[] {
  const acl = typeof option === 'string' && Object.hasOwn(ACLS, option) ? ACLS[option] : option;
  if (!Array.isArray(acl) || acl.length === 0 || !acl.every(isAcl)) {
    throw badOption(
      'acl',
      option,
      "'anyone', 'creator', 'readable', or at least one { permissions, scheme, id }",
    );
  }
  return acl;
}

function isAcl(entry: unknown): entry is Acl {
  if (typeof entry !== 'object' || entry === null) return false;
  const { permissions, scheme, id } = entry as Partial<Record<keyof Acl, unknown>>;
  return (
    Number.isInteger(permissions) &&
    (permissions as number) > 0 &&
    (permissions as number) <= PERMISSIONS.all &&
    typeof scheme === 'string' &&
    typeof id === 'string'
  );
}

/**
 * Returns the id of a user in an ACL with the scheme `digest`: the user's name and a hash of the
 * password. Throws BAD_OPTION.
 */
export function digestId(user: string, password: string): string {
  if (typeof user !== 'string') throw badOption('user', user, 'the name of a user');
  if (typeof password !== 'string') throw badSecret('password', password, 'a string');
  return `${user}:${createHash('sha1').update(`${user}:${password}`).digest('base64')}`;
}
