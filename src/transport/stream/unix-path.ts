/**
 * Creates and deletes the path of a listening Unix socket. Several processes may do so at the same
 * time. The only files that are deleted are our own, and sockets without a listening process.
 */
import { linkSync, lstatSync, renameSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Milliseconds between two attempts to take the lock. */
const LOCK_RETRY = 10;
/**
 * Milliseconds. A process holds the lock for one attempt to connect on this machine. The owner of
 * an older lock has died.
 */
const LOCK_MAX_AGE = 5_000;

/** Identifies a file independently of its path. */
export interface FileIdentity {
  readonly dev: bigint;
  readonly ino: bigint;
  /** Distinguishes two files that had the same inode one after the other. */
  readonly mtimeNs: bigint;
}

/** The file at a path, or undefined. Does not follow a symbolic link. */
function fileAt(path: string) {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false });
}

function isSameFile(one: FileIdentity | undefined, other: FileIdentity | undefined): boolean {
  return (
    one !== undefined &&
    one.dev === other?.dev &&
    one.ino === other.ino &&
    one.mtimeNs === other.mtimeNs
  );
}

/** Gives a file a second path. False: another file has that path. */
function link(file: string, path: string): boolean {
  try {
    linkSync(file, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function addressInUse(path: string, reason: string): Error {
  return Object.assign(new Error(`listen EADDRINUSE: ${path} ${reason}`), {
    code: 'EADDRINUSE',
    path,
  });
}

/**
 * Gives the listening socket at `own` the path `path`, either as a second path or instead of `own`.
 * Replaces a socket without a listening process. Rejects with EADDRINUSE if a process listens at
 * the path, or if the file there is not a socket.
 */
export async function placeSocket(own: string, path: string): Promise<FileIdentity> {
  const identity = lstatSync(own, { bigint: true });
  // link() fails if the path exists, so only one of two processes succeeds.
  while (!link(own, path) && !(await replaceStale(own, identity, path))) await sleep(LOCK_RETRY);
  return identity;
}

/**
 * Replaces the socket at `path` if no process listens there. False: another process holds the lock,
 * or the file has changed; try again.
 *
 * The lock is another path of our own socket. While we hold it, the file that was checked is the
 * file that is replaced: its owner is dead, other processes wait for the lock, and link() does not
 * replace a file.
 */
async function replaceStale(own: string, identity: FileIdentity, path: string): Promise<boolean> {
  const lock = join(dirname(path), `.${basename(path)}.lock`);
  if (!link(own, lock)) {
    // The clock may have been set back since.
    const age = Math.abs(Date.now() - Number(fileAt(lock)?.ctimeMs ?? Date.now()));
    if (age > LOCK_MAX_AGE) rmSync(lock, { force: true });
    return false;
  }
  try {
    const found = fileAt(path);
    if (found === undefined) return false;
    // Checked first, because connecting to such a file fails with ECONNREFUSED too.
    if (!found.isSocket()) throw addressInUse(path, 'is not a socket');
    if (await isListening(path)) throw addressInUse(path, 'is the address of another server');
    if (!isSameFile(found, fileAt(path)) || !isSameFile(identity, fileAt(lock))) return false;
    renameSync(own, path);
    return true;
  } finally {
    removeSocket(lock, identity);
  }
}

/**
 * Whether a process listens at a socket. Only a refused connection or a missing file proves that
 * none does.
 */
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
 * Deletes the file at `path` if it is the socket that placeSocket() put there. Throws if the system
 * does not permit it.
 */
export function removeSocket(path: string, identity: FileIdentity): void {
  if (isSameFile(identity, fileAt(path))) rmSync(path, { force: true });
}
