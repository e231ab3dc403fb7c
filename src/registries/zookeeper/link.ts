/**
 * One connection with one server: the handshake, requests and their answers in order, pings, and
 * one end.
 */

import { gettyError } from '../../core/errors.js';
import { followSignal } from '../../core/signals.js';
import { startTimer } from '../../core/timers.js';
import {
  type Client,
  connect,
  lengthPrefixed,
  type Session,
  type TlsOptions,
} from '../../transport/index.js';
import { every } from '../../transport/session/timer-wheel.js';
import { answered, ZooKeeperError } from './errors.js';
import { JuteReader } from './jute.js';
import {
  decodeConnect,
  decodeEvent,
  decodeHeader,
  encodeAuth,
  encodeConnect,
  encodeRequest,
  encodeSetWatches,
  type Granted,
  type Operation,
  PING,
  type ReplyHeader,
  type SessionIdentity,
  type WatchedPaths,
  XID,
} from './protocol.js';
import type { WatchEventType } from './types.js';

export interface LinkOptions {
  /** `host:port`. */
  readonly host: string;
  readonly tls: TlsOptions | undefined;
  /** Milliseconds for the connection and the handshake together. */
  readonly timeout: number;
  readonly maxResponseBytes: number;
  readonly session: SessionIdentity;
  readonly lastZxid: bigint;
  /** Gives up the attempt, or ends the connection. */
  readonly signal: AbortSignal;
}

export interface LinkEvents {
  /** Any answer with a transaction's number. */
  onZxid(zxid: bigint): void;
  /**
   * At once, within the frame's turn: an answer that sets a watch comes before the event of that
   * watch.
   */
  onEvent(type: WatchEventType, path: string): void;
}

/**
 * Who waits for an answer. One of both is called, once, within the turn in which the answer is
 * read.
 */
export interface Waiting<T> {
  succeed(value: T): void;
  fail(error: Error): void;
}

const LAST_XID = 2 ** 31 - 1;
/**
 * A server that is silent for so much of the session's timeout is left: the rest is for finding
 * another one.
 */
const SILENCE = 2 / 3;
const PING_AFTER = 1 / 3;
const CHECKS_PER_TIMEOUT = 24;
/**
 * A check adds at most this part of the timeout to the silence: a later one shows that this process
 * was busy or stopped.
 */
const LATE_CHECK = 6;
/**
 * Requests that the socket has not taken. The number of those under way is limited by the client.
 */
const MAX_QUEUED_BYTES = 64 * 1024 * 1024;

export class Link {
  readonly host: string;
  readonly #options: LinkOptions;
  readonly #events: LinkEvents;
  readonly #inFlight = new Map<
    number,
    { readonly operation: Operation<unknown>; readonly waiting: Waiting<unknown> }
  >();
  #client: Client<Buffer, Uint8Array> | undefined;
  #session: Session<Buffer, Uint8Array> | undefined;
  #granted: Granted | undefined;
  #greet: { resolve(): void; reject(error: Error): void } | undefined;
  #lastXid = 0;
  /**
   * Milliseconds since the last byte of the server, without the time for which this process was
   * busy or stopped.
   */
  #silence = 0;
  #heardBytes: number | undefined;
  #sentAt = 0;
  #checkedAt = 0;
  #stopTicking: () => void = () => {};
  #reason: Error | undefined;
  #resolveEnded!: (reason: Error) => void;
  /** Why the connection is gone. Settles once; does not reject. */
  readonly ended = new Promise<Error>((resolve) => {
    this.#resolveEnded = resolve;
  });

  private constructor(options: LinkOptions, events: LinkEvents) {
    this.host = options.host;
    this.#options = options;
    this.#events = events;
  }

  /**
   * Connect and take the session up, or begin one. Rejects with CONNECT_FAILED or BAD_OPTION (the
   * transport's), or with a ZooKeeperError: SESSION_EXPIRED, REFUSED (the server closed without an
   * answer), READ_ONLY, OPERATION_TIMEOUT.
   */
  static async open(options: LinkOptions, events: LinkEvents): Promise<Link> {
    const link = new Link(options, events);
    try {
      await link.#open();
      return link;
    } catch (error) {
      link.destroy(error as Error);
      throw error;
    }
  }

