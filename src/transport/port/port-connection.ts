/**
 * A connection over a port of a MessageChannel. A port has no back-pressure, so the receiver
 * acknowledges what its session has taken, and the sender stops when its credit is used up.
 */
import { isBytes, wrap } from '../../core/bytes.js';
import { type GettyError, gettyError } from '../../core/errors.js';
import { faultError, guarded } from '../../core/guard.js';
import { Queue } from '../../core/queue.js';
import { isTurnOver, onNextTurn } from '../../core/turn.js';
import type { Connection, ConnectionCapabilities, ConnectionEvents } from '../types.js';
import { type ChannelPort, listen, listenWithPorts, quietly } from './message-port.js';
import { CLOSE, END, MAX_DATA_BYTES, MESSAGE_OVERHEAD, WINDOW } from './port-messages.js';

const CAPABILITIES: ConnectionCapabilities = { canHalfOpen: true };
/** Bytes: fewer are not acknowledged at once, so that one message acknowledges many. */
const ACK_BYTES = WINDOW / 4;

export class PortConnection implements Connection {
  readonly capabilities = CAPABILITIES;
  readonly localAddress: string;
  readonly remoteAddress: string;
  readonly #port: ChannelPort;
  readonly #unlisten: readonly (() => void)[];
  #events: ConnectionEvents | undefined;
  #isFinished = false;
  /** Why the connection was lost. */
  #error: GettyError | undefined;

  /** Received bytes that the session has not taken. */
  readonly #inbox = new Queue<Uint8Array>();
  /** A connection begins paused. The session calls resume(). */
  #isPaused = true;
  #isDelivering = false;
  /** Whether #deliver() continues in the next turn. Until then messages are only collected. */
  #awaitsTurn = false;
  /** Bytes with their overhead: received and not acknowledged. */
  #unacknowledged = 0;
  /** Bytes with their overhead: taken by the session and not acknowledged. */
  #taken = 0;
  #hasPeerEnded = false;
  #isEndDelivered = false;
  /** Whether the other end of the port is closed, and bytes before that wait for a turn. */
  #isPeerGone = false;

  /** Written bytes that wait for credit. */
  readonly #unsent = new Queue<Uint8Array>();
  #unsentBytes = 0;
  /** Bytes with their overhead: sent and not acknowledged by the peer. */
  #inFlight = 0;
  /** Whether end() was called. */
  #isEnding = false;
  /** Whether this side has ended, or the peer has closed its port. */
  #hasEnded = false;

