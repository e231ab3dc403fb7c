import { faultError, guarded } from '../../core/guard.js';
import { MAX_WAITING_BYTES, onNextTurn, spend, unitsOf } from '../../core/turn.js';
import { now } from '../session/flush-scheduler.js';
import type { Connection, ConnectionEvents } from '../types.js';
import { ClosingHandshake } from './closing-handshake.js';
import type { FrameError } from './frames/frame-error.js';
import { FRAGMENTS_AT_ONCE, type FrameEvent, type ReceivedMessage } from './frames/frame-event.js';
import { FrameParser, type FrameRules } from './frames/frame-parser.js';
import { PendingMessages } from './pending-messages.js';
import { PongQueue } from './pong-queue.js';

/**
 * The memory of pending messages and unread frames, in bytes, at which a paused session pauses its
 * stream.
 */
const MAX_PENDING_BYTES = 64 * 1024;

/** The receiving half of a WebSocketConnection: frames of the stream become messages. */
export abstract class WebSocketReader {
  readonly localAddress: string;
  readonly remoteAddress: string;
  protected readonly stream: Connection;
  /** We mask our frames. */
  protected readonly isMasked: boolean;
  protected readonly closing = new ClosingHandshake();
  protected events: ConnectionEvents | undefined;
  /** Undefined until the first pong. */
  protected pongs: PongQueue | undefined;
  /** The stream has no more bytes. */
  protected hasStreamEnded = false;
  /** The session's onClose() has been called. */
  protected isClosed = false;
  /** The error for the session's onClose(). */
  protected error: Error | undefined;
  #parser: FrameParser | undefined;
  #pending: PendingMessages | undefined;
  #isPaused = false;
  #isReading = false;
  /** The budget of this turn of the event loop is used up. Reading continues in the next turn. */
  #isWaitingForTurn = false;
  /** The violation of the peer. It is handled after the messages before it. */
  #violation: FrameError | undefined;
  /** When the incomplete message began to arrive, by now(); 0 if there is none. */
  #incompleteSince = 0;

  constructor(stream: Connection, isMasked: boolean) {
    this.localAddress = stream.localAddress;
    this.remoteAddress = stream.remoteAddress;
    this.stream = stream;
    this.isMasked = isMasked;
  }

  protected startReading(rules: FrameRules): void {
    this.#parser = new FrameParser(rules);
  }

  /** Releases all memory of frames and messages. */
  protected stopReading(): void {
    this.#pending = undefined;
    this.#parser = undefined;
  }

  /** A frame or a message has begun and is not complete. */
  protected get isInMessage(): boolean {
    return this.#parser?.isInMessage ?? false;
  }

  /** Writes the pongs of the frames that have been read. */
  protected abstract sendPongs(): void;

  /**
   * No further message follows, after a violation, a close frame of the peer or the end of the
   * stream. All messages are delivered. It may be called again.
   */
  protected abstract onReadingEnded(violation: FrameError | undefined): void;

