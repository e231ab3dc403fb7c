/**
 * A session: one codec and one listener over one connection, also over a connection that transports
 * messages (UDP, WebSocket). From attach() on only the session calls the connection.
 */

import { type AsyncContext, READ_CONTEXT, type ReadsInContext } from '../../core/async-context.js';
import type { Bytes } from '../../core/bytes.js';
import { notify, notifyOrWarn, promiseOf } from '../../core/callbacks.js';
import { asGettyError, type GettyError } from '../../core/errors.js';
import { badOption, checkNumber } from '../../core/options.js';
import { LONGEST_TIMER, startTimer } from '../../core/timers.js';
import { runInTurn } from '../../core/turn.js';
import { warn } from '../../core/warning.js';
import { hostOf } from '../address.js';
import type { SharedMessage } from '../buffers/shared-message.js';
import { checkCloseOptions, closeCodeOf, NORMAL_CLOSE } from '../close-code.js';
import type { SessionRates } from '../rate/session-rates.js';
import type {
  AttributeMap,
  CloseCallback,
  CloseOptions,
  Codec,
  Connection,
  ConnectionEvents,
  Endpoint,
  Peer,
  ProtocolSetup,
  SendOptions,
  SendResult,
  Session,
  SessionStats,
  StartTlsOptions,
} from '../types.js';
import type { WritingSession } from './connection-writer.js';
import { type Flushable, now } from './flush-scheduler.js';
import type { ReadingSession } from './message-delivery.js';
import { type PeriodicSession, PeriodicWork } from './periodic-work.js';
import { SessionEnd } from './session-end.js';
import {
  closedError,
  handlerError,
  lostError,
  onOpenError,
  plainTextError,
} from './session-errors.js';
import { type ResolvedSetup, withProtocol } from './session-options.js';
import { SessionReader } from './session-reader.js';
import { SessionWriter } from './session-writer.js';

/** The server or client that created a session. */
export interface SessionOwner<In, Out> extends Endpoint<In, Out> {
  /** The address of the endpoint to which the session belongs. */
  addressOf(session: Session<In, Out>): string;
  /** Called once, after onClose, when the connection is closed. */
  onSessionClosed(session: Session<In, Out>): void;
}

type State = 'open' | 'closing' | 'closed';

function readContextOf<In, Out>({ listener }: ResolvedSetup<In, Out>): AsyncContext | undefined {
  return (listener as ReadsInContext)[READ_CONTEXT];
}

let lastId = 0;

/** As exchangeState() of core/turn.ts. */
export function exchangeState(next = 0): number {
  const former = lastId;
  lastId = next;
  return former;
}

