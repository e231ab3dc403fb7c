/** A WebSocket as a connection: frames over a stream, when the handshake is done. */

import { isUtf8 } from 'node:buffer';
import { keepable } from '../../core/bytes.js';
import { GettyError, gettyError } from '../../core/errors.js';
import { faultError, guarded } from '../../core/guard.js';
import { Queue } from '../../core/queue.js';
import { startTimer } from '../../core/timers.js';
import { MAX_WAITING_BYTES, onNextTurn, spend, unitsOf } from '../../core/turn.js';
import { ByteWriter } from '../buffers/byte-writer.js';
import { CloseError } from '../close-code.js';
import { now } from '../session/flush-scheduler.js';
import type {
  Connection,
  ConnectionEvents,
  MessageLimits,
  PeerCertificate,
  WebSocketRequest,
} from '../types.js';
import type { MessageDeflate } from './deflate.js';
import {
  CLOSE,
  COMPRESSED,
  closePayload,
  completeFrame,
  controlFrame,
  FIN,
  type FrameError,
  type FrameEvent,
  FrameParser,
  headerRoom,
  OPCODE,
} from './frames.js';

/** How long a peer that broke the protocol may take to read why, in ms. */
const LINGER = 1_000;
/**
 * How often a peer is told that this side is alive, while a message of it is under way.
 * Milliseconds.
 */
const SIGN_OF_LIFE_PERIOD = 200;
/**
 * Bytes that a paused session takes in, so that it answers the pings and hears the close behind
 * them. Then the stream is paused too. What a message takes in memory besides its bytes counts as
 * well: empty ones must not be free.
 */
const MAX_HELD_BYTES = 64 * 1024;
const HELD_OVERHEAD = 256;
/**
 * Bytes of pongs that wait for the peer to read. Beyond them only the latest ping is answered (RFC
 * 6455, section 5.5.3).
 */
const MAX_PONG_BYTES = 64 * 1024;
const EMPTY = Buffer.alloc(0);
/** Going away, and no code at all, are orderly ends too. */
const ORDERLY: readonly number[] = [CLOSE.normal, 1001];

/** What the handshake led to. */
export interface WebSocketSettings {
  readonly role: 'client' | 'server';
  /** The subprotocol that both sides speak. */
  readonly protocol: string | undefined;
  readonly deflate: MessageDeflate | undefined;
  /** Messages are sent as text where the codec does not say. */
  readonly text: boolean;
  /** Of a server. */
  readonly request?: WebSocketRequest | undefined;
}

type Message = Extract<FrameEvent, { type: 'message' }>;

export class WebSocketConnection implements Connection, ConnectionEvents {
  readonly localAddress: string;
  readonly remoteAddress: string;
  readonly protocol: string | undefined;
  readonly request: WebSocketRequest | undefined;
  readonly #stream: Connection;
  readonly #settings: WebSocketSettings;
  readonly #masked: boolean;
  #events: ConnectionEvents | undefined;
  #parser: FrameParser | undefined;
  #written = 0;
  /** Pongs that leave when what has come is read. */
  #pongs: ByteWriter | undefined;
  /** Bytes of pongs that the stream may not have taken yet. */
  #pongBytes = 0;
  /** Where the last pong ends in the stream of what was written. */
  #pongEnd = 0;
  /** The latest ping, while too many pongs wait for it to be answered. */
  #ping: Buffer | undefined;
  #paused = false;
  /** Messages that came while paused. */
  #held: Queue<Message> | undefined;
  #heldBytes = 0;
  /** What the peer did wrong. It takes effect when the messages before it are delivered. */
  #failure: FrameError | undefined;
  #reading = false;
  /** The share of this turn of the event loop is used up: the rest is read in the next. */
  #waitsForTurn = false;
  #closeSent = false;
  #closeReceived = false;
  /** The session knows that the peer has closed. */
  #endTold = false;
  #closeCode: number | undefined;
  #closeReason: string | undefined;
  #streamEnded = false;
  /** When the message that is under way began to come, by now(); 0: none is. */
  #partialSince = 0;
  /** When the last unsolicited pong was sent, by now(). */
  #signedAt = 0;
  /** onClose has been called. */
  #over = false;
  #error: Error | undefined;
  #linger: NodeJS.Timeout | undefined;

