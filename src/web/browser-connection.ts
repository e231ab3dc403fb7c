/** A connection over the browser's WebSocket. */
import { type Bytes, encode, wrap } from '../core/bytes.js';
import { type GettyError, gettyError } from '../core/errors.js';
import { badOption } from '../core/options.js';
import { Queue } from '../core/queue.js';
import { startTimer } from '../core/timers.js';
import type { ByteWriter } from '../transport/buffers/byte-writer.js';
import { CloseError, NORMAL_CLOSE } from '../transport/close-code.js';
import type {
  Connection,
  ConnectionCapabilities,
  ConnectionEvents,
  MessageLimits,
} from '../transport/types.js';
import {
  ABNORMAL_CLOSE,
  type BrowserSocket,
  describeSocketClose,
  isOrderlySocketClose,
  NO_STATUS,
  OPEN,
  type SocketCloseEvent,
} from './browser-socket.js';

/** A page may send 1000 and the codes from this one to 4999. */
const FIRST_PRIVATE_CODE = 3000;
/** The close code of destroy(). A page cannot send 1006 or 1011. */
const DESTROYED_CODE = 4000;
/** Bytes of memory that count for each pending message besides its content. */
const MESSAGE_OVERHEAD = 256;
/** Milliseconds between two reads of bufferedAmount. The delay doubles while it does not fall. */
const MIN_POLL_DELAY = 1;
const MAX_POLL_DELAY = 64;

const utf8Decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The browser sends each message at once, and copies its bytes before send() returns. */
const CAPABILITIES: ConnectionCapabilities = { writesEachMessage: true, copiesOnWrite: true };

interface PendingMessage {
  readonly bytes: Bytes;
  readonly isText: boolean;
}

export class BrowserConnection implements Connection {
  readonly capabilities = CAPABILITIES;
  readonly localAddress: string;
  readonly remoteAddress: string;
  readonly encrypted: boolean;
  readonly protocol: string | undefined;
  closeCode: number | undefined;
  closeReason: string | undefined;
  readonly #socket: BrowserSocket;
  /** The kind of a message whose codec does not choose one. */
  readonly #sendsText: boolean;
  #events: ConnectionEvents | undefined;
  #maxQueuedBytes = 0;
  /** A connection begins paused. The session calls resume(). */
  #isPaused = true;
  /** Messages that arrived while paused. The browser cannot pause a WebSocket. */
  readonly #pending = new Queue<PendingMessage>();
  #pendingBytes = 0;
  /** The next message to write, if it is text. */
  #nextText: string | undefined;
  /** Bytes written after the socket began to close. They are never sent. */
  #discardedBytes = 0;
  #pollTimer: NodeJS.Timeout | undefined;
  #pollDelay = MIN_POLL_DELAY;
  /** Whether the session needs an onTaken() for its next message. */
  #isAckRequested = false;
  /** Whether end() has closed the socket, and no bytes were discarded before. */
  #isEnding = false;
  /** Whether the browser has sent all bytes. Its bufferedAmount may still be more than 0. */
  #isAllSent = false;
  #isSocketClosed = false;
  /** Undefined: the socket was closed in order. */
  #closeError: CloseError | undefined;
  #isFinished = false;

  /** `socket` must be open. */
  constructor(socket: BrowserSocket, remoteAddress: string, sendsText: boolean) {
    this.#socket = socket;
    this.#sendsText = sendsText;
    // The browser does not report a local port. The server sees the origin of the page.
    this.localAddress =
      (globalThis as { location?: { origin: string } | undefined }).location?.origin ?? '';
    this.remoteAddress = remoteAddress;
    this.encrypted = remoteAddress.startsWith('wss:');
    this.protocol = socket.protocol || undefined;
    socket.onmessage = ({ data }) => {
      if (typeof data === 'string') this.#onMessage(encode(data), true);
      else this.#onMessage(wrap(data as ArrayBuffer), false);
    };
    socket.onclose = (event) => this.#onSocketClose(event);
  }

  attach(events: ConnectionEvents, { maxQueuedBytes }: MessageLimits): void {
    this.#events = events;
    this.#maxQueuedBytes = maxQueuedBytes;
  }

  // ---- reading ----

