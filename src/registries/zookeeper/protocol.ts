/** ZooKeeper's requests and answers as functions of bytes: what is in a frame, after its length. */
import { gettyError } from '../../core/errors.js';
import { answered } from './errors.js';
import { JuteReader, JuteWriter } from './jute.js';
import type { Acl, NodeData, Stat, WatchEventType } from './types.js';

/** Answers with these numbers belong to no operation. */
export const XID = { event: -1, ping: -2, auth: -4, setWatches: -8 } as const;
const TYPE = {
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
const EPHEMERAL = 1;
/** The fewest bytes that a string in a vector can take: its length. */
const STRING_BYTES = 4;
/** A setWatches request stays below this, far below any jute.maxbuffer. */
const SET_WATCHES_BYTES = 128 * 1024;

/** A session as its next connection asks for it; id 0n asks for a new one. */
export interface SessionIdentity {
  readonly id: bigint;
  readonly password: Buffer;
  /** Milliseconds. */
  readonly timeout: number;
}

export interface Granted extends SessionIdentity {
  readonly readOnly: boolean;
}

export const NO_SESSION = { id: 0n, password: Buffer.alloc(16) } as const;
const LONGEST_PASSWORD = 64;

/**
 * The first frame of a connection. A server that has seen less than `lastZxid` does not take it.
 */
export function encodeConnect(
  { id, password, timeout }: SessionIdentity,
  lastZxid: bigint,
): Buffer {
  const to = new JuteWriter();
  to.int(0);
  to.long(lastZxid);
  to.int(timeout);
  to.long(id);
  to.buffer(password);
  to.bool(false);
  return to.bytes;
}

/** The answer to it; undefined: the session is over. Throws BAD_FRAME. */
export function decodeConnect(bytes: Buffer): Granted | undefined {
  const from = new JuteReader(bytes);
  const version = from.int();
  if (version !== 0)
    throw gettyError(
      'BAD_FRAME',
      `the server answers with version ${version} of ZooKeeper's protocol, expected 0`,
    );
  const timeout = from.int();
  const id = from.long();
  const password = from.buffer();
  if (timeout <= 0 || id === 0n) return undefined;
  if (password.length > LONGEST_PASSWORD)
    throw gettyError(
      'BAD_FRAME',
      `the server gives a session's password of ${password.length} bytes`,
    );
  // Servers before 3.4 do not say it. The password is copied, so that it does not keep the chunk it
  // came in.
  return { timeout, id, password: Buffer.from(password), readOnly: from.rest > 0 && from.bool() };
}

export interface ReplyHeader {
  readonly xid: number;
  readonly zxid: bigint;
  readonly error: number;
}

export function decodeHeader(from: JuteReader): ReplyHeader {
  return { xid: from.int(), zxid: from.long(), error: from.int() };
}

const EVENTS: Readonly<Record<number, WatchEventType>> = {
  1: 'created',
  2: 'deleted',
  3: 'changed',
  4: 'children',
};

/** What a watch tells, after its header; undefined for what is no change of a node. */
export function decodeEvent(
  from: JuteReader,
): { readonly type: WatchEventType; readonly path: string } | undefined {
  const type = EVENTS[from.int()];
  from.int();
  const path = from.string();
  return type === undefined ? undefined : { type, path };
}

/** A request that has an answer of its own. */
export interface Operation<T> {
  readonly name: string;
  readonly type: number;
  /** As the server has it. */
  readonly path: string;
  write(to: JuteWriter): void;
  /** Throws BAD_FRAME, or the ZooKeeperError that the answer is. */
  read(from: JuteReader): T;
}

export function encodeRequest(xid: number, operation: Operation<unknown>): Buffer {
  const to = new JuteWriter();
  to.int(xid);
  to.int(operation.type);
  operation.write(to);
  return to.bytes;
}

export const PING = encodeRequest(XID.ping, {
  name: 'ping',
  type: TYPE.ping,
  path: '',
  write() {},
  read() {},
});

export function encodeAuth(scheme: string, secret: string): Buffer {
  const to = new JuteWriter();
  to.int(XID.auth);
  to.int(TYPE.auth);
  to.int(0);
  to.string(scheme);
  to.string(secret);
  return to.bytes;
}

/** Paths by what is watched: the data of a node, its appearance, its children. */
export interface WatchedPaths {
  readonly data: readonly string[];
  readonly exist: readonly string[];
  readonly child: readonly string[];
}

/**
 * Sets watches again on a new connection, in as many requests as their size takes; the server tells
 * at once of all that changed after `lastZxid`.
 */
export function* encodeSetWatches(lastZxid: bigint, watched: WatchedPaths): Generator<Buffer> {
  const kinds = ['data', 'exist', 'child'] as const;
  let part = { data: [] as string[], exist: [] as string[], child: [] as string[] };
  let size = 0;
  const encode = (): Buffer => {
    const to = new JuteWriter();
    to.int(XID.setWatches);
    to.int(TYPE.setWatches);
    to.long(lastZxid);
    for (const kind of kinds) to.vector(part[kind], (path) => to.string(path));
    part = { data: [], exist: [], child: [] };
    size = 0;
    return to.bytes;
  };
  for (const kind of kinds) {
    for (const path of watched[kind]) {
      const bytes = STRING_BYTES + Buffer.byteLength(path);
      if (size > 0 && size + bytes > SET_WATCHES_BYTES) yield encode();
      part[kind].push(path);
      size += bytes;
    }
  }
  if (size > 0) yield encode();
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

/** Answers the path. */
export function create(
  path: string,
  data: Uint8Array,
  acl: readonly Acl[],
  ephemeral: boolean,
): Operation<string> {
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
      to.int(ephemeral ? EPHEMERAL : 0);
    },
    read: (from) => from.string(),
  };
}

/** `remove`, for `delete` is a word of the language. */
export function remove(path: string, version: number): Operation<void> {
  return {
    name: 'delete',
    type: TYPE.delete,
    path,
    write: (to) => writeVersioned(to, path, version),
    read() {},
  };
}

export function check(path: string, version: number): Operation<void> {
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

export function getChildren(path: string, watch: boolean): Operation<string[]> {
  return {
    name: 'getChildren',
    type: TYPE.getChildren2,
    path,
    write: (to) => writeWatched(to, path, watch),
    read: (from) => from.vector(STRING_BYTES, () => from.string()),
  };
}

export function setData(path: string, data: Uint8Array, version: number): Operation<Stat> {
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

/** All of them or none. The error is that of the operation that failed. */
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

function writeMultiHeader(to: JuteWriter, type: number, done: boolean): void {
  to.int(type);
  to.bool(done);
  to.int(-1);
}

function readMulti(from: JuteReader, operations: readonly Operation<unknown>[]): void {
  let failed: Error | undefined;
  for (const operation of operations) {
    const type = from.int();
    if (from.bool())
      throw gettyError(
        'BAD_FRAME',
        'the server answers fewer operations of a multi than it was asked for',
      );
    from.int();
    if (type !== TYPE.error) {
      operation.read(from);
      continue;
    }
    const number = from.int();
    // 0: taken back since a later one failed; -2: not tried since an earlier one did.
    if (number !== 0 && number !== -2)
      failed ??= answered(number, `multi, ${operation.name}`, operation.path);
  }
  if (failed !== undefined) throw failed;
}
