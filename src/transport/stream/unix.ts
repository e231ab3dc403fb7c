/**
 * The transport `unix://`: Unix domain sockets. An address is a path, `unix:///path/of/the/socket`,
 * or on Linux a name in the abstract namespace, `unix://@name`.
 */
import cluster from 'node:cluster';
import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { gettyError } from '../../core/errors.js';
import { badOption, checkNumber } from '../../core/options.js';
import type { Address } from '../address.js';
import { defaultMaxSessions } from '../descriptors.js';
import type { Listener, ListenOptions, Peer, Transport, UnixOptions } from '../types.js';
import { sharedReads } from './shared-reads.js';
import { SocketConnection } from './socket-connection.js';
import { untilConnected } from './socket-dial.js';
import { guardedOpen, listenFailed, listenWith } from './socket-listener.js';
import { placeSocket, removeSocket } from './unix-path.js';

/**
 * The size of sun_path in the system's sockaddr_un without the final zero byte. Source: unix(7),
 * and sys/un.h of the BSDs and macOS.
 */
const MAX_PATH_BYTES = process.platform === 'linux' ? 107 : 103;

let lastPeer = 0;

/** The addresses of an accepted connection. A client has no path, so it gets a number. */
function newPeer({ path }: Address): Peer {
  return { localAddress: `unix://${path}`, remoteAddress: `unix://${path}#${++lastPeer}` };
}

function isAbstract({ path }: Address): boolean {
  return path.startsWith('@');
}

/** The path as Node.js takes it. Throws BAD_ADDRESS. */
function systemPath(address: Address): string {
  const { path, text } = address;
  const abstract = isAbstract(address);
  if (abstract && process.platform !== 'linux')
    throw gettyError(
      'BAD_ADDRESS',
      `address: got "${text}", but only Linux has abstract names for sockets`,
    );
  const name = abstract ? path.slice(1) : path;
  const size = Buffer.byteLength(name);
  if (name.includes('\0'))
    throw gettyError('BAD_ADDRESS', `address: got ${JSON.stringify(text)}, expected no zero byte`);
  // Some releases of Node.js truncate a longer path, and use another file.
  if (size > MAX_PATH_BYTES) {
    throw gettyError(
      'BAD_ADDRESS',
      `address: got "${text}", whose path has ${size} bytes, expected at most ${MAX_PATH_BYTES}`,
    );
  }
  return abstract ? `\0${name}` : name;
}

/** Throws BAD_OPTION. */
function checkUnixOptions(options: UnixOptions | undefined, address: Address): UnixOptions {
  if (options === undefined) return {};
  if (typeof options !== 'object' || options === null)
    throw badOption('unix', options, '{ mode, group }');
  const { mode, group } = options;
  if (mode !== undefined) checkNumber('unix.mode', mode, 0, 0o777, 'integer');
  if (group !== undefined) checkNumber('unix.group', group, 0, 2 ** 32 - 2, 'integer');
  if ((mode ?? group) !== undefined && (isAbstract(address) || cluster.isWorker)) {
    throw badOption(
      'unix',
      options,
      'no mode and no group for an abstract name, or in a worker of node:cluster',
    );
  }
  return options;
}

/**
 * Listens at a path. The socket is created in a directory that only this user may enter. When it
 * listens and has its mode and group, it is moved to its path. So a peer never finds an incomplete
 * socket. When the server closes, Node.js deletes the path in that directory, not the path of the
 * address.
 */
async function listenAtPath(
  server: Server,
  address: Address,
  options: ListenOptions,
): Promise<Listener> {
  const { path } = address;
  const { mode, group } = checkUnixOptions(options.unix, address);
  let directory: string;
  try {
    directory = mkdtempSync(join(dirname(path), '.getty-'));
  } catch (error) {
    throw listenFailed(address, error);
  }
  try {
    const temporaryPath = join(directory, randomBytes(8).toString('hex'));
    const listener = await listenAtTemporaryPath(server, temporaryPath, address, options);
    try {
      // Node.js 20 aborts the process for -0.
      if (mode !== undefined) chmodSync(temporaryPath, mode + 0);
      // -1 keeps the owner.
      if (group !== undefined) chownSync(temporaryPath, -1, group);
      const identity = await placeSocket(temporaryPath, path);
      return {
        ...listener,
        close() {
          try {
            // Before this server stops listening. Until then no other server replaces the socket,
            // so the file at the path is ours.
            removeSocket(path, identity);
          } catch {
            // The directory is read-only now. The socket stays, and the next server replaces it.
          }
          return listener.close();
        },
      };
    } catch (error) {
      await listener.close();
      throw listenFailed(address, error);
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/**
 * Listens at `temporaryPath`. It is longer than the path of the address, and may exceed
 * MAX_PATH_BYTES. On Linux it is then shortened by way of /proc/self/fd.
 */
async function listenAtTemporaryPath(
  server: Server,
  temporaryPath: string,
  address: Address,
  options: ListenOptions,
): Promise<Listener> {
  if (Buffer.byteLength(temporaryPath) <= MAX_PATH_BYTES)
    return listenAt(server, temporaryPath, address, options);
  if (process.platform !== 'linux')
    throw gettyError(
      'BAD_ADDRESS',
      `address: got "${address.text}", but the path of its directory is too long`,
    );
  const directory = openSync(dirname(temporaryPath), 'r');
  try {
    const short = temporaryPath.replace(dirname(temporaryPath), `/proc/self/fd/${directory}`);
    return await listenAt(server, short, address, options);
  } finally {
    closeSync(directory);
  }
}

function listenAt(
  server: Server,
  path: string,
  address: Address,
  { socket }: ListenOptions,
): Promise<Listener> {
  return listenWith(
    server,
    { path, backlog: socket?.backlog },
    address,
    () => `unix://${address.path}`,
  );
}

export const unix: Transport = {
  get maxSessions() {
    return defaultMaxSessions();
  },

  async listen(address, options, accept) {
    const path = systemPath(address);
    const peerOf = (): Peer => newPeer(address);
    const open = guardedOpen<Socket>(
      (socket) => accept(new SocketConnection(socket, peerOf())),
      peerOf,
      options.admission,
    );
    const server = createServer({ allowHalfOpen: true }, open);
    if (!isAbstract(address) && !cluster.isWorker) return listenAtPath(server, address, options);
    checkUnixOptions(options.unix, address);
    // The workers of node:cluster share the socket that their primary process has at the path.
    return listenAt(server, path, address, options);
  },

  async dial(address, _options, signal) {
    const socket: Socket = connect({
      path: systemPath(address),
      allowHalfOpen: true,
      onread: sharedReads(() => socket),
    });
    await untilConnected(socket, 'connect', address, signal);
    const path = `unix://${address.path}`;
    return new SocketConnection(socket, {
      localAddress: `${path}#client-${++lastPeer}`,
      remoteAddress: path,
    });
  },
};
