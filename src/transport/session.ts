/** A session: one codec and one listener over one connection. It alone calls the connection. */
import { GettyError, gettyError, messageOf } from '../errors.js';
import { checkNumber } from '../options.js';
import { ByteReader } from './byte-reader.js';
import { ByteWriter, WRITER_BYTES } from './byte-writer.js';
import { type Flushable, flushSoon } from './flusher.js';
import { LONGEST_TIMER, type ResolvedSetup } from './session-options.js';
import { every } from './ticker.js';
import type { Codec, Connection, ConnectionEvents, Endpoint, EventListener, SendOptions, SendResult, Session, SessionStats } from './types.js';

/** What a session needs of the server or client that made it. */
export interface SessionOwner<In, Out> extends Endpoint<In, Out> {
  /** The connection is gone and onClose has been called. */
  forget(session: Session<In, Out>): void;
}

/** The rejection of send(): how far the message got, and why not further. */
export class SendError extends GettyError implements SendResult {
  readonly encodedBytes: number;
  readonly sentBytes: number;

  constructor(code: string, message: string, encodedBytes: number, sentBytes: number, cause?: unknown) {
    super(code, message, cause);
    this.name = 'SendError';
    this.encodedBytes = encodedBytes;
    this.sentBytes = sentBytes;
  }
}

/** Somebody who waits until all bytes up to `position` of the outgoing stream are taken. */
interface Waiter {
  readonly position: number;
  settle(error?: GettyError): void;
}

type State = 'open' | 'closing' | 'closed';

let lastId = 0;

export class StreamSession<In, Out> implements Session<In, Out>, ConnectionEvents, Flushable {
  readonly id = ++lastId;
  readonly name: string;
  readonly localAddress: string;
  readonly remoteAddress: string;
  readonly maxMessageBytes: number;
  active = Date.now();

  readonly #owner: SessionOwner<In, Out>;
  readonly #connection: Connection;
  readonly #codec: Codec<In, Out>;
  readonly #listener: EventListener<In, Out>;
  readonly #setup: ResolvedSetup<In, Out>;
  readonly #input = new ByteReader();
  /** Whole messages of a message transport that wait to be read. */
  readonly #whole: Buffer[] = [];
  #output: ByteWriter | undefined;
  #state: State = 'open';
  /** onOpen has not settled: messages wait, whatever else happens. */
  #opening = true;
  #gone = false;
  #paused = false;
  #reading = false;
  #peerEnded = false;
  /** onMessage promises that have not settled. */
  #handling = 0;
  /** Bytes handed to the connection that it had not passed on when it was last asked. */
  #untaken = 0;
  #bytesRead = 0;
  #messagesRead = 0;
  /** Every byte ever encoded, flushed or not: positions in the outgoing stream. */
  #bytesWritten = 0;
  #messagesWritten = 0;
  #waiters: Waiter[] = [];
  #attributes: Map<unknown, unknown> | undefined;
  #timers: (() => void)[] = [];
  #whenClosed: Promise<void> | undefined;
  #resolveClosed: (() => void) | undefined;

  constructor(owner: SessionOwner<In, Out>, connection: Connection, setup: ResolvedSetup<In, Out>) {
    this.#owner = owner;
    this.#connection = connection;
    this.#setup = setup;
    this.#codec = setup.codec;
    this.#listener = setup.listener;
    this.name = setup.name || `session-${this.id}`;
    this.localAddress = connection.localAddress;
    this.remoteAddress = connection.remoteAddress;
    this.maxMessageBytes = setup.maxMessageBytes;
  }

  get endpoint(): Endpoint<In, Out> {
    return this.#owner;
  }

  get closed(): boolean {
    return this.#state !== 'open';
  }

  get stats(): SessionStats {
    return {
      bytesRead: this.#bytesRead,
      messagesRead: this.#messagesRead,
      bytesWritten: this.#bytesWritten,
      messagesWritten: this.#messagesWritten,
    };
  }