  /** The session as this server grants it. */
  get granted(): Granted {
    return this.#granted as Granted;
  }

  async #open(): Promise<void> {
    const { host, tls, timeout, maxResponseBytes, session, lastZxid, signal } = this.#options;
    const began = performance.now();
    const setup = {
      codec: lengthPrefixed({ width: 4 }),
      listener: {
        onMessage: (_: unknown, frame: Buffer) => this.#onFrame(frame),
        onError: (_: unknown, error: Error) =>
          this.#note(this.#granted === undefined ? this.#refused(error) : error),
        onClose: () => this.#end(),
      },
      name: `zookeeper ${host}`,
      maxMessageBytes: maxResponseBytes,
      maxQueuedBytes: MAX_QUEUED_BYTES,
    };
    const address = `${tls === undefined ? 'tcp' : 'tls'}://${host}`;
    this.#client = await connect<Buffer, Uint8Array>(address, setup, {
      connectTimeout: timeout,
      reconnect: false,
      tls,
      signal,
    });
    this.#session = await this.#client.session();
    const left = Math.max(1, timeout - (performance.now() - began));
    const tooLate = (): void =>
      this.destroy(
        new ZooKeeperError(
          'OPERATION_TIMEOUT',
          `ZooKeeper: ${host} has not taken the session within ${timeout} ms`,
        ),
      );
    const abort = (): void => this.destroy(signal.reason as Error);
    const timer = startTimer(tooLate, left);
    void this.ended.then(followSignal(signal, abort));
    try {
      await new Promise<void>((resolve, reject) => {
        this.#greet = { resolve, reject };
        this.#write(encodeConnect(session, lastZxid));
      });
    } finally {
      clearTimeout(timer);
    }
  }

  // ---- what is sent ----

  /**
   * Authenticate before anything else is asked; what the server says against it ends the
   * connection.
   */
  authenticate(scheme: string, secret: string): void {
    this.#write(encodeAuth(scheme, secret));
  }

  /** Set the watches of the session again; the server tells at once what was missed. */
  setWatches(lastZxid: bigint, watched: WatchedPaths): void {
    for (const request of encodeSetWatches(lastZxid, watched)) this.#write(request);
  }

  /** Throws NOT_SENT when the request is larger than `maxBytes`; then nothing of it is sent. */
  request<T>(operation: Operation<T>, waiting: Waiting<T>, maxBytes: number): void {
    this.#lastXid = this.#lastXid === LAST_XID ? 1 : this.#lastXid + 1;
    const bytes = encodeRequest(this.#lastXid, operation);
    if (bytes.length > maxBytes) {
      const what = `${operation.name} ${operation.path.slice(0, 200)}`;
      throw new ZooKeeperError(
        'NOT_SENT',
        `ZooKeeper: ${what}: the request has ${bytes.length} bytes; maxRequestBytes is ${maxBytes}`,
      );
    }
    this.#inFlight.set(this.#lastXid, { operation, waiting: waiting as Waiting<unknown> });
    this.#write(bytes);
  }

  #write(bytes: Buffer): void {
    const length = Buffer.allocUnsafe(4);
    length.writeUInt32BE(bytes.length);
    try {
      // Past the codec, whose limit is that of what is read.
      this.#session?.writeBytesArray([length, bytes]);
      this.#sentAt = performance.now();
    } catch (error) {
      this.destroy(error as Error);
    }
  }

  // ---- what arrives ----

  #onFrame(frame: Buffer): void {
    this.#heard();
    try {
      if (this.#granted === undefined) this.#onGranted(decodeConnect(frame));
      else this.#onReply(new JuteReader(frame));
    } catch (error) {
      this.destroy(error as Error);
    }
  }

  #onGranted(granted: Granted | undefined): void {
    const { host } = this.#options;
    if (granted === undefined)
      throw new ZooKeeperError(
        'SESSION_EXPIRED',
        `ZooKeeper: ${host} says that the session has expired`,
      );
    if (granted.readOnly)
      throw new ZooKeeperError(
        'READ_ONLY',
        `ZooKeeper: ${host} has lost its quorum and only lets read`,
      );
    this.#granted = granted;
    this.#checkedAt = performance.now();
    this.#stopTicking = every(Math.max(5, granted.timeout / CHECKS_PER_TIMEOUT), () =>
      this.#check(granted.timeout),
    );
    this.#greet?.resolve();
  }

  #onReply(from: JuteReader): void {
    const header = decodeHeader(from);
    if (header.zxid > 0n) this.#events.onZxid(header.zxid);
    if (header.xid === XID.event) {
      const event = decodeEvent(from);
      if (event !== undefined) this.#events.onEvent(event.type, event.path);
    } else if (header.xid === XID.auth || header.xid === XID.setWatches) {
      if (header.error !== 0)
        throw answered(
          header.error,
          header.xid === XID.auth ? 'addauth' : 'setWatches',
          this.#options.host,
        );
    } else if (header.xid !== XID.ping) {
      this.#onAnswer(header, from);
    }
  }

  #onAnswer({ xid, error }: ReplyHeader, from: JuteReader): void {
    // Answers come in the order of their requests.
    const [expected] = this.#inFlight.keys();
    const found = this.#inFlight.get(xid);
    if (found === undefined || xid !== expected) {
      throw gettyError(
        'BAD_FRAME',
        `${this.#options.host} answers request ${xid}, expected ${expected ?? 'none'}`,
      );
    }
    const { operation, waiting } = found;
    this.#inFlight.delete(xid);
    if (error !== 0) {
      waiting.fail(answered(error, operation.name, operation.path));
      return;
    }
    let value: unknown;
    try {
      value = operation.read(from);
    } catch (failure) {
      waiting.fail(failure as Error);
      // The answer of a multi may be an error, which is no reason to leave.
      if (!(failure instanceof ZooKeeperError)) throw failure;
      return;
    }
    waiting.succeed(value);
  }

  #heard(): void {
    this.#silence = 0;
    this.#heardBytes = this.#session?.stats.bytesRead;
  }

  /**
   * The ticker calls it after what has arrived was read, so that a process that was stopped for a
   * while is not taken for a silent server.
   */
  #check(timeout: number): void {
    const now = performance.now();
    // While this process was busy or stopped it has not pinged, and the server has had no reason to
    // answer.
    this.#silence += Math.min(now - this.#checkedAt, timeout / LATE_CHECK);
    this.#checkedAt = now;
    // Half a frame is a sign of life too.
    if (this.#session?.stats.bytesRead !== this.#heardBytes) this.#heard();
    if (this.#silence >= timeout * SILENCE) {
      this.destroy(
        new ZooKeeperError(
          'SILENT',
          `ZooKeeper: ${this.host} has been silent for ${Math.round(this.#silence)} ms`,
        ),
      );
    } else if (now - this.#sentAt >= timeout * (PING_AFTER - 1 / CHECKS_PER_TIMEOUT)) {
      this.#write(PING);
    }
  }

  // ---- the end ----

  /** Now. What is under way fails with CONNECTION_LOST. */
  destroy(reason: Error): void {
    this.#note(reason);
    this.#client?.destroy();
    this.#end();
  }

  #note(reason: Error): void {
    this.#reason ??= reason;
  }

  #refused(cause?: unknown): Error {
    return new ZooKeeperError(
      'REFUSED',
      `ZooKeeper: ${this.host} closed the connection instead of taking the session`,
      cause,
    );
  }

  #end(): void {
    const closed = (): Error =>
      new ZooKeeperError('CONNECTION_LOST', `ZooKeeper: ${this.host} closed the connection`);
    const reason = this.#reason ?? (this.#granted === undefined ? this.#refused() : closed());
    this.#note(reason);
    this.#stopTicking();
    this.#greet?.reject(reason);
    for (const { operation, waiting } of this.#inFlight.values()) {
      const { name, path } = operation;
      const what = `ZooKeeper: ${name} ${path}: the connection was lost before the answer; it may have been done`;
      waiting.fail(new ZooKeeperError('CONNECTION_LOST', what, reason));
    }
    this.#inFlight.clear();
    this.#resolveEnded(reason);
  }
}
