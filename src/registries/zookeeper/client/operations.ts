/** ZooKeeper's operations: their requests and the decoding of their answers. */
import { isBytes } from '../../../core/bytes.js';
import { gettyError } from '../../../core/errors.js';
import { badOption, checkNumber } from '../../../core/options.js';
import type { Acl, NodeData, Stat } from '../types.js';
import { serverError } from './errors.js';
import { type JuteReader, type JuteWriter, MIN_STRING_BYTES, type Vector } from './jute.js';

/**
 * The most names of the children of one node that are read. Of short ones 2,000,000 fit into an
 * answer of 8 MiB, and reading them takes seconds.
 */
const MAX_CHILDREN = 50_000;

/** The type of a request in its header. */
export const OPERATION_TYPE = {
  create: 1,
  delete: 2,
  exists: 3,
  getData: 4,
  setData: 5,
  sync: 9,
  ping: 11,
  getChildren2: 12,
  check: 13,
  multi: 14,
  auth: 100,
  setWatches: 101,
  closeSession: -11,
  error: -1,
} as const;
const TYPE = OPERATION_TYPE;
const EPHEMERAL_FLAG = 1;
/** Matches every version of a node. */
export const ANY_VERSION = -1;

/** A request with its own answer. */
export interface Operation<T> {
  readonly name: string;
  readonly type: number;
  /** For errors: the path with the chroot. A multi has the names and paths of its operations. */
  readonly path: string;
  write(to: JuteWriter): void;
  /** Reads the answer. Throws BAD_FRAME, or a ZooKeeperError if the answer is an error. */
  read(from: JuteReader): T;
}

function readStat(from: JuteReader): Stat {
  const czxid = from.long();
  const mzxid = from.long();
  const ctime = Number(from.long());
  const mtime = Number(from.long());
  const version = from.int();
  const cversion = from.int();
  const aversion = from.int();
  const ephemeralOwner = from.long();
  const dataLength = from.int();
  const numChildren = from.int();
  return {
    czxid,
    mzxid,
    pzxid: from.long(),
    ctime,
    mtime,
    version,
    cversion,
    aversion,
    ephemeralOwner,
    dataLength,
    numChildren,
  };
}

/** The answer is the path. */
const MAX_VERSION = 2 ** 31 - 1;

function checkVersion(version: number): void {
  checkNumber('version', version, ANY_VERSION, MAX_VERSION, 'integer');
}

function checkData(data: Uint8Array): void {
  if (!isBytes(data)) throw badOption('data', data, 'a Uint8Array');
}

/** Throws BAD_OPTION. */
export function create(
  path: string,
  data: Uint8Array,
  acl: readonly Acl[],
  isEphemeral: boolean,
): Operation<string> {
  checkData(data);
  return {
    name: 'create',
    type: TYPE.create,
    path,
    write(to) {
      to.string(path);
      to.buffer(data);
      to.vector(acl, ({ permissions, scheme, id }) => {
        to.int(permissions);
        to.string(scheme);
        to.string(id);
      });
      to.int(isEphemeral ? EPHEMERAL_FLAG : 0);
    },
    read: (from) => from.string(),
  };
}

/** ZooKeeper's `delete`, which is a reserved word. */
/** Throws BAD_OPTION. */
export function remove(path: string, version: number): Operation<void> {
  checkVersion(version);
  return {
    name: 'delete',
    type: TYPE.delete,
    path,
    write: (to) => writeVersioned(to, path, version),
    read() {},
  };
}

/** Throws BAD_OPTION. */
export function check(path: string, version: number): Operation<void> {
  checkVersion(version);
  return {
    name: 'check',
    type: TYPE.check,
    path,
    write: (to) => writeVersioned(to, path, version),
    read() {},
  };
}

function writeVersioned(to: JuteWriter, path: string, version: number): void {
  to.string(path);
  to.int(version);
}

function writeWatched(to: JuteWriter, path: string, watch: boolean): void {
  to.string(path);
  to.bool(watch);
}

export function exists(path: string, watch: boolean): Operation<Stat> {
  return {
    name: 'exists',
    type: TYPE.exists,
    path,
    write: (to) => writeWatched(to, path, watch),
    read: readStat,
  };
}

export function getData(path: string, watch: boolean): Operation<NodeData> {
  return {
    name: 'getData',
    type: TYPE.getData,
    path,
    write: (to) => writeWatched(to, path, watch),
    read: (from) => ({ data: from.buffer(), stat: readStat(from) }),
  };
}

/** Reads at most MAX_CHILDREN names. */
export function getChildren(path: string, watch: boolean): Operation<Vector<string>> {
  return {
    name: 'getChildren',
    type: TYPE.getChildren2,
    path,
    write: (to) => writeWatched(to, path, watch),
    read: (from) => from.vector(MIN_STRING_BYTES, () => from.string(), MAX_CHILDREN),
  };
}

/** Throws BAD_OPTION. */
export function setData(path: string, data: Uint8Array, version: number): Operation<Stat> {
  checkData(data);
  checkVersion(version);
  return {
    name: 'setData',
    type: TYPE.setData,
    path,
    write(to) {
      to.string(path);
      to.buffer(data);
      to.int(version);
    },
    read: readStat,
  };
}

export function sync(path: string): Operation<void> {
  return { name: 'sync', type: TYPE.sync, path, write: (to) => to.string(path), read() {} };
}

export function closeSession(): Operation<void> {
  return { name: 'closeSession', type: TYPE.closeSession, path: '', write() {}, read() {} };
}

/** The server does all operations or none. The error is that of the operation that failed. */
export function multi(operations: readonly Operation<unknown>[]): Operation<void> {
  return {
    name: 'multi',
    type: TYPE.multi,
    path: operations.map(({ name, path }) => `${name} ${path}`).join(', '),
    write(to) {
      for (const operation of operations) {
        writeMultiHeader(to, operation.type, false);
        operation.write(to);
      }
      writeMultiHeader(to, -1, true);
    },
    read: (from) => readMulti(from, operations),
  };
}

function writeMultiHeader(to: JuteWriter, type: number, isLast: boolean): void {
  to.int(type);
  to.bool(isLast);
  to.int(-1);
}

function readMulti(from: JuteReader, operations: readonly Operation<unknown>[]): void {
  let firstError: Error | undefined;
  for (const operation of operations) {
    const type = from.int();
    if (from.bool())
      throw gettyError(
        'BAD_FRAME',
        'the server answers fewer operations of a multi than were requested',
      );
    from.int();
    if (type !== TYPE.error) {
      operation.read(from);
      continue;
    }
    const number = from.int();
    // 0: undone because a later one failed. -2: not tried because an earlier one failed.
    if (number !== 0 && number !== -2)
      firstError ??= serverError(number, `multi, ${operation.name}`, operation.path);
  }
  if (firstError !== undefined) throw firstError;
}
