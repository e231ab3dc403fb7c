/**
 * Unix domain sockets: `unix:///path/of/the/socket`; on Linux also `unix://@name`, a name that is
 * no file.
 */
import cluster from 'node:cluster';
import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { type GettyError, gettyError, messageOf } from '../../core/errors.js';
import { badOption, checkNumber } from '../../core/options.js';
import type { Address } from '../address.js';
import { defaultMaxSessions } from '../descriptors.js';
import type { Listener, ListenOptions, Peer, Transport, UnixOptions } from '../types.js';
import { dialled, guardedOpen, listenWith, SocketConnection } from './socket.js';
import { placeSocket, removeSocket } from './unix-path.js';

/**
 * Bytes of sun_path in the system's sockaddr_un without the byte that ends it: unix(7), and
 * sys/un.h of the BSDs and macOS.
 */
const MAX_PATH_BYTES = process.platform === 'linux' ? 107 : 103;

let lastPeer = 0;

/** The socket has one path; the peers are told apart by a number. */
function serverSide({ path }: Address): Peer {
  return { localAddress: `unix://${path}`, remoteAddress: `unix://${path}#${++lastPeer}` };
}

function isAbstract({ path }: Address): boolean {
  return path.startsWith('@');
}

/** The address as Node.js takes it. Throws BAD_ADDRESS. */
function systemPath(address: Address): string {
  const { path, text } = address;
  const abstract = isAbstract(address);
  if (abstract && process.platform !== 'linux')
    throw gettyError(
      'BAD_ADDRESS',
      `address: given "${text}", but only Linux has names that are no files`,
    );
  const name = abstract ? path.slice(1) : path;
  const size = Buffer.byteLength(name);
  if (name.includes('\0'))
    throw gettyError(
      'BAD_ADDRESS',
      `address: given ${JSON.stringify(text)}, expected no zero byte`,
    );
  // Some releases of Node.js cut a longer path, and use another file.
  if (size > MAX_PATH_BYTES) {
    throw gettyError(
      'BAD_ADDRESS',
      `address: given "${text}", whose path has ${size} bytes, expected at most ${MAX_PATH_BYTES}`,
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
  if (mode !== undefined) checkInteger('unix.mode', mode, 0o777);
  if (group !== undefined) checkInteger('unix.group', group, 2 ** 32 - 2);
  if ((mode ?? group) !== undefined && (isAbstract(address) || cluster.isWorker)) {
    throw badOption(
      'unix',
      options,
      'no mode and no group for a name that is no file, or in a worker of node:cluster',
    );
  }
  return options;
}

function checkInteger(name: string, value: unknown, max: number): void {
  checkNumber(name, value, 0, max);
  if (!Number.isInteger(value)) throw badOption(name, value, 'an integer');
}

function listenFailed({ text }: Address, error: unknown): GettyError {
  return gettyError('LISTEN_FAILED', `cannot listen at ${text}: ${messageOf(error)}`, error);
}

/**
 * The socket is made in a directory that only this user may enter, and moves to its path when it
 * listens and has its mode and group. So a peer finds it complete or not at all, and Node.js, which
 * deletes the path that it made when the server closes, deletes nothing at ours.
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
    const own = join(directory, randomBytes(8).toString('hex'));
    const listener = await bind(server, own, address, options);
    try {
      if (mode !== undefined) chmodSync(own, mode);
      // -1: the owner stays.
      if (group !== undefined) chownSync(own, -1, group);
      const identity = await placeSocket(own, path);
      return {
        ...listener,
        close() {
          try {
            // First, while this server listens: another server takes a path only when no process
            // listens there.
            removeSocket(path, identity);
          } catch {
            // The directory may not be changed any more. The socket stays, and the next server
            // replaces it.
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
 * Listens at `own`, a longer path than that of the address, which may be too long for the system.
 */
async function bind(
  server: Server,
  own: string,
  address: Address,
  options: ListenOptions,
): Promise<Listener> {
  const at = (path: string) =>
    listenWith(server, { path, backlog: options.backlog }, address, () => `unix://${address.path}`);
  if (Buffer.byteLength(own) <= MAX_PATH_BYTES) return at(own);
  if (process.platform !== 'linux')
    throw gettyError(
      'BAD_ADDRESS',
      `address: given "${address.text}", whose directory has too long a path`,
    );
  const directory = openSync(dirname(own), 'r');
  try {
    return await at(own.replace(dirname(own), `/proc/self/fd/${directory}`));
  } finally {
    closeSync(directory);
  }
}

export const unix: Transport = {
  get maxSessions() {
    return defaultMaxSessions();
  },

  async listen(address, options, accept) {
    const path = systemPath(address);
    const peerOf = (): Peer => serverSide(address);
    const open = guardedOpen<Socket>(
      (socket) => accept(new SocketConnection(socket, peerOf())),
      peerOf,
      options.admission,
    );
    const server = createServer({ allowHalfOpen: true }, open);
    if (!isAbstract(address) && !cluster.isWorker) return listenAtPath(server, address, options);
    checkUnixOptions(options.unix, address);
    // The workers of node:cluster share the socket that their primary process has at the path.
    return listenWith(
      server,
      { path, backlog: options.backlog },
      address,
      () => `unix://${address.path}`,
    );
  },

  async dial(address, _options, signal) {
    const socket = connect({ path: systemPath(address), allowHalfOpen: true });
    await dialled(socket, 'connect', address, signal);
    const path = `unix://${address.path}`;
    return new SocketConnection(socket, {
      localAddress: `${path}#client-${++lastPeer}`,
      remoteAddress: path,
    });
  },
};
