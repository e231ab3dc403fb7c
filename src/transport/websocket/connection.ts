/** A WebSocket as a connection: frames over a stream, when the handshake is done. */
import { isUtf8 } from 'node:buffer';
import { GettyError, gettyError } from '../../core/errors.js';
import type { ByteWriter } from '../byte-writer.js';
import { now } from '../tick.js';
import type { Connection, ConnectionEvents, MessageLimits, PeerCertificate, WebSocketRequest } from '../types.js';
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
const EMPTY = Buffer.alloc(0);
/** Going away, and no code at all, are orderly ends too. */
const ORDERLY: readonly (number | undefined)[] = [CLOSE.normal, 1001, undefined];

/** What the handshake led to. */
export interface WebSocketSettings {
  readonly role: 'client' | 'server';
  /** The subprotocol that both sides speak. */
  readonly protocol: string | undefined;
  readonly deflate: MessageDeflate | undefined;
  /** Messages are sent as text. */
  readonly text: boolean;
  /** Of a server. */
  readonly request?: WebSocketRequest;
}

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
  /** The latest ping that is not answered. */
  #ping: Buffer | undefined;
  /** Where the last pong ends in the stream of what was written. */
  #pongEnd = 0;
  #paused = false;
  #reading = false;
  #closeSent = false;
  #closeReceived = false;
  #peerCode: number | undefined;
  #streamEnded = false;
  /** When the message that is under way began to come, by now(); 0: none is. */
  #partialSince = 0;
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

  attach(events: ConnectionEvents, limits: MessageLimits): void {
    const { deflate } = this.#settings;
    const { maxMessageBytes, maxInflatedBytes } = limits;
    this.#events = events;
    this.#parser = new FrameParser({
      masked: !this.#masked,
      maxMessageBytes,
      inflate: deflate && ((bytes) => deflate.inflate(bytes, maxMessageBytes, maxInflatedBytes)),
    });
    this.#stream.attach(this, limits);
  }

  // ---- reading ----

  onData(chunk: Buffer): void {
    if (this.#over || this.#closeReceived) return;
    this.#parser?.feed(chunk);
    this.#events?.onAlive();
    this.#read();
  }

  #read(): void {
    if (this.#reading) return;
    this.#reading = true;
    while (!this.#paused && !this.#closeReceived && !this.#over) {
      const event = this.#next();
      if (event === undefined) break;
      this.#take(event);
    }
    this.#reading = false;
    if (!this.#parser?.midway) this.#partialSince = 0;
    else if (this.#partialSince === 0) this.#partialSince = now();
    this.#answerPing();
    if (this.#streamEnded && !this.#paused) this.#afterStreamEnd();
  }

  #next(): FrameEvent | undefined {
    try {
      return this.#parser?.next();
    } catch (error) {
      this.#fail(error as FrameError);
      return undefined;
    }
  }

  #take(event: FrameEvent): void {
    if (event.type === 'message') {
      this.#partialSince = 0;
      this.#events?.onMessage(event.bytes);
    } else if (event.type === 'ping') this.#ping = event.bytes;
    else if (event.type === 'close') this.#takeClose(event.code, event.reason);
  }

  #takeClose(code: number | undefined, reason: string): void {
    this.#closeReceived = true;
    this.#peerCode = code;
    if (!ORDERLY.includes(code)) {
      const why = reason === '' ? '' : `: ${JSON.stringify(reason)}`;
      this.#error = gettyError('CONNECTION_LOST', `${this.remoteAddress} closed with code ${code}${why}`);
    }
    if (this.#closeSent) this.#endStream();
    this.#events?.onEnd();
  }

  /** The peer broke the protocol or a limit: for us it is over; the peer is told why. */
  #fail(cause: FrameError): void {
    const { message, code, closeCode } = cause;
    const error = new GettyError(code, `${this.remoteAddress}: ${message}`, cause.cause);
    if (!this.#closeSent) this.#sendClose(closeCode);
    this.#stream.end();
    // Destroyed at once, the system would drop what is not sent, and our close with it when the peer goes on sending.
    this.#linger = setTimeout(() => this.#stream.destroy(), LINGER);
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

  /** Only the latest ping is answered, and only when the pong before is on its way: a flood of them must not fill our queue. */
  #answerPing(): void {
    if (this.#ping === undefined || this.#closeSent || this.#over) return;
    if (this.#written - this.#stream.bufferedBytes < this.#pongEnd) return;
    this.#control(OPCODE.pong, this.#ping);
    this.#ping = undefined;
    this.#pongEnd = this.#written;
  }

  partialFor(): number {
    if (this.#paused && this.#partialSince > 0) this.#partialSince = now();
    return this.#partialSince > 0 ? now() - this.#partialSince : 0;
  }

  pause(): void {
    this.#paused = true;
    this.#stream.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#read();
    // A listener may have paused again.
    if (!this.#paused) this.#stream.resume();
  }

  // ---- writing ----

  get bufferedBytes(): number {
    return this.#stream.bufferedBytes;
  }

  beginMessage(output: ByteWriter): void {
    output.reserve(headerRoom(this.#masked));
  }

  endMessage(output: ByteWriter, start: number): void {
    const { deflate, text } = this.#settings;
    let first = FIN | (text ? OPCODE.text : OPCODE.binary);
    const content = start + headerRoom(this.#masked);
    if (text && !isUtf8(output.bytes.subarray(content, output.length))) throw gettyError('ENCODE_FAILED', 'a text message must be UTF-8');
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

  end(): void {
    if (this.#closeSent || this.#over) return;
    this.#sendClose(this.#closeReceived ? this.#peerCode : CLOSE.normal);
    if (this.#closeReceived) this.#endStream();
  }

  #sendClose(code: number | undefined): void {
    this.#closeSent = true;
    this.#control(OPCODE.close, closePayload(code));
  }

  /** Both sides have sent their close; then it is the server that ends the stream first (RFC 6455, section 7.1.1). */
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
    this.#answerPing();
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
    this.#events?.onClose(error);
  }
}