export class TransportSession<In, Out>
  implements ReadingSession<In, Out>, PeriodicSession<In, Out>, WritingSession, ConnectionEvents
{
  readonly id = ++lastId;
  /**
   * When bytes of the peer last arrived: a time of now(). An integer, because V8 boxes doubles in
   * fields.
   */
  #lastReadAt = Math.floor(now());
  readonly #owner: SessionOwner<In, Out>;
  readonly #connection: Connection;
  #setup: ResolvedSetup<In, Out>;
  /** Created when the session first reads or pauses: many sessions only keep a connection. */
  #reader: SessionReader<In, Out> | undefined;
  #readContext: AsyncContext | undefined;
  /** Undefined until the first write: many sessions only receive. */
  #writer: SessionWriter<In, Out> | undefined;
  readonly #rates: SessionRates | undefined;
  #state: State = 'open';
  /** Whether onOpen has settled. */
  #hasOpened = false;
  /** Whether the connection has called onClose. */
  #isConnectionClosed = false;
  /** Whether onClose of the listener has been called. */
  #hasEnded = false;
  #attributes: AttributeMap | undefined;
  readonly #periodicWork: PeriodicWork<In, Out>;
  #waitTimer: NodeJS.Timeout | undefined;
  /** Undefined if nothing waits for the end, and no error has caused it. */
  #end: SessionEnd<In, Out> | undefined;

  /** `rates`: undefined if neither the session nor its owner has a rate. */
  constructor(
    owner: SessionOwner<In, Out>,
    connection: Connection,
    setup: ResolvedSetup<In, Out>,
    rates?: SessionRates,
  ) {
    this.#owner = owner;
    this.#connection = connection;
    this.#setup = setup;
    this.#readContext = readContextOf(setup);
    this.#rates = rates;
    this.#periodicWork = new PeriodicWork(this, connection, setup);
  }

  static isSession(value: unknown): value is TransportSession<never, unknown> {
    return typeof value === 'object' && value !== null && #state in value;
  }

  get name(): string {
    return this.#setup.name || `session-${this.id}`;
  }

  get localAddress(): string {
    return this.#connection.localAddress;
  }

  get remoteAddress(): string {
    return this.#connection.remoteAddress;
  }

  get remoteHost(): string | undefined {
    return hostOf(this.#connection.remoteAddress);
  }

  get encrypted(): boolean {
    return this.#connection.encrypted === true;
  }

  get socket(): object | undefined {
    return this.#connection.socket;
  }

  get endpoint(): Endpoint<In, Out> {
    return this.#owner;
  }

  get maxMessageBytes(): number {
    return this.#setup.maxMessageBytes;
  }

  get closed(): boolean {
    return this.#state !== 'open';
  }

  get closeCode(): number | undefined {
    return this.#connection.closeCode;
  }

  get closeReason(): string | undefined {
    return this.#connection.closeReason;
  }

  get stats(): SessionStats {
    const { bytesRead = 0, messagesRead = 0 } = this.#reader ?? {};
    const { bytesWritten = 0, messagesWritten = 0 } = this.#writer ?? {};
    const { messagesDropped = 0 } = this.#connection;
    return { bytesRead, messagesRead, bytesWritten, messagesWritten, messagesDropped };
  }

  get lossy(): boolean {
    return this.#connection.capabilities?.isLossy === true;
  }

  get attributes(): AttributeMap {
    this.#attributes ??= new Map() as AttributeMap;
    return this.#attributes;
  }

  get idleTimeout(): number {
    return this.#periodicWork.idleTimeout;
  }

  set idleTimeout(ms: number) {
    checkNumber('idleTimeout', ms, 0, LONGEST_TIMER);
    this.#periodicWork.idleTimeout = ms;
  }

  get queuedBytes(): number {
    return this.#writer?.queuedBytes ?? 0;
  }

  // For broadcast().

  get codec(): Codec<In, Out> {
    return this.#setup.codec;
  }

  /** Bytes. */
  get highWaterMark(): number {
    return this.#setup.highWaterMark;
  }

  /** Whether write() would return false even without the message. */
  get isBehind(): boolean {
    return this.#writer?.isBehind === true;
  }

  /** Whether write() would throw SESSION_BLOCKED. */
  get isBlocked(): boolean {
    return this.#writer?.isBlocked === true;
  }

  get writesEachMessage(): boolean {
    return this.#connection.capabilities?.writesEachMessage === true;
  }

  get active(): number {
    // timeOrigin is when now() was 0.
    return Math.round(performance.timeOrigin) + this.#lastReadAt;
  }

  updateActive(): void {
    this.#lastReadAt = Math.floor(now());
  }

  // ---- opening ----

  /**
   * Attaches to the connection and calls onOpen. If the listener refuses, the session is destroyed
   * and the promise rejects. A session that is closed in onOpen is not refused.
   */
  async open(): Promise<void> {
    this.#connection.attach(this, this.#setup);
    if (this.#state !== 'closed') this.#periodicWork.start();
    try {
      const opened = promiseOf(this.#setup.listener.onOpen?.(this));
      if (opened !== undefined) {
        (this.#reader ?? this.#makeReader()).pauseUntilOpen();
        await Promise.race([opened, this.ended()]);
      }
    } catch (error) {
      const refused = onOpenError(this.remoteAddress, error);
      this.destroy(refused);
      throw refused;
    }
    this.#hasOpened = true;
    if (this.#reader !== undefined) this.#reader.open();
    else if (this.#state !== 'closed') this.#connection.resume();
  }

  #makeReader(): SessionReader<In, Out> {
    const args = [this, this.#connection, this.#setup, this.#hasOpened] as const;
    const reader = this.#rates?.makeReader<In, Out>(...args) ?? new SessionReader(...args);
    this.#reader = reader;
    return reader;
  }

  // ---- periodic work ----

  get lastReadAt(): number {
    return this.#lastReadAt;
  }

  silentSince(readAt: number): number {
    const writer = this.#writer;
    // While this side does not read, the session is kept, unless the peer does not read either.
    const isPaused = this.#reader?.isPaused ?? !this.#hasOpened;
    if (isPaused && writer?.isPeerSlow !== true) return Number.POSITIVE_INFINITY;
    return writer?.answerableSince(readAt) ?? readAt;
  }

  incompleteMessageAge(): number {
    return Math.max(
      this.#connection.incompleteMessageAge?.() ?? 0,
      this.#reader?.incompleteMessageAge() ?? 0,
    );
  }

  // ---- events of the connection ----

  onData(bytes: Bytes): void {
    if (this.#state === 'closed') return;
    this.updateActive();
    const reader = this.#reader ?? this.#makeReader();
    reader.feed(bytes);
    if (this.#readContext === undefined) reader.readStream();
    else this.#readContext.runAll(reader.readStream, reader);
  }

  onMessage(bytes: Bytes, text?: boolean, start = 0, end = bytes.length): void {
    if (this.#state === 'closed') return;
    this.updateActive();
    (this.#reader ?? this.#makeReader()).onMessage(bytes, text, start, end);
  }

  onAlive(): void {
    this.updateActive();
  }

  onTaken(): void {
    this.#writer?.onTaken();
  }

  onClosing(): void {
    this.#writer?.close();
  }

  onEnd(): void {
    if (this.#state !== 'closed') (this.#reader ?? this.#makeReader()).onEnd();
  }

  // ---- methods of the user ----

  pause(): void {
    if (!this.closed) (this.#reader ?? this.#makeReader()).pause();
  }

  resume(): void {
    this.#reader?.resume();
  }

  trust(): void {
    this.#connection.trust?.();
  }

  write(message: Out): boolean {
    return (this.#writer ?? this.#makeWriter()).write(message, this.#setup.codec, this);
  }

  /**
   * For broadcast(): see SessionWriter.writeShared. Drops a message that has waited while use() has
   * changed the codec.
   */
  writeShared(message: SharedMessage, unflushed: Flushable[]): void {
    if ((message.codec as unknown) !== this.#setup.codec) return;
    (this.#writer ?? this.#makeWriter()).writeShared(message, unflushed);
  }

  writeBytes(bytes: Uint8Array): boolean {
    return (this.#writer ?? this.#makeWriter()).writeChunks([bytes]);
  }

  writeBytesArray(chunks: readonly Uint8Array[]): boolean {
    return (this.#writer ?? this.#makeWriter()).writeChunks(chunks);
  }

  send(message: Out, options?: SendOptions): Promise<SendResult> {
    return (this.#writer ?? this.#makeWriter()).send(() => this.write(message), options);
  }

  drained(): Promise<void> {
    return (this.#writer ?? this.#makeWriter()).drained();
  }

  /** For broadcast(): see SessionWriter.unblocked. */
  unblocked(): Promise<void> {
    return (this.#writer ?? this.#makeWriter()).unblocked();
  }

  onWriteFault(error: unknown): void {
    this.destroy(lostError(this.remoteAddress, error));
  }

  #makeWriter(): SessionWriter<In, Out> {
    const writer = new SessionWriter<In, Out>(this.#connection, this.#setup, this, this.#rates);
    if (this.#state !== 'open') writer.close();
    if (this.#state === 'closed') writer.stop();
    this.#writer = writer;
    return writer;
  }

  // ---- changing the protocol ----

  use<NewIn, NewOut>(protocol: ProtocolSetup<NewIn, NewOut>): Session<NewIn, NewOut> {
    // The types of the messages change with the codec.
    const setup = withProtocol(this.#setup, protocol as unknown as ProtocolSetup<In, Out>);
    if (this.closed) throw closedError(this.remoteAddress);
    this.#setup = setup;
    this.#readContext = readContextOf(setup);
    this.#reader?.use(setup);
    this.#periodicWork.use(setup);
    return this as unknown as Session<NewIn, NewOut>;
  }

  startTls(options: StartTlsOptions = {}): Promise<Peer> {
    let handshake: Promise<Peer>;
    try {
      handshake = this.#beginTls(options);
    } catch (error) {
      return Promise.reject(error);
    }
    const started = handshake.then(
      (peer) => {
        this.updateActive();
        return peer;
      },
      (error) => {
        this.destroy(error);
        throw error;
      },
    );
    // onError has received the error. A peer must not end the process of a caller that does not
    // await this promise.
    started.catch(() => {});
    return started;
  }

  #beginTls(options: StartTlsOptions): Promise<Peer> {
    const connection = this.#connection;
    const { remoteAddress } = this;
    if (connection.startTls === undefined)
      throw badOption('startTls', remoteAddress, 'a session at tcp:// or unix://, not compressed');
    if (this.closed) throw closedError(remoteAddress);
    this.#writer?.flushAll();
    const rest = this.#reader?.unreadBytes ?? 0;
    if (rest > 0) {
      const error = plainTextError(remoteAddress, rest);
      this.fail(error);
      return Promise.reject(error);
    }
    const address = this.#owner.addressOf(this);
    return connection.startTls(options, { isServer: this.#owner.type === 'server', address });
  }

  // ---- closing ----

  close(options?: CloseOptions): Promise<void> {
    if (options !== undefined) checkCloseOptions(options);
    if (options?.code !== undefined) this.#connection.checkCloseCode?.(options.code);
    const closed = this.ended();
    if (this.#state === 'open') {
      const writer = this.#writer;
      writer?.close();
      this.#state = 'closing';
      const code = options === undefined ? undefined : (options.code ?? NORMAL_CLOSE);
      if (writer === undefined) this.#endConnection(code, options?.reason);
      else writer.end(code, options?.reason);
      // A paused session must see the end of the peer's side too.
      this.#reader?.resume();
      this.#limitClosing();
    }
    return closed;
  }

  #limitClosing(): void {
    // The connection may have ended within close().
    if (this.#state === 'closed') return;
    this.#waitTimer = startTimer(() => runInTurn(() => this.destroy()), this.#setup.waitTime);
  }

  #endConnection(code: number | undefined, reason: string | undefined): void {
    try {
      this.#connection.end(code, reason);
    } catch (error) {
      this.onWriteFault(error);
    }
  }

  /** Settles after onClose. */
  ended(): Promise<void> {
    return (this.#end ?? this.#makeEnd()).promise;
  }

  addCloseCallback(callback: CloseCallback<In, Out>): void {
    (this.#end ?? this.#makeEnd()).add(callback);
  }

  removeCloseCallback(callback: CloseCallback<In, Out>): boolean {
    return this.#end?.remove(callback) ?? false;
  }

  #makeEnd(): SessionEnd<In, Out> {
    const end = new SessionEnd<In, Out>(this, this.#hasEnded);
    this.#end = end;
    return end;
  }

  destroy(error?: Error): void {
    if (this.#state === 'closed') return;
    this.#stop();
    // JavaScript programs pass the null of a callback without an error.
    const given = error ?? undefined;
    const reason =
      given === undefined
        ? undefined
        : asGettyError(given, 'SESSION_DESTROYED', 'the session was destroyed with an error');
    try {
      if (reason !== undefined) this.#reportReason(reason);
    } finally {
      this.#abortConnection(reason);
      if (this.#isConnectionClosed) queueMicrotask(() => this.#finish());
    }
  }

  /** The peer receives only the code of the error: its message may have secrets. */
  #abortConnection(reason: GettyError | undefined): void {
    const connection = this.#connection;
    const closeCode = reason && closeCodeOf(reason.code);
    if (reason === undefined || closeCode === undefined || connection.abort === undefined)
      connection.destroy();
    else connection.abort(closeCode, reason.code);
  }

  /** Called by the reader: sends what was written, and destroys the session. */
  fail(error: Error): void {
    if (this.#state !== 'closed') this.#writer?.close();
    this.destroy(error);
  }

  #stop(): void {
    this.#state = 'closed';
    this.#periodicWork.stop();
    this.#reader?.stop();
    this.#writer?.stop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  onClose(error?: Error): void {
    if (this.#isConnectionClosed) return;
    this.#isConnectionClosed = true;
    const reader = this.#reader;
    if (error !== undefined || reader?.awaitsTurn !== true) return this.#finish(error);
    // The last messages of the peer wait for a turn of the event loop. They are delivered first.
    this.#state = 'closing';
    this.#writer?.close();
    this.#waitTimer ??= startTimer(() => runInTurn(() => this.destroy()), this.#setup.waitTime);
    reader.onRead = () => this.#finish();
  }

  /** The connection is closed, and nothing more is delivered. */
  #finish(error?: Error): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    const wasClosed = this.#state === 'closed';
    this.#stop();
    if (error !== undefined && !wasClosed)
      this.#reportReason(asGettyError(error, 'CONNECTION_LOST', 'the connection was lost'));
    clearTimeout(this.#waitTimer);
    this.#writer?.onGone(error);
    this.#end?.callBack();
    notify(
      () => this.#setup.listener.onClose?.(this),
      (failure) => this.report(handlerError(failure)),
    );
    this.#owner.onSessionClosed(this);
    this.#end?.settle();
  }

  // ---- errors ----

  /** Reports the error that ends the session. */
  #reportReason(error: GettyError): void {
    (this.#end ?? this.#makeEnd()).reason = error;
    this.report(error);
  }

  report(error: GettyError): void {
    const { listener } = this.#setup;
    // `onError` is read inside, because a getter of the program may throw.
    notifyOrWarn('onError', () => {
      const { onError } = listener;
      if (onError !== undefined) return onError.call(listener, this, error);
      if (error.code === 'HANDLER_FAILED') warn(error);
      return undefined;
    });
  }
}
