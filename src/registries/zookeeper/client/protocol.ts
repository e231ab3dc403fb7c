/** ZooKeeper's frames, without their length prefix: handshake, headers, events, watches, ping. */
import { gettyError } from '../../../core/errors.js';
import type { WatchEventType } from '../types.js';
import { JuteReader, JuteWriter, MIN_STRING_BYTES } from './jute.js';
import { type Operation, OPERATION_TYPE as TYPE } from './operations.js';

/** The xids of answers that belong to no operation. */
export const XID = { event: -1, ping: -2, auth: -4, setWatches: -8 } as const;
/** The limit of one setWatches request. It is far below any jute.maxbuffer. */
const MAX_SET_WATCHES_BYTES = 128 * 1024;

/** The session that a handshake requests. The id 0n requests a new session. */
export interface SessionIdentity {
  readonly id: bigint;
  readonly password: Buffer;
  /** Milliseconds. */
  readonly timeout: number;
}

/** The session as the server grants it. */
export interface GrantedSession extends SessionIdentity {
  /** The server has lost its quorum. */
  readonly isReadOnly: boolean;
}

export const NO_SESSION = { id: 0n, password: Buffer.alloc(16) } as const;
const MAX_PASSWORD_BYTES = 64;

/**
 * The first frame of a connection. A server whose last transaction is before `lastZxid` refuses it.
 */
export function encodeConnectRequest(
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

/** undefined: the session has expired. Throws BAD_FRAME. */
export function decodeConnectResponse(bytes: Buffer): GrantedSession | undefined {
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
  if (password.length > MAX_PASSWORD_BYTES)
    throw gettyError(
      'BAD_FRAME',
      `the server sent a session password of ${password.length} bytes, expected at most ${MAX_PASSWORD_BYTES}`,
    );
  // Servers before 3.4 do not send the read-only flag. The password is a copy, because a view would
  // keep its chunk in memory.
  return { timeout, id, password: Buffer.from(password), isReadOnly: from.rest > 0 && from.bool() };
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

/** Decodes a watch event after its header. undefined: it is no change of a node. */
export function decodeEvent(
  from: JuteReader,
): { readonly type: WatchEventType; readonly path: string } | undefined {
  const type = EVENTS[from.int()];
  from.int();
  const path = from.string();
  return type === undefined ? undefined : { type, path };
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

/** Watched paths: for the data of a node, for its creation, for its children. */
export interface WatchedPaths {
  readonly data: readonly string[];
  readonly exist: readonly string[];
  readonly child: readonly string[];
}

/**
 * The requests that set watches again on a new connection. The server sends an event at once for
 * each change after `lastZxid`.
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
      const bytes = MIN_STRING_BYTES + Buffer.byteLength(path);
      if (size > 0 && size + bytes > MAX_SET_WATCHES_BYTES) yield encode();
      part[kind].push(path);
      size += bytes;
    }
  }
  if (size > 0) yield encode();
}