  /** `stream` is where the frames begin. */
  constructor(stream: Connection, settings: WebSocketSettings) {
    this.localAddress = stream.localAddress;
    this.remoteAddress = stream.remoteAddress;
    this.protocol = settings.protocol;
    this.request = settings.request;
    this.#stream = stream;
    this.#settings = settings;
    this.#masked = settings.role === 'client';
  }

  get certificate(): PeerCertificate | undefined {
    return this.#stream.certificate;
  }

  /** See Session. */
  get closeCode(): number | undefined {
    return this.#closeCode;
  }

  get closeReason(): string | undefined {
    return this.#closeReason;
  }

  attach(events: ConnectionEvents, limits: MessageLimits): void {
    const { deflate } = this.#settings;
    const { maxMessageBytes, maxInflatedBytes } = limits;
    this.#events = events;
    this.#parser = new FrameParser({
      masked: !this.#masked,
      maxMessageBytes,
      inflate: deflate && ((bytes) => deflate.inflate(bytes, maxMessageBytes, maxInflatedBytes)),
      inflateStart:
        deflate && ((bytes) => deflate.inflateStart(bytes, maxMessageBytes, maxInflatedBytes)),
      inflateLater:
        deflate &&
        ((bytes, done) => deflate.inflateLater(bytes, maxMessageBytes, maxInflatedBytes, done)),
      onInflated: deflate && (() => this.#onInflated()),
    });
    this.#stream.attach(this, limits);
  }

  // ---- reading ----

  onData(chunk: Buffer): void {
    if (this.#over || this.#closeReceived || this.#failure !== undefined) return;
    this.#parser?.feed(chunk);
    this.#events?.onAlive();
    if (this.#waitsForTurn) this.#pauseWhenWaiting();
    else this.#read();
  }

  #read(): void {
    if (this.#reading || this.#waitsForTurn) return;
    // Messages are counted by the session, but not the control frames and fragments that may be
    // here.
    if (this.#parser !== undefined && spend(unitsOf(this.#parser.bufferedBytes)))
      return this.#waitForTurn();
    this.#reading = true;
    while (!this.#over) {
      if (this.#held !== undefined && !this.#paused) {
        this.#deliverHeld(this.#held);
        continue;
      }
      if (this.#closeReceived || this.#failure !== undefined) break;
      if (this.#paused && this.#heldBytes >= MAX_HELD_BYTES) break;
      const event = this.#next();
      if (event === undefined) break;
      this.#take(event);
    }
    this.#reading = false;
    this.#parser?.release();
    if (!this.#parser?.midway) this.#partialSince = 0;
    else if (this.#partialSince === 0) this.#partialSince = now();
    else this.#giveSignOfLife();
    this.#answerPings();
    if (this.#parser?.isInflating) this.#stream.pause();
    else if (this.#paused) this.#pauseWhenFull();
    else if (this.#failure !== undefined) this.#fail(this.#failure);
    else {
      if (this.#closeReceived) this.#tellEnd();
      if (this.#streamEnded) this.#afterStreamEnd();
    }
  }

  #waitForTurn(): void {
    this.#waitsForTurn = true;
    this.#pauseWhenWaiting();
    const goOn = (): void => {
      this.#waitsForTurn = false;
      this.#read();
      if (!this.#paused && !this.#waitsForTurn) this.#stream.resume();
    };
    const failed = (error: unknown): void => {
      this.#error = faultError(this.remoteAddress, error);
      this.#stream.destroy();
    };
    onNextTurn(guarded(goOn, failed));
  }

  #pauseWhenWaiting(): void {
    if ((this.#parser?.bufferedBytes ?? 0) >= MAX_WAITING_BYTES) this.#stream.pause();
  }

  /** A large message is inflated, for which the stream was paused. */
  #onInflated(): void {
    if (this.#over) return;
    this.#stream.resume();
    this.#read();
  }

  #next(): FrameEvent | undefined {
    try {
      return this.#parser?.next();
    } catch (error) {
      this.#failure = error as FrameError;
      return undefined;
    }
  }

  #take(event: FrameEvent): void {
    if (event.type === 'message') {
      this.#partialSince = 0;
      if (this.#paused) this.#hold(event);
      else this.#events?.onMessage(event.bytes, event.text, event.start, event.end);
    } else if (event.type === 'ping') this.#takePing(event.bytes);
    else if (event.type === 'close') this.#takeClose(event.code, event.reason);
  }

  /** A view would keep its whole chunk, which may hold little besides pongs. */
  #hold({ type, bytes, start, end, text }: Message): void {
    const kept = keepable(bytes, start, end);
    this.#held ??= new Queue();
    this.#held.push({ type, bytes: kept, start: 0, end: kept.length, text });
    this.#heldBytes += kept.length + HELD_OVERHEAD;
  }

  /** One by one: the session may pause at any of them. */
  #deliverHeld(held: Queue<Message>): void {
    const message = held.shift();
    if (held.length === 0) this.#held = undefined;
    if (message === undefined) return;
    this.#heldBytes -= message.end - message.start + HELD_OVERHEAD;
    this.#events?.onMessage(message.bytes, message.text, message.start, message.end);
  }

  /** A message that is not whole counts too. */
  #pauseWhenFull(): void {
    if (this.#heldBytes + (this.#parser?.bufferedBytes ?? 0) >= MAX_HELD_BYTES)
      this.#stream.pause();
  }

  #takeClose(code: number | undefined, reason: string): void {
    this.#closeReceived = true;
    this.#closeCode = code;
    this.#closeReason = reason;
    if (code === undefined || ORDERLY.includes(code)) return;
    const why = reason === '' ? '' : `: ${JSON.stringify(reason)}`;
    this.#error = new CloseError(
      `${this.remoteAddress} closed with code ${code}${why}`,
      code,
      reason,
    );
  }

  /** The peer has closed, and every message before its close is delivered. */
  #tellEnd(): void {
    if (this.#endTold || this.#over) return;
    this.#endTold = true;
    if (this.#closeSent) this.#endStream();
    this.#events?.onEnd();
  }

  /**
   * The peer broke the protocol or a limit: for us it is over; the peer is told why, after what was
   * written for it.
   */
  #fail(cause: FrameError): void {
    if (this.#over) return;
    this.#events?.onClosing?.();
    const { message, code, closeCode } = cause;
    const error = new GettyError(code, `${this.remoteAddress}: ${message}`, cause.cause);
    if (!this.#closeSent) this.#sendClose(closeCode);
    this.#stream.end();
    // Destroyed at once, the system would drop what is not sent, and our close with it when the
    // peer goes on sending.
    this.#linger = startTimer(() => this.#stream.destroy(), LINGER);
    this.#stream.linger?.();
    this.#finish(error);
  }

  /** The stream itself ended, which only makes sense when both sides have said so in frames. */
  #afterStreamEnd(): void {
    if (this.#over) return;
    if (this.#closeSent) this.#stream.end();
    else if (!this.#closeReceived) {
      const { remoteAddress } = this;
      this.#error = this.#parser?.midway
        ? gettyError('BAD_FRAME', `${remoteAddress} ended the stream inside a message`)
        : gettyError('CONNECTION_LOST', `${remoteAddress} ended the stream without a close`);
      this.#stream.destroy();
    }
  }

  /**
   * Each ping has its pong, as long as the peer reads them: a flood of pings must not fill our
   * queue.
   */
  #takePing(payload: Buffer): void {
    if (this.#ping !== undefined || !this.#addPong(payload))
      this.#ping = keepable(payload, 0, payload.length);
  }

  /** False: too many wait for the peer to read. */
  #addPong(payload: Uint8Array): boolean {
    if (this.#pongBytes >= MAX_PONG_BYTES) return false;
    this.#pongs ??= new ByteWriter(128);
    const start = this.#pongs.reserve(headerRoom(this.#masked));
    this.#pongs.append(payload);
    completeFrame(this.#pongs, start, FIN | OPCODE.pong, this.#masked);
    this.#pongBytes += this.#pongs.length - start;
    return true;
  }

  /**
   * A message is under way for long: an unsolicited pong (RFC 6455, section 5.5.3) tells the peer
   * that this side is alive.
   */
  #giveSignOfLife(): void {
    const time = now();
    if (time - Math.max(this.#partialSince, this.#signedAt) < SIGN_OF_LIFE_PERIOD) return;
    this.#signedAt = time;
    this.#addPong(EMPTY);
  }

  #answerPings(): void {
    if (this.#pongs === undefined && this.#ping === undefined) return;
    if (this.#closeSent || this.#over) return;
    // Those before them have left.
    if (this.#written - this.#stream.bufferedBytes >= this.#pongEnd)
      this.#pongBytes = this.#pongs?.length ?? 0;
    if (this.#ping !== undefined && this.#addPong(this.#ping)) this.#ping = undefined;
    if (this.#pongs === undefined) return;
    const { written } = this.#pongs;
    this.#pongs = undefined;
    this.write(written);
    this.#pongEnd = this.#written;
  }

  incompleteMessageAge(): number {
    if (this.#paused && this.#partialSince > 0) this.#partialSince = now();
    return this.#partialSince > 0 ? now() - this.#partialSince : 0;
  }

  /**
   * Frames are still read until enough is held: a peer whose pings are not answered would think
   * that we are gone.
   */
  pause(): void {
    this.#paused = true;
    if (!this.#reading) this.#pauseWhenFull();
  }

  resume(): void {
    this.#paused = false;
    this.#read();
    // A listener may have paused again.
    if (!this.#paused && !this.#waitsForTurn) this.#stream.resume();
  }

  // ---- writing ----

  get bufferedBytes(): number {
    return this.#stream.bufferedBytes;
  }

  beginMessage(output: ByteWriter): void {
    output.asText = this.#settings.text;
    output.reserve(headerRoom(this.#masked));
  }

  endMessage(output: ByteWriter, start: number): void {
    const { deflate } = this.#settings;
    const text = output.asText === true;
    let first = FIN | (text ? OPCODE.text : OPCODE.binary);
    const content = start + headerRoom(this.#masked);
    if (text && !isUtf8(output.bytes.subarray(content, output.length)))
      throw gettyError('ENCODE_FAILED', 'a text message must be UTF-8');
    const compressed = deflate?.deflate(output.bytes.subarray(content, output.length));
    if (compressed !== undefined) {
      output.length = content;
      output.append(compressed);
      first |= COMPRESSED;
    }
    completeFrame(output, start, first, this.#masked);
  }

  write(bytes: Uint8Array): void {
    this.#written += bytes.length;
    this.#stream.write(bytes);
  }

  #control(opcode: number, payload: Uint8Array): void {
    this.write(controlFrame(opcode, payload, this.#masked));
  }

  ping(): void {
    // Behind what the peer does not read a ping would only wait too.
    if (!this.#closeSent && this.#stream.bufferedBytes === 0) this.#control(OPCODE.ping, EMPTY);
  }

  // ---- the end ----

  end(code?: number, reason?: string): void {
    if (this.#closeSent || this.#over) return;
    this.#sendClose(code ?? (this.#closeReceived ? this.#closeCode : CLOSE.normal), reason);
    if (this.#closeReceived) this.#endStream();
  }

  #sendClose(code: number | undefined, reason?: string): void {
    this.#closeSent = true;
    this.#control(OPCODE.close, closePayload(code, reason));
  }

  /**
   * Both sides have sent their close; then it is the server that ends the stream first (RFC 6455,
   * section 7.1.1).
   */
  #endStream(): void {
    if (this.#settings.role === 'server' || this.#streamEnded) this.#stream.end();
  }

  destroy(): void {
    this.#stream.destroy();
  }

  refuse(status: number): void {
    if (this.#stream.refuse === undefined) this.#stream.destroy();
    else this.#stream.refuse(status);
  }

  onMessage(): void {}

  onAlive(): void {}

  onTaken(): void {
    this.#answerPings();
    if (!this.#over) this.#events?.onTaken();
  }

  onEnd(): void {
    this.#streamEnded = true;
    this.#read();
  }

  onClose(error?: Error): void {
    clearTimeout(this.#linger);
    // After both closes there is nothing to lose.
    this.#finish(this.#error ?? (this.#closeSent && this.#closeReceived ? undefined : error));
  }

  #finish(error: Error | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#held = undefined;
    this.#parser = undefined;
    this.#events?.onClose(error);
  }
}
