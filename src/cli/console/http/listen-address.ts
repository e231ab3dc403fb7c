/** The option --listen. */
import { BlockList, isIP } from 'node:net';
import { show } from '../../../core/options.js';
import { UsageError } from '../../failure.js';

export interface ListenAddress {
  /** A name or an IP address, without brackets. */
  readonly host: string;
  /** 0: a free port. */
  readonly port: number;
}

const FORM = /^(?:(?:\[([0-9a-fA-F:.]+)\]|([^\s:/?#@[\]]+)):)?(\d{1,5})$/;

/** `port` or `host:port`. Throws UsageError. */
export function parseListenAddress(text: string): ListenAddress {
  const [, ipv6, name, port] = FORM.exec(text) ?? [];
  if (port === undefined || Number(port) > 65_535 || (ipv6 !== undefined && isIP(ipv6) !== 6))
    throw new UsageError(
      `--listen: got ${show(text)}, expected a port, or host:port such as 0.0.0.0:8850`,
    );
  return { host: (ipv6 ?? name ?? '127.0.0.1').toLowerCase(), port: Number(port) };
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8);
LOOPBACK.addAddress('::1', 'ipv6');

/** Whether only programs of this machine can connect. */
export function isLoopback(host: string): boolean {
  const version = isIP(host);
  if (version === 0) return host === 'localhost';
  return LOOPBACK.check(host, version === 6 ? 'ipv6' : 'ipv4');
}

/** As in a URL. */
export function urlHost(host: string): string {
  return isIP(host) === 6 ? `[${host}]` : host;
}