  get attributes(): Map<unknown, unknown> {
    this.#attributes ??= new Map();
    return this.#attributes;
  }

  get queuedBytes(): number {
    return this.#untaken + (this.#output?.length ?? 0);
  }

  updateActive(): void {
    this.active = Date.now();
  }

  /**
   * Attach to the connection and call onOpen. Rejects when the listener refuses; the session is destroyed then. A session
   * that is closed as it opens is no refusal.
   */
  async open(): Promise<void> {
    this.#connection.attach(this);
    this.#startTimers();
    try {
      const opened = this.#listener.onOpen?.(this);
      if (opened !== undefined) {
        this.#connection.pause();
        await Promise.race([opened, this.#closedPromise()]);
      }
    } catch (error) {
      const refused = gettyError('SESSION_REFUSED', `onOpen refused the session with ${this.remoteAddress}: ${messageOf(error)}`, error);
      this.destroy(refused);
      throw refused;
    }
    this.#opening = false;
    if (!this.#paused) this.resume();
  }

  #startTimers(): void {
    const { cronPeriod } = this.#setup;
    const connection = this.#connection;
    const idleTimeout = this.#setup.idleTimeout || connection.idleTimeout || 0;
    if (this.#listener.onCron !== undefined || connection.ping !== undefined) {
      this.#timers.push(
        every(cronPeriod, () => {
          connection.ping?.();
          this.#call(() => this.#listener.onCron?.(this));
        }),
      );
    }
    if (idleTimeout > 0) {
      this.#timers.push(
        every(Math.ceil(idleTimeout / 4), () => {
          const silence = Date.now() - this.active;
          if (silence >= idleTimeout) {
            this.destroy(gettyError('IDLE_TIMEOUT', `${this.remoteAddress} has been silent for ${silence} ms; idleTimeout is ${idleTimeout} ms`));
          }
        }),
      );
    }
  }

  // ---- reading ----