  #onMessage(bytes: Bytes, isText: boolean): void {
    if (this.#pollTimer !== undefined) this.#notifyTaken();
    if (!this.#isPaused) return this.#events?.onMessage(bytes, isText);
    this.#pending.push({ bytes, isText });
    this.#pendingBytes += bytes.length + MESSAGE_OVERHEAD;
    if (this.#pendingBytes <= this.#maxQueuedBytes || this.#events === undefined) return;
    const what = `${this.remoteAddress} sent ${this.#pendingBytes} bytes while the session was paused; maxQueuedBytes is ${this.#maxQueuedBytes}`;
    this.#abort(gettyError('SESSION_BLOCKED', what));
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    // The session may call pause() in any onMessage().
    while (!this.#isPaused) {
      const message = this.#pending.shift();
      if (message === undefined) break;
      this.#pendingBytes -= message.bytes.length + MESSAGE_OVERHEAD;
      this.#events?.onMessage(message.bytes, message.isText);
    }
    // In a microtask, because the session may still read messages of its own buffer.
    if (this.#isSocketClosed) queueMicrotask(() => this.#finishUnlessPaused());
  }

  // ---- writing ----

  get bufferedBytes(): number {
    return this.#isAllSent ? 0 : this.#socket.bufferedAmount + this.#discardedBytes;
  }

  requestWriteAck(): void {
    this.#isAckRequested = true;
  }

  beginMessage(output: ByteWriter): void {
    output.asText = this.#sendsText;
  }

  /** `output` contains only this message: see ConnectionCapabilities.writesEachMessage. */
  endMessage(output: ByteWriter, start: number): void {
    if (output.asText === true) {
      try {
        this.#nextText = utf8Decoder.decode(output.bytes.subarray(start, output.length));
      } catch (error) {
        throw gettyError('ENCODE_FAILED', 'a text message must be UTF-8', error);
      }
    }
  }

  write(bytes: Uint8Array): void {
    const socket = this.#socket;
    // The browser would discard the bytes, and count them in bufferedAmount forever.
    if (socket.readyState !== OPEN) this.#discardedBytes += bytes.length;
    else {
      socket.send(this.#nextText ?? bytes);
      if (this.#pollTimer === undefined && (this.#isAckRequested || socket.bufferedAmount > 0))
        this.#pollLater(MIN_POLL_DELAY);
    }
    this.#isAckRequested = false;
    this.#nextText = undefined;
  }

  /** Reads bufferedAmount after `delay` ms: a browser has no event for sent bytes. */
  #pollLater(delay: number): void {
    this.#pollDelay = delay;
    const before = this.#socket.bufferedAmount;
    this.#pollTimer = startTimer(() => {
      this.#pollTimer = undefined;
      const buffered = this.#socket.bufferedAmount;
      if (buffered > 0)
        this.#pollLater(
          buffered < before ? MIN_POLL_DELAY : Math.min(this.#pollDelay * 2, MAX_POLL_DELAY),
        );
      this.#notifyTaken();
    }, delay);
  }

  #notifyTaken(): void {
    if (!this.#isFinished) this.#events?.onTaken();
  }

  // ---- closing ----

  /** The browser sends all written bytes before the close frame. It delivers nothing after it. */
  end(code = NORMAL_CLOSE, reason = ''): void {
    if (this.#socket.readyState !== OPEN) return;
    this.#isEnding = this.#discardedBytes === 0;
    this.#socket.close(code, reason);
  }

  checkCloseCode(code: number): void {
    if (code !== NORMAL_CLOSE && code < FIRST_PRIVATE_CODE)
      throw badOption('code', code, '1000, or 3000 to 4999 in a browser');
  }

  #onSocketClose({ code, reason, wasClean }: SocketCloseEvent): void {
    this.#isSocketClosed = true;
    if (code !== ABNORMAL_CLOSE) {
      this.closeCode = code === NO_STATUS ? undefined : code;
      this.closeReason = reason;
    }
    if (!isOrderlySocketClose(code)) {
      const what = `the connection with ${this.remoteAddress} ${describeSocketClose(code, reason)}`;
      if (code === ABNORMAL_CLOSE) return this.#finish(gettyError('CONNECTION_LOST', what));
      this.#closeError = new CloseError(what, code, reason);
    } else if (wasClean && this.#isEnding) {
      this.#isAllSent = true;
      this.#notifyTaken();
    }
    this.#finishUnlessPaused();
  }

  /** While paused, pending messages come before the end. resume() calls this again. */
  #finishUnlessPaused(): void {
    if (this.#isFinished || this.#isPaused) return;
    if (this.#closeError === undefined) this.#events?.onEnd();
    this.#finish(this.#closeError);
  }

  destroy(): void {
    this.#abort();
  }

  /** A page may not send `_closeCode`. */
  abort(_closeCode: number, reason: string): void {
    this.#abort(undefined, reason);
  }

  /** Ends the connection at once. The browser may still send written bytes and a close frame. */
  #abort(error?: GettyError, reason = 'destroyed'): void {
    this.#finish(error);
    this.#socket.close(DESTROYED_CODE, reason);
  }

  #finish(error?: Error): void {
    if (this.#isFinished) return;
    this.#isFinished = true;
    this.#pending.clear();
    clearTimeout(this.#pollTimer);
    this.#socket.onmessage = this.#socket.onclose = null;
    queueMicrotask(() => this.#events?.onClose(error));
  }
}
