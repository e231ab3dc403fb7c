/**
 * A session: one codec and one listener over one connection, also over a connection that transports
 * messages (UDP, WebSocket). Only the session calls the connection.
 */

import { type AsyncContext, READ_CONTEXT, type ReadsInContext } from '../../core/async-context.js';
import type { Bytes } from '../../core/bytes.js';
import { notify, notifyOrWarn, promiseOf } from '../../core/callbacks.js';
import { asGettyError, type GettyError, gettyError, messageOf } from '../../core/errors.js';
import { checkNumber } from '../../core/options.js';
import { LONGEST_TIMER, startTimer } from '../../core/timers.js';
import { warn } from '../../core/warning.js';
import { checkCloseOptions, NORMAL_CLOSE } from '../close-code.js';
import type {
  AttributeMap,
  CloseOptions,
  Connection,
  ConnectionEvents,
  Endpoint,
  SendOptions,
  SendResult,
  Session,
  SessionStats,
} from '../types.js';
import { now } from './flush-scheduler.js';
import type { ReadingSession } from './message-delivery.js';
import type { ResolvedSetup } from './session-options.js';
import { SessionReader } from './session-reader.js';
import { SessionWriter } from './session-writer.js';
import { addTick, lastWake, removeTick, type Tickable } from './timer-wheel.js';

/** The server or client that created a session. */
export interface SessionOwner<In, Out> extends Endpoint<In, Out> {
  /** Called once, after onClose, when the connection is closed. */
  onSessionClosed(session: Session<In, Out>): void;
}

type State = 'open' | 'closing' | 'closed';

/** When now() was 0, in whole ms since the epoch. */
const ORIGIN = Math.round(performance.timeOrigin);

let lastId = 0;