  onData(bytes: Buffer): void {
    if (this.#state === 'closed') return;
    this.active = Date.now();
    this.#bytesRead += bytes.length;
    this.#input.feed(bytes);
    this.#readMessages();
  }

  #readMessages(): void {
    // A listener may resume() from within onMessage; the loop below goes on then by itself.
    if (this.#reading || this.#paused || this.#opening) return;
    this.#reading = true;
    try {
      if (this.#whole.length > 0) this.#readWhole();
      else this.#readUntilStopped();
    } finally {
      this.#reading = false;
    }
    if (this.#peerEnded) this.#afterPeerEnd();
  }

  #readUntilStopped(): void {
    const input = this.#input;
    const codec = this.#codec;
    while (!this.#paused && this.#state !== 'closed' && input.length > 0) {
      const before = input.length;
      let message: In | undefined;
      try {
        message = codec.read(input, this);
      } catch (error) {
        this.destroy(
          error instanceof GettyError
            ? error
            : gettyError('BAD_FRAME', `${this.remoteAddress} sent what the codec cannot read: ${messageOf(error)}`, error),
        );
        return;
      }
      const consumed = before - input.length;
      if (message === undefined) {
        if (consumed > 0) continue; // the codec dropped something that is no message
        if (input.length > this.maxMessageBytes) this.destroy(this.#tooLarge(input.length, 'read'));
        return;
      }
      if (consumed === 0 || consumed > this.maxMessageBytes) {
        this.destroy(
          consumed > 0 ? this.#tooLarge(consumed, 'read') : gettyError('BAD_FRAME', 'the codec answered a message and took no bytes for it'),
        );
        return;
      }
      this.#deliver(message);
    }
  }

  #deliver(message: In): void {
    this.#messagesRead++;
    try {
      const outcome = this.#listener.onMessage(this, message);
      if (outcome instanceof Promise) this.#await(outcome);
    } catch (error) {
      this.#handlerFailed(error);
    }
  }

  onMessage(bytes: Buffer): void {
    if (this.#state === 'closed') return;
    this.active = Date.now();
    this.#bytesRead += bytes.length;
    this.#whole.push(bytes);
    this.#readMessages();
  }

  /** Messages of a message transport: each is one message of the codec, neither more nor less. */
  #readWhole(): void {
    const input = this.#input;
    while (!this.#paused && this.#state !== 'closed') {
      const bytes = this.#whole.shift();
      if (bytes === undefined) return;
      input.feed(bytes);
      try {
        const message = bytes.length > this.maxMessageBytes ? undefined : this.#codec.read(input, this);
        if (message !== undefined && input.length === 0) {
          this.#deliver(message);
          continue;
        }
        const limit = bytes.length > this.maxMessageBytes ? this.#tooLarge(bytes.length, 'read') : undefined;
        this.#badMessage(
          limit ?? new Error(input.length > 0 && message !== undefined ? `${input.length} of its bytes are left over` : 'it is not whole'),
          bytes.length,
        );
      } catch (error) {
        this.#badMessage(error, bytes.length);
      }
      input.skip(input.length);
    }
  }

  /** A stream is out of step after it; a datagram is lost, and its sender may not even be the peer. */
  #badMessage(cause: unknown, length: number): void {
    const error =
      cause instanceof GettyError
        ? cause
        : gettyError('BAD_FRAME', `${this.remoteAddress} sent a message of ${length} bytes that the codec cannot read: ${messageOf(cause)}`, cause);
    if (this.#connection.lossy) this.#reportError(error);
    else this.destroy(error);
  }

  onAlive(): void {
    this.active = Date.now();
  }

  #await(outcome: Promise<unknown>): void {
    this.#handling++;
    const settled = (): void => {
      this.#handling--;
      if (this.#peerEnded) this.#afterPeerEnd();
    };
    outcome.then(settled, (error) => {
      this.#handlerFailed(error);
      settled();
    });
  }

  onEnd(): void {
    this.#peerEnded = true;
    if (!this.#reading) this.#readMessages();
  }

  /** The peer said its last word: what is being handled may still be answered, then we close too. */
  #afterPeerEnd(): void {
    if (this.#state === 'closed' || this.#paused) return;
    if (this.#input.length > 0) {
      this.destroy(gettyError('BAD_FRAME', `${this.remoteAddress} ended the stream inside a message, after ${this.#input.length} bytes of it`));
    } else if (this.#handling === 0 && this.#state !== 'closing') {
      void this.close();
    }
  }

  trust(): void {
    this.#connection.trust?.();
  }

  pause(): void {
    if (this.closed) return;
    this.#paused = true;
    this.#connection.pause();
  }

  resume(): void {
    this.#paused = false;
    if (this.#opening || this.#state === 'closed') return;
    this.#connection.resume();
    this.#readMessages();
  }

  // ---- writing ----

  write(message: Out): boolean {
    const output = this.#writable();
    const start = output.length;
    this.#connection.beginMessage?.(output);
    const content = output.length;
    try {
      this.#codec.write(output, message, this);
      const size = output.length - content;
      if (size > this.maxMessageBytes) throw this.#tooLarge(size, 'write');
      this.#connection.endMessage?.(output, start);
    } catch (error) {
      output.length = start;
      throw error;
    }
    this.#messagesWritten++;
    return this.#wrote(output, output.length - start);
  }

  writeBytes(bytes: Uint8Array): boolean {
    return this.writeBytesArray([bytes]);
  }

  writeBytesArray(chunks: readonly Uint8Array[]): boolean {
    const output = this.#writable();
    const start = output.length;
    this.#connection.beginMessage?.(output);
    try {
      for (const chunk of chunks) output.append(chunk);
      this.#connection.endMessage?.(output, start);
    } catch (error) {
      output.length = start;
      throw error;
    }
    return this.#wrote(output, output.length - start);
  }

  send(message: Out, options?: SendOptions): Promise<SendResult> {
    const start = this.#bytesWritten;
    try {
      if (options?.timeout !== undefined) checkNumber('timeout', options.timeout, 0, LONGEST_TIMER);
      if (options?.signal?.aborted) throw gettyError('ABORTED_BY_CALLER', 'the caller gave up before anything was sent', options.signal.reason);
      this.write(message);
    } catch (error) {
      const known = error instanceof GettyError;
      const cause = known && error.code === 'ABORTED_BY_CALLER' ? error.cause : error;
      return Promise.reject(new SendError(known ? error.code : 'ENCODE_FAILED', messageOf(error), 0, 0, cause));
    }
    const position = this.#bytesWritten;
    const encodedBytes = position - start;
    return new Promise((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined;
      const fail = (code: string, reason: string, cause?: unknown): void => {
        done();
        this.#waiters = this.#waiters.filter((other) => other !== waiter);
        const sentBytes = Math.min(encodedBytes, Math.max(0, this.#takenPosition() - start));
        reject(new SendError(code, `${reason}; ${sentBytes} of ${encodedBytes} bytes were sent`, encodedBytes, sentBytes, cause));
      };
      const abort = (): void => fail('ABORTED_BY_CALLER', 'the caller gave up', options?.signal?.reason);
      const waiter: Waiter = {
        position,
        settle: (error) => {
          if (error !== undefined) return fail(error.code, error.message, error);
          done();
          resolve({ encodedBytes, sentBytes: encodedBytes });
        },
      };
      const done = (): void => {
        clearTimeout(timer);
        options?.signal?.removeEventListener('abort', abort);
      };
      if (options?.timeout !== undefined) {
        const { timeout } = options;
        timer = setTimeout(() => fail('SEND_TIMEOUT', `${this.remoteAddress} did not take the message within ${timeout} ms`), timeout);
      }
      options?.signal?.addEventListener('abort', abort, { once: true });
      this.#waiters.push(waiter);
    });
  }

  drained(): Promise<void> {
    if (this.#state === 'closed') return Promise.reject(this.#closedError());
    const excess = this.queuedBytes - this.#setup.highWaterMark;
    if (excess < 0) return Promise.resolve();
    // Below the mark: one byte more than the excess has to be taken.
    const position = this.#takenPosition() + excess + 1;
    return new Promise((resolve, reject) => {
      this.#waiters.push({ position, settle: (error) => (error === undefined ? resolve() : reject(error)) });
    });
  }

  #writable(): ByteWriter {
    if (this.closed) throw this.#closedError();
    if (this.queuedBytes >= this.#setup.maxQueuedBytes) {
      const { maxQueuedBytes } = this.#setup;
      throw gettyError(
        'SESSION_BLOCKED',
        `${this.remoteAddress} does not read: ${this.queuedBytes} bytes are queued, maxQueuedBytes is ${maxQueuedBytes}`,
      );
    }
    let output = this.#output;
    if (output === undefined) {
      output = ByteWriter.borrow();
      this.#output = output;
      flushSoon(this);
    }
    return output;
  }

  #wrote(output: ByteWriter, size: number): boolean {
    this.#bytesWritten += size;
    if (output.length >= WRITER_BYTES) this.#passOn(output);
    return this.#untaken + output.length < this.#setup.highWaterMark;
  }

  /** Hand what is queued to the connection. The flusher calls it at the end of the tick. */
  flush(): void {
    const output = this.#output;
    if (output === undefined) return;
    this.#output = undefined;
    this.#passOn(output);
    ByteWriter.giveBack(output);
    if (this.#untaken === 0 && this.#waiters.length > 0 && !this.#connection.confirmsLater) this.#settleWaiters();
  }

  #passOn(output: ByteWriter): void {
    const { length } = output;
    if (length === 0 || this.#state === 'closed') return;
    this.#connection.write(output.bytes.subarray(0, length));
    this.#untaken = this.#connection.bufferedBytes;
    if (this.#untaken === 0) output.length = 0;
    else output.renew();
  }

  onTaken(): void {
    // What a destroyed connection drops is not taken.
    if (this.#state === 'closed') return;
    this.#untaken = this.#connection.bufferedBytes;
    if (this.#waiters.length > 0) this.#settleWaiters();
  }

  #takenPosition(): number {
    return this.#bytesWritten - this.queuedBytes;
  }

  #settleWaiters(): void {
    const taken = this.#takenPosition();
    const ready = this.#waiters.filter((waiter) => waiter.position <= taken);
    if (ready.length === 0) return;
    this.#waiters = this.#waiters.filter((waiter) => waiter.position > taken);
    for (const waiter of ready) waiter.settle();
  }

  // ---- the end ----

  close(): Promise<void> {
    const closed = this.#closedPromise();
    if (this.#state === 'open') {
      this.flush();
      this.#state = 'closing';
      this.#connection.end();
      // Somebody who paused must not keep a closing session from seeing the peer's end.
      if (this.#paused) this.resume();
      const timer = setTimeout(() => this.destroy(), this.#setup.waitTime);
      this.#timers.push(() => clearTimeout(timer));
    }
    return closed;
  }

  #closedPromise(): Promise<void> {
    if (this.#whenClosed === undefined) {
      this.#whenClosed = new Promise((resolve) => {
        if (this.#gone) resolve();
        else this.#resolveClosed = resolve;
      });
    }
    return this.#whenClosed;
  }

  destroy(error?: Error): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    if (error !== undefined) this.#reportError(error);
    this.#connection.destroy();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  onClose(error?: Error): void {
    if (this.#gone) return;
    this.#gone = true;
    const wasClosed = this.#state === 'closed';
    this.#state = 'closed';
    if (error !== undefined && !wasClosed) this.#reportError(error);
    for (const stop of this.#timers) stop();
    this.#timers = [];
    if (this.#output !== undefined) {
      ByteWriter.giveBack(this.#output);
      this.#output = undefined;
    }
    const waiters = this.#waiters;
    this.#waiters = [];
    const lost = this.#closedError(error);
    for (const waiter of waiters) waiter.settle(lost);
    this.#call(() => this.#listener.onClose?.(this));
    this.#owner.forget(this);
    this.#resolveClosed?.();
  }

  // ---- errors ----

  /** Call an event of the listener. It returns nothing by its type, but may well be an async function. */
  #call(callback: () => unknown): void {
    try {
      const outcome = callback();
      if (outcome instanceof Promise) outcome.catch((error) => this.#handlerFailed(error));
    } catch (error) {
      this.#handlerFailed(error);
    }
  }

  #handlerFailed(cause: unknown): void {
    this.#reportError(gettyError('HANDLER_FAILED', `a callback of the listener failed: ${messageOf(cause)}`, cause));
  }

  #reportError(error: Error): void {
    const { onError } = this.#listener;
    if (onError === undefined) {
      if (error instanceof GettyError && error.code === 'HANDLER_FAILED') process.emitWarning(error);
      return;
    }
    const failed = (failure: unknown): void => {
      process.emitWarning(gettyError('HANDLER_FAILED', `onError failed: ${messageOf(failure)}`, failure));
    };
    try {
      const outcome: unknown = onError.call(this.#listener, this, error);
      if (outcome instanceof Promise) outcome.catch(failed);
    } catch (failure) {
      failed(failure);
    }
  }

  #closedError(cause?: unknown): GettyError {
    return gettyError('SESSION_CLOSED', `the session with ${this.remoteAddress} is closed`, cause);
  }

  #tooLarge(size: number, verb: 'read' | 'write'): GettyError {
    const what = verb === 'read' ? `a message of at least ${size} bytes came from` : `a message of ${size} bytes is for`;
    return gettyError('MESSAGE_TOO_LARGE', `${what} ${this.remoteAddress}; maxMessageBytes is ${this.maxMessageBytes}`);
  }
}
