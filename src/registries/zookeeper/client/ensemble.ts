/** ZooKeeper's connect string: the servers and the chroot. */
import { gettyError } from '../../../core/errors.js';
import { showUrl } from '../../../core/redact.js';
import { isPath } from './path.js';

export interface Ensemble {
  /** `host:port`; an IPv6 address is in brackets. */
  readonly hosts: readonly string[];
  /** The prefix of every path. '': none. */
  readonly chroot: string;
}

const DEFAULT_PORT = 2181;
const HOST = /^(\[[0-9a-fA-F:.]+(?:%[\w.~-]+)?\]|[^\s/:[\]@,?#]+)(?::(\d{1,5}))?$/;

/** `connectString`: `host:2181,other:2181/chroot`; the default port is 2181. Throws BAD_ADDRESS. */
export function parseEnsemble(connectString: string): Ensemble {
  const [, list = '', path = ''] =
    (typeof connectString === 'string' && /^([^/]*)(\/.*)?$/s.exec(connectString)) || [];
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
      `ZooKeeper: got ${showUrl(connectString)}, expected host:port,host:port/chroot`,
    );
  }
  return { hosts: hosts as string[], chroot };
}
