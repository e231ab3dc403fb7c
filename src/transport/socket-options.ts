/** The defaults and the checks of the option `socket`. */
import { badOption, badSecret, checkNames, type Ranges, withDefaults } from '../core/options.js';
import { type Address, hasSocketOption, rejectsProxy } from './address.js';
import { SERVER_SOCKET_NAMES, SOCKET_NAMES } from './option-names.js';
import type { SocketSupport } from './platform.js';
import type {
  ClientOptions,
  ServerOptions,
  ServerSocketOptions,
  ServerSocketSettings,
  SocketOptions,
  SocketSettings,
} from './types.js';

/** Sizes in bytes, times in ms. */
export const SOCKET_DEFAULTS: SocketSettings = {
  keepAlive: true,
  keepAliveDelay: 60_000,
  noDelay: true,
  receiveBufferBytes: 0,
  sendBufferBytes: 0,
};

/** Sizes in bytes, times in ms. */
export const SERVER_SOCKET_DEFAULTS: ServerSocketSettings = {
  ...SOCKET_DEFAULTS,
  backlog: 511,
  ipv6Only: false,
  reusePort: false,
};

const RANGES: Ranges<ServerSocketSettings> = {
  // Linux takes at most 32,767 seconds.
  keepAliveDelay: [1_000, 32_767_000],
  receiveBufferBytes: [0, 2 ** 30, 'integer'],
  sendBufferBytes: [0, 2 ** 30, 'integer'],
  backlog: [1, 65_535, 'integer'],
};
/** Options of a listening socket. An HTTP server listens without them. */
const LISTENING = ['backlog', 'ipv6Only', 'reusePort'];

/** `given` with the defaults for the rest. Throws BAD_OPTION. */
export function resolveSocketOptions(given: SocketOptions | undefined): SocketSettings {
  checkNames('socket', given, SOCKET_NAMES, {
    'the option socket of serve()': SERVER_SOCKET_NAMES,
  });
  return withDefaults(SOCKET_DEFAULTS, given, RANGES, 'socket');
}

/** Refuses also an option of `socket` that the transport of no address has. */
export const SOCKET_SUPPORT: SocketSupport = {
  ofClient: clientSocketOptions,
  ofServer: serverSocketOptions,
};

function clientSocketOptions(
  { proxy, socket }: ClientOptions,
  addresses: readonly Address[],
): SocketSettings {
  const refusing = addresses.find(({ text }) => rejectsProxy(text));
  if (proxy !== undefined && refusing !== undefined)
    throw badSecret('proxy', proxy, `none at ${refusing.text}`);
  const settings = resolveSocketOptions(socket);
  checkAddresses(socket, addresses);
  return settings;
}

function serverSocketOptions(
  { socket: given }: ServerOptions,
  addresses: readonly Address[],
): ServerSocketSettings {
  checkNames('socket', given, SERVER_SOCKET_NAMES);
  const settings = withDefaults(SERVER_SOCKET_DEFAULTS, given, RANGES, 'socket');
  checkAddresses(given, addresses);
  if (settings.reusePort && !hasReusePort(process.versions.node))
    throw badOption(
      'socket.reusePort',
      true,
      `false: Node.js ${process.versions.node} does not have it; 22.12, 23.1 and newer have it`,
    );
  return settings;
}

function checkAddresses(
  given: ServerSocketOptions | undefined,
  addresses: readonly Address[],
): void {
  for (const [name, value] of Object.entries(given ?? {})) {
    const isPossible = ({ scheme, httpServer }: Address): boolean =>
      hasSocketOption(name, `${scheme}:`) &&
      (httpServer === undefined || !LISTENING.includes(name));
    if (value !== undefined && !addresses.some(isPossible))
      throw badOption(
        `socket.${name}`,
        value,
        `none at ${addresses.map(({ text }) => text).join(', ')}`,
      );
  }
}

/** Whether this release of Node.js has the option reusePort; others ignore it. */
export function hasReusePort(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major === 22) return minor >= 12;
  return major > 23 || (major === 23 && minor >= 1);
}