  onData(chunk: Buffer): void {
    if (this.isClosed || this.closing.isReceived || this.#violation !== undefined) return;
    this.#parser?.feed(chunk);
    this.events?.onAlive();
    if (this.#isWaitingForTurn) this.#limitWaitingBytes();
    else this.#read();
  }

  onEnd(): void {
    this.hasStreamEnded = true;
    this.#read();
  }

  /** A message has been inflated on another thread. The stream was paused for it. */
  protected onInflated(): void {
    if (this.isClosed) return;
    this.stream.resume();
    this.#read();
  }

  /**
   * Stops delivering messages. Frames are read until MAX_PENDING_BYTES, because the peer expects
   * answers to its pings.
   */
  pause(): void {
    this.#isPaused = true;
    if (!this.#isReading) this.#limitPendingBytes();
  }

  resume(): void {
    this.#isPaused = false;
    this.#read();
    // The listener may have paused again.
    if (!this.#isPaused && !this.#isWaitingForTurn) this.stream.resume();
  }

  incompleteMessageAge(): number {
    if (this.#isPaused && this.#incompleteSince > 0) this.#incompleteSince = now();
    return this.#incompleteSince > 0 ? now() - this.#incompleteSince : 0;
  }

  #read(): void {
    if (this.#isReading || this.#isWaitingForTurn) return;
    // The session counts messages. This counts the bytes of fragments.
    if (this.#parser !== undefined && spend(unitsOf(this.#parser.bufferedBytes)))
      return this.#waitForTurn();
    this.#isReading = true;
    let isTurnOver = false;
    while (!this.isClosed && !isTurnOver) {
      if (!this.#isPaused && this.#pending !== undefined) {
        // One at a time, because each message may pause the session.
        this.#deliverPending(this.#pending);
        continue;
      }
      if (this.closing.isReceived || this.#violation !== undefined) break;
      if (this.#isPaused && this.#pendingBytes >= MAX_PENDING_BYTES) break;
      const event = this.#nextEvent();
      if (event === undefined) break;
      this.#handle(event);
      // A chunk may have very many control frames or fragments.
      if (event.type !== 'message')
        isTurnOver = spend(event.type === 'fragments' ? FRAGMENTS_AT_ONCE : 1);
    }
    this.#isReading = false;
    if (isTurnOver) {
      this.sendPongs();
      return this.#waitForTurn();
    }
    this.#parser?.release();
    if (!this.#parser?.isInMessage) this.#incompleteSince = 0;
    else if (this.#incompleteSince === 0) this.#incompleteSince = now();
    else this.#pongQueue().addUnsolicited(this.#incompleteSince);
    this.sendPongs();
    if (this.#parser?.isInflating) this.stream.pause();
    else if (this.#isPaused) this.#limitPendingBytes();
    else if (this.#violation !== undefined || this.closing.isReceived || this.hasStreamEnded)
      this.onReadingEnded(this.#violation);
  }

  #waitForTurn(): void {
    this.#isWaitingForTurn = true;
    this.#limitWaitingBytes();
    const resume = (): void => {
      this.#isWaitingForTurn = false;
      this.#read();
      // A paused session still answers the pings of its peer.
      if (!this.#isWaitingForTurn && !(this.#isPaused && this.#isFull)) this.stream.resume();
    };
    const onFault = (error: unknown): void => {
      this.error = faultError(this.remoteAddress, error);
      this.stream.destroy();
    };
    onNextTurn(guarded(resume, onFault));
  }

  #limitWaitingBytes(): void {
    if ((this.#parser?.bufferedBytes ?? 0) >= MAX_WAITING_BYTES) this.stream.pause();
  }

  #limitPendingBytes(): void {
    if (this.#isFull) this.stream.pause();
  }

  get #isFull(): boolean {
    return this.#pendingBytes + (this.#parser?.bufferedBytes ?? 0) >= MAX_PENDING_BYTES;
  }

  get #pendingBytes(): number {
    return this.#pending === undefined ? 0 : this.#pending.bytes;
  }

  #nextEvent(): FrameEvent | undefined {
    try {
      return this.#parser?.next();
    } catch (error) {
      this.#violation = error as FrameError;
      return undefined;
    }
  }

  #handle(event: FrameEvent): void {
    if (event.type === 'message') {
      this.#incompleteSince = 0;
      if (this.#isPaused) this.#enqueue(event);
      else this.events?.onMessage(event.bytes, event.isText, event.start, event.end);
    } else if (event.type === 'ping') this.#pongQueue().answer(event.bytes);
    else if (event.type === 'close')
      this.error = this.closing.receive(event, this.remoteAddress) ?? this.error;
  }

  #enqueue(message: ReceivedMessage): void {
    this.#pending ??= new PendingMessages();
    this.#pending.push(message);
  }

  #deliverPending(pending: PendingMessages): void {
    const message = pending.shift();
    if (pending.length === 0) this.#pending = undefined;
    if (message !== undefined)
      this.events?.onMessage(message.bytes, message.isText, message.start, message.end);
  }

  #pongQueue(): PongQueue {
    this.pongs ??= new PongQueue(this.isMasked);
    return this.pongs;
  }
}
