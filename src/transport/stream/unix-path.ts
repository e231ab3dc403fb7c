/**
 * Puts a listening Unix socket at its path, and takes it away. Several processes may do so at once.
 * The only files that are ever deleted are our own, and sockets at which no process listens.
 */
import { linkSync, lstatSync, renameSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Milliseconds between two attempts to take the lock. */
const LOCK_RETRY = 10;
/**
 * Milliseconds. A lock is held for one attempt to connect on this machine; an older one is of a
 * process that died.
 */
const LOCK_MAX_AGE = 5_000;

/** A file, whatever its path is. */
export interface FileIdentity {
  readonly dev: bigint;
  readonly ino: bigint;
  /** Tells two files apart that had the same inode one after the other. */
  readonly mtimeNs: bigint;
}

/** The file at a path; a symbolic link is not followed. Undefined: there is none. */
function fileAt(path: string) {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false });
}

function isSame(one: FileIdentity | undefined, other: FileIdentity | undefined): boolean {
  return (
    one !== undefined &&
    one.dev === other?.dev &&
    one.ino === other.ino &&
    one.mtimeNs === other.mtimeNs
  );
}

/** Gives a file a second path. False: there is a file at that path already, which stays. */
function link(file: string, path: string): boolean {
  try {
    linkSync(file, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function addressInUse(path: string, why: string): Error {
  return Object.assign(new Error(`listen EADDRINUSE: ${path} ${why}`), {
    code: 'EADDRINUSE',
    path,
  });
}

/**
 * Gives the socket `own`, which listens already, the path `path` as a further one, or as its only
 * one. A socket at which no process listens is replaced. Rejects with EADDRINUSE when a process
 * listens at the path, or when the file there is not a socket.
 */
export async function placeSocket(own: string, path: string): Promise<FileIdentity> {
  const identity = lstatSync(own, { bigint: true });
  // link() fails when the path exists, so of two processes only one succeeds.
  while (!link(own, path) && !(await replaceStale(own, identity, path))) await sleep(LOCK_RETRY);
  return identity;
}

/**
 * False: another process is at it, or the file is gone; try again. The lock is another path of our
 * own socket. It is needed so that the dead socket that was looked at is the file that is replaced:
 * its owner is dead, other processes wait for the lock, and link() does not replace.
 */
async function replaceStale(own: string, identity: FileIdentity, path: string): Promise<boolean> {
  const lock = join(dirname(path), `.${basename(path)}.lock`);
  if (!link(own, lock)) {
    const age = Date.now() - Number(fileAt(lock)?.ctimeMs ?? Date.now());
    if (age > LOCK_MAX_AGE) rmSync(lock, { force: true });
    return false;
  }
  try {
    const found = fileAt(path);
    if (found === undefined) return false;
    // A connection with a file that is not a socket is refused too.
    if (!found.isSocket()) throw addressInUse(path, 'is not a socket');
    if (await isListening(path)) throw addressInUse(path, 'is the address of another server');
    if (!isSame(found, fileAt(path)) || !isSame(identity, fileAt(lock))) return false;
    renameSync(own, path);
    return true;
  } finally {
    removeSocket(lock, identity);
  }
}

/** Whether a process listens at a socket. A refused connection is the only proof that none does. */
function isListening(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', ({ code }: NodeJS.ErrnoException) =>
      resolve(code !== 'ECONNREFUSED' && code !== 'ENOENT'),
    );
  });
}

/**
 * Deletes the file at `path` if it is the socket that placeSocket() put there. Throws when the
 * system does not allow it.
 */
export function removeSocket(path: string, identity: FileIdentity): void {
  if (isSame(identity, fileAt(path))) rmSync(path, { force: true });
}