  /** The connection listens to `port` at once, and keeps what arrives before attach(). */
  constructor(port: ChannelPort, localAddress: string, remoteAddress: string) {
    this.#port = port;
    this.localAddress = localAddress;
    this.remoteAddress = remoteAddress;
    this.#unlisten = [
      listenWithPorts(port, (message, ports) => {
        try {
          this.#onMessage(message, ports);
        } catch (error) {
          this.#fail(error);
        }
      }),
      listen(port, 'messageerror', () => this.#violate('a message that cannot be read')),
      listen(port, 'close', () => this.#onPortClose()),
    ];
  }

  attach(events: ConnectionEvents): void {
    this.#events = events;
    if (this.#isFinished) queueMicrotask(() => events.onClose(this.#error));
  }

  /** Calls `handle`. If it throws, the connection ends with CONNECTION_LOST. */
  #run(handle: () => void): void {
    guarded(handle, (error) => this.#fail(error))();
  }

  #fail(error: unknown): void {
    this.#finish(faultError(this.remoteAddress, error));
  }

  // ---- reading ----

  #onMessage(message: unknown, ports: readonly ChannelPort[] | undefined): void {
    if (ports?.length) {
      for (const port of ports) port.close();
      this.#violate('message ports');
    }
    if (this.#isFinished) return;
    if (isBytes(message)) this.#onData(message);
    else if (typeof message === 'number') this.#onAcknowledged(message);
    else if (message === END || message === CLOSE) this.#onPeerEnd(message === CLOSE);
    else this.#violate('a message that is neither bytes nor of getty');
  }

  #onData(bytes: Uint8Array): void {
    const { buffer, byteLength } = bytes;
    // Shared memory could change while it is decoded, and a view keeps its whole buffer.
    if (!(buffer instanceof ArrayBuffer) && String(buffer) !== '[object ArrayBuffer]')
      return this.#violate('shared memory');
    const { maxByteLength = buffer.byteLength } = buffer as { maxByteLength?: number };
    if (byteLength === 0 || maxByteLength > MAX_DATA_BYTES)
      return this.#violate(
        `a message of ${byteLength} bytes in a buffer of ${maxByteLength}, expected 1 to ${MAX_DATA_BYTES}`,
      );
    if (this.#hasPeerEnded) return this.#violate('bytes after its end');
    if (this.#unacknowledged >= WINDOW)
      return this.#violate(`more than ${WINDOW} bytes that were not acknowledged`);
    this.#unacknowledged += byteLength + MESSAGE_OVERHEAD;
    this.#inbox.push(bytes);
    this.#deliver();
  }

  #onPeerEnd(isClosed: boolean): void {
    this.#hasPeerEnded = true;
    // As with a socket: what the peer has sent is delivered, and what is written now is lost.
    if (isClosed) this.#hasEnded = true;
    this.#deliver();
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    // In a microtask, because the session may still read bytes of its own buffer.
    if (this.#inbox.length > 0 || this.#hasPeerEnded)
      queueMicrotask(() => this.#run(() => this.#deliver()));
  }

  #deliver(): void {
    if (this.#isDelivering || this.#awaitsTurn) return;
    this.#isDelivering = true;
    try {
      while (!this.#isPaused && !this.#isFinished) {
        const bytes = this.#inbox.peek();
        if (bytes === undefined) break;
        // The session counts the work of its messages. Many sessions may get messages in one turn.
        if (isTurnOver()) return this.#waitForTurn();
        this.#inbox.shift();
        const { buffer, byteOffset, byteLength } = bytes;
        this.#events?.onData(wrap(buffer, byteOffset, byteLength));
        this.#acknowledge(byteLength + MESSAGE_OVERHEAD);
      }
    } finally {
      this.#isDelivering = false;
    }
    if (this.#isPeerGone) this.#finish(this.#goneError());
    if (!this.#hasPeerEnded || this.#inbox.length > 0 || this.#isPaused || this.#isFinished) return;
    if (!this.#isEndDelivered) {
      this.#isEndDelivered = true;
      this.#events?.onEnd();
    }
    this.#finishWhenBothEnded();
  }

  #waitForTurn(): void {
    this.#awaitsTurn = true;
    onNextTurn(() => {
      this.#awaitsTurn = false;
      this.#run(() => this.#deliver());
    });
  }

  #acknowledge(taken: number): void {
    this.#taken += taken;
    if (this.#taken < ACK_BYTES || this.#isFinished) return;
    this.#unacknowledged -= this.#taken;
    this.#port.postMessage(this.#taken);
    this.#taken = 0;
  }

  // ---- writing ----

  get bufferedBytes(): number {
    return this.#unsentBytes;
  }

  write(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += MAX_DATA_BYTES)
      this.#unsent.push(bytes.subarray(at, at + MAX_DATA_BYTES));
    this.#unsentBytes += bytes.length;
    this.#run(() => this.#sendWithinCredit());
  }

  #sendWithinCredit(): void {
    while (this.#inFlight < WINDOW && !this.#hasEnded && !this.#isFinished) {
      const bytes = this.#unsent.shift();
      if (bytes === undefined) break;
      // A copy, because a message has the whole buffer of its bytes. It is transferred.
      const own = new Uint8Array(bytes);
      this.#inFlight += own.length + MESSAGE_OVERHEAD;
      this.#unsentBytes -= own.length;
      this.#port.postMessage(own, [own.buffer]);
    }
    if (this.#isEnding && this.#unsent.length === 0) this.#sendEnd();
  }

  #onAcknowledged(count: number): void {
    if (!Number.isInteger(count) || count <= 0 || count > this.#inFlight)
      return this.#violate(`an acknowledgement of ${count} bytes, of ${this.#inFlight} sent`);
    this.#inFlight -= count;
    const before = this.#unsentBytes;
    this.#sendWithinCredit();
    if (this.#unsentBytes < before) this.#events?.onTaken();
  }

  // ---- closing ----

  end(): void {
    this.#isEnding = true;
    this.#run(() => this.#sendWithinCredit());
  }

  #sendEnd(): void {
    if (this.#hasEnded || this.#isFinished) return;
    this.#hasEnded = true;
    this.#port.postMessage(END);
    this.#finishWhenBothEnded();
  }

  /** Not before the end of the peer is delivered: bytes before it may still be in the inbox. */
  #finishWhenBothEnded(): void {
    if (this.#hasEnded && this.#isEndDelivered) this.#finish();
  }

  destroy(): void {
    this.#finish();
  }

  /** The thread, the page or the process of the peer has ended without a message. */
  #onPortClose(): void {
    if (this.#hasPeerEnded && this.#hasEnded) return;
    if (this.#awaitsTurn) this.#isPeerGone = true;
    else this.#finish(this.#goneError());
  }

  #goneError(): GettyError {
    return gettyError(
      'CONNECTION_LOST',
      `the connection to ${this.remoteAddress} was lost: the other end of the port is closed`,
    );
  }

  /** `what`: the object of `sent`. */
  #violate(what: string): void {
    this.#finish(gettyError('BAD_FRAME', `${this.remoteAddress} sent ${what}`));
  }

  #finish(error?: GettyError): void {
    if (this.#isFinished) return;
    this.#isFinished = true;
    this.#error = error;
    this.#inbox.clear();
    // #unsentBytes stays: the session must not see these bytes as sent.
    this.#unsent.clear();
    for (const unlisten of this.#unlisten) unlisten();
    quietly(() => this.#port.postMessage(CLOSE))();
    quietly(() => this.#port.close())();
    queueMicrotask(() => this.#events?.onClose(error));
  }
}