export class TransportSession<In, Out>
  implements ReadingSession<In, Out>, ConnectionEvents, Tickable
{
  readonly id = ++lastId;
  /**
   * When bytes of the peer last arrived: a time of now(). An integer, because V8 boxes doubles in
   * fields.
   */
  #lastReadAt = Math.floor(now());
  readonly #owner: SessionOwner<In, Out>;
  readonly #connection: Connection;
  readonly #setup: ResolvedSetup<In, Out>;
  /** Undefined until bytes arrive or have to wait: many sessions only keep a connection. */
  #reader: SessionReader<In, Out> | undefined;
  readonly #readContext: AsyncContext | undefined;
  /** Undefined until the first write: many sessions only receive. */
  #writer: SessionWriter<In, Out> | undefined;
  #state: State = 'open';
  /** Whether onOpen has settled. */
  #hasOpened = false;
  /** Whether the connection has called onClose. */
  #isConnectionClosed = false;
  /** Whether open() was called. Then periodic work may run. */
  #isAttached = false;
  #attributes: AttributeMap | undefined;
  /** Milliseconds. 0: no idleTimeout. */
  #idleTimeout: number;
  /** The period of tick() in milliseconds. 0: this session has no periodic work. */
  #tickPeriod = 0;
  /** When onCron is due: a time of now(). */
  #cronAt = 0;
  #waitTimer: NodeJS.Timeout | undefined;
  #whenClosed: Promise<void> | undefined;
  #resolveClosed: (() => void) | undefined;

  constructor(owner: SessionOwner<In, Out>, connection: Connection, setup: ResolvedSetup<In, Out>) {
    this.#owner = owner;
    this.#connection = connection;
    this.#setup = setup;
    this.#readContext = (setup.listener as ReadsInContext)[READ_CONTEXT];
    this.#idleTimeout = setup.idleTimeout || connection.capabilities?.idleTimeout || 0;
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
    return this.#idleTimeout;
  }

  set idleTimeout(ms: number) {
    checkNumber('idleTimeout', ms, 0, LONGEST_TIMER);
    if (ms === this.#idleTimeout) return;
    this.#idleTimeout = ms;
    if (this.#isConnectionClosed || !this.#isAttached) return;
    if (this.#tickPeriod > 0) removeTick(this.#tickPeriod, this);
    this.#startTicking();
  }

  get queuedBytes(): number {
    return this.#writer?.queuedBytes ?? 0;
  }

  get active(): number {
    return ORIGIN + this.#lastReadAt;
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
    this.#isAttached = true;
    this.#startTicking();
    try {
      const opened = promiseOf(this.#setup.listener.onOpen?.(this));
      if (opened !== undefined) {
        (this.#reader ?? this.#makeReader()).pauseUntilOpen();
        await Promise.race([opened, this.#closedPromise()]);
      }
    } catch (error) {
      const refused = gettyError(
        'SESSION_REFUSED',
        `onOpen refused the session with ${this.remoteAddress}: ${messageOf(error)}`,
        error,
      );
      this.destroy(refused);
      throw refused;
    }
    this.#hasOpened = true;
    if (this.#reader !== undefined) this.#reader.open();
    else if (this.#state !== 'closed') this.#connection.resume();
  }

  #makeReader(): SessionReader<In, Out> {
    const reader = new SessionReader(this, this.#connection, this.#setup, this.#hasOpened);
    this.#reader = reader;
    return reader;
  }

  /** All periodic work of the session runs in tick(), with the shortest period that is needed. */
  #startTicking(): void {
    const { cronPeriod, messageTimeout } = this.#setup;
    let period = Number.POSITIVE_INFINITY;
    if (this.#hasCron()) {
      period = cronPeriod;
      // Math.ceil keeps the value an integer; V8 boxes doubles stored in fields.
      if (this.#cronAt === 0) this.#cronAt = Math.ceil(now()) + cronPeriod;
    }
    if (this.#idleTimeout > 0) period = Math.min(period, Math.ceil(this.#idleTimeout / 4));
    if (this.#hasMessageTimeout()) period = Math.min(period, Math.ceil(messageTimeout / 4));
    this.#tickPeriod = period === Number.POSITIVE_INFINITY ? 0 : period;
    if (this.#tickPeriod > 0) addTick(period, this);
  }

  #hasCron(): boolean {
    return this.#setup.listener.onCron !== undefined || this.#connection.ping !== undefined;
  }

  #hasMessageTimeout(): boolean {
    return this.#setup.messageTimeout > 0 && !this.lossy;
  }

  /** Runs the periodic work that is due. Part of Tickable. */
  tick(): void {
    if (this.#idleTimeout > 0) this.#checkIdle(this.#idleTimeout);
    if (this.#hasMessageTimeout()) this.#checkMessageTimeout();
    if (this.#state !== 'closed' && this.#hasCron()) this.#checkCron();
  }

  #checkCron(): void {
    const time = now();
    // Of all calls of tick(), the one that is nearest to #cronAt calls onCron.
    if (time < this.#cronAt - this.#tickPeriod / 2) return;
    this.#cronAt =
      Math.ceil(Math.max(this.#cronAt, time - this.#tickPeriod)) + this.#setup.cronPeriod;
    this.#connection.ping?.();
    this.#call(() => this.#setup.listener.onCron?.(this));
  }

  #checkIdle(idleTimeout: number): void {
    const silence = Math.floor(now()) - Math.max(this.#lastReadAt, lastWake());
    if (silence < idleTimeout) return;
    // While this side does not read, the session is kept, unless the peer does not read either.
    const isPaused = this.#reader?.isPaused ?? !this.#hasOpened;
    if (isPaused && this.queuedBytes === 0) return;
    this.destroy(
      gettyError(
        'IDLE_TIMEOUT',
        `${this.remoteAddress} has been silent for ${silence} ms; idleTimeout is ${idleTimeout} ms`,
      ),
    );
  }

  #checkMessageTimeout(): void {
    const { messageTimeout } = this.#setup;
    const since = Math.floor(
      Math.min(
        now() - lastWake(),
        Math.max(
          this.#connection.incompleteMessageAge?.() ?? 0,
          this.#reader?.incompleteMessageAge() ?? 0,
        ),
      ),
    );
    if (since < messageTimeout) return;
    const what = `${this.remoteAddress} began a message ${since} ms ago and has not ended it; messageTimeout is ${messageTimeout} ms`;
    this.destroy(gettyError('MESSAGE_TIMEOUT', what));
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

  peerEnded(): void {
    this.#call(() => this.#setup.listener.onEnd?.(this));
  }

  /** The peer ended its side, and all promises of onMessage have settled: this side ends too. */
  finished(): void {
    const staysOpen = this.#setup.allowHalfOpen && this.#connection.capabilities?.canHalfOpen;
    if (this.#state === 'open' && !staysOpen) void this.close();
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

  #makeWriter(): SessionWriter<In, Out> {
    const writer = new SessionWriter<In, Out>(this.#connection, this.#setup);
    if (this.#state !== 'open') writer.close();
    if (this.#state === 'closed') writer.stop();
    this.#writer = writer;
    return writer;
  }

  // ---- closing ----

  close(options?: CloseOptions): Promise<void> {
    if (options !== undefined) checkCloseOptions(options);
    if (options?.code !== undefined) this.#connection.checkCloseCode?.(options.code);
    const closed = this.#closedPromise();
    if (this.#state === 'open') {
      this.#writer?.close();
      this.#state = 'closing';
      this.#connection.end(
        options === undefined ? undefined : (options.code ?? NORMAL_CLOSE),
        options?.reason,
      );
      // A paused session must see the end of the peer's side too.
      this.#reader?.resume();
      this.#waitTimer = startTimer(() => this.destroy(), this.#setup.waitTime);
    }
    return closed;
  }

  #closedPromise(): Promise<void> {
    this.#whenClosed ??= new Promise((resolve) => {
      if (this.#isConnectionClosed) resolve();
      else this.#resolveClosed = resolve;
    });
    return this.#whenClosed;
  }

  destroy(error?: Error): void {
    if (this.#state === 'closed') return;
    this.#stop();
    if (error !== undefined)
      this.report(
        asGettyError(error, 'SESSION_DESTROYED', 'the session was destroyed with an error'),
      );
    this.#connection.destroy();
  }

  /** Called by the reader: sends what was written, and destroys the session. */
  fail(error: Error): void {
    if (this.#state !== 'closed') this.#writer?.close();
    this.destroy(error);
  }

  #stop(): void {
    this.#state = 'closed';
    this.#reader?.stop();
    this.#writer?.stop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  onClose(error?: Error): void {
    if (this.#isConnectionClosed) return;
    this.#isConnectionClosed = true;
    const wasClosed = this.#state === 'closed';
    this.#stop();
    if (error !== undefined && !wasClosed)
      this.report(asGettyError(error, 'CONNECTION_LOST', 'the connection was lost'));
    clearTimeout(this.#waitTimer);
    if (this.#tickPeriod > 0) removeTick(this.#tickPeriod, this);
    this.#writer?.onGone(error);
    this.#call(() => this.#setup.listener.onClose?.(this));
    this.#owner.onSessionClosed(this);
    this.#resolveClosed?.();
  }

  // ---- errors ----

  /** Calls an event of the listener, which may be an async function. */
  #call(callback: () => unknown): void {
    notify(callback, (error) => this.handlerFailed(error));
  }

  handlerFailed(cause: unknown): void {
    this.report(
      gettyError('HANDLER_FAILED', `a callback of the listener failed: ${messageOf(cause)}`, cause),
    );
  }

  report(error: GettyError): void {
    const { listener } = this.#setup;
    if (listener.onError !== undefined)
      notifyOrWarn('onError', () => listener.onError?.(this, error));
    else if (error.code === 'HANDLER_FAILED') warn(error);
  }
}
