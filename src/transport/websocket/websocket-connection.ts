import { isUtf8 } from 'node:buffer';
import { allocate } from '../../core/bytes.js';
import { GettyError, gettyError } from '../../core/errors.js';
import type { ByteWriter } from '../buffers/byte-writer.js';
import { NORMAL_CLOSE } from '../close-code.js';
import { destroyAfterLinger } from '../linger.js';
import type {
  Connection,
  ConnectionEvents,
  MessageLimits,
  PeerCertificate,
  WebSocketRequest,
} from '../types.js';
import { MessageInflater } from './deflate/message-inflater.js';
import type { FrameError } from './frames/frame-error.js';
import { COMPRESSED, FIN, OPCODE } from './frames/frame-header.js';
import {
  closePayload,
  completeFrame,
  controlFrame,
  minHeaderBytes,
} from './frames/frame-writer.js';
import type { HandshakeResult } from './handshake/handshake.js';
import { WebSocketReader } from './websocket-reader.js';

const EMPTY = allocate(0);

export interface ConnectionSettings extends HandshakeResult {
  readonly role: 'client' | 'server';
  /** Messages are sent as text if the codec does not set ByteWriter.asText. */
  readonly isText: boolean;
  /** The upgrade request, on a server. */
  readonly request?: WebSocketRequest | undefined;
}

/** The messages of a WebSocket over the stream of its frames, after the opening handshake. */
export class WebSocketConnection extends WebSocketReader implements Connection, ConnectionEvents {
  readonly protocol: string | undefined;
  readonly request: WebSocketRequest | undefined;
  readonly #settings: ConnectionSettings;
  /** Bytes written to the stream. */
  #written = 0;
  /** The session's onEnd() has been called. */
  #isEndReported = false;
  #lingerTimer: NodeJS.Timeout | undefined;

  /** `stream` begins with the first frame. */
  constructor(stream: Connection, settings: ConnectionSettings) {
    super(stream, settings.role === 'client');
    this.protocol = settings.protocol;
    this.request = settings.request;
    this.#settings = settings;
  }

  get certificate(): PeerCertificate | undefined {
    return this.stream.certificate;
  }

  get encrypted(): boolean | undefined {
    return this.stream.encrypted;
  }

  get socket(): object | undefined {
    return this.stream.socket;
  }

  get closeCode(): number | undefined {
    return this.closing.code;
  }

  get closeReason(): string | undefined {
    return this.closing.reason;
  }

  attach(events: ConnectionEvents, limits: MessageLimits): void {
    const { deflate } = this.#settings;
    const { maxMessageBytes, maxInflatedBytes } = limits;
    this.events = events;
    this.startReading({
      isMasked: !this.isMasked,
      maxMessageBytes,
      inflater:
        deflate &&
        new MessageInflater(maxMessageBytes, maxInflatedBytes, deflate.hasContextTakeover),
      onInflated: deflate && (() => this.onInflated()),
    });
    this.stream.attach(this, limits);
  }

  // ---- writing ----

  get bufferedBytes(): number {
    return this.stream.bufferedBytes;
  }

  get frameKey(): string | undefined {
    const { deflate, isText } = this.#settings;
    if (this.isMasked) return undefined;
    const kind = isText ? 'text' : 'binary';
    return deflate === undefined ? kind : `${kind} ${deflate.deflater.key}`;
  }

  beginMessage(output: ByteWriter): void {
    output.asText = this.#settings.isText;
    output.reserve(minHeaderBytes(this.isMasked));
  }

  endMessage(output: ByteWriter, start: number): void {
    const { deflate } = this.#settings;
    const isText = output.asText === true;
    let first = FIN | (isText ? OPCODE.text : OPCODE.binary);
    const content = start + minHeaderBytes(this.isMasked);
    if (isText && !isUtf8(output.bytes.subarray(content, output.length)))
      throw gettyError('ENCODE_FAILED', 'a text message must be UTF-8');
    const compressed = deflate?.deflater.deflate(output.bytes.subarray(content, output.length));
    if (compressed !== undefined) {
      output.length = content;
      output.append(compressed);
      first |= COMPRESSED;
    }
    completeFrame(output, start, first, this.isMasked);
  }

  write(bytes: Uint8Array): void {
    this.#written += bytes.length;
    this.stream.write(bytes);
  }

  #writeControl(opcode: number, payload: Uint8Array): void {
    this.write(controlFrame(opcode, payload, this.isMasked));
  }

  ping(): void {
    // Behind bytes that the peer does not read, a ping would only wait.
    if (!this.closing.isSent && this.stream.bufferedBytes === 0)
      this.#writeControl(OPCODE.ping, EMPTY);
  }

  protected override sendPongs(): void {
    if (!this.pongs?.isPending || this.closing.isSent || this.isClosed) return;
    const bytes = this.pongs.take(this.#written, this.stream.bufferedBytes);
    if (bytes !== undefined) this.write(bytes);
  }

  onTaken(): void {
    this.sendPongs();
    if (!this.isClosed) this.events?.onTaken();
  }

  // ---- closing ----

  end(code?: number, reason?: string): void {
    const { isSent, isReceived, code: peerCode } = this.closing;
    if (isSent || this.isClosed) return;
    this.#sendClose(code ?? (isReceived ? peerCode : NORMAL_CLOSE), reason);
    if (isReceived) this.#endStream();
  }

  #sendClose(code: number | undefined, reason?: string): void {
    this.closing.isSent = true;
    this.#writeControl(OPCODE.close, closePayload(code, reason));
  }

  /** Both close frames are sent. The server ends the stream first (RFC 6455, section 7.1.1). */
  #endStream(): void {
    if (this.#settings.role === 'server' || this.hasStreamEnded) this.stream.end();
  }

  protected override onReadingEnded(violation: FrameError | undefined): void {
    if (violation !== undefined) return this.#closeAfterViolation(violation);
    if (this.closing.isReceived) this.#reportEnd();
    if (this.hasStreamEnded) this.#closeAfterStreamEnd();
  }

  /** The close frame of the peer and all messages before it have been handled. */
  #reportEnd(): void {
    if (this.#isEndReported || this.isClosed) return;
    this.#isEndReported = true;
    if (this.closing.isSent) this.#endStream();
    this.events?.onEnd();
  }

  /** Sends what the session has written and a close frame, and closes the session at once. */
  #closeAfterViolation(violation: FrameError): void {
    if (this.isClosed) return;
    this.events?.onClosing?.();
    const { message, code, closeCode, cause } = violation;
    const error = new GettyError(code, `${this.remoteAddress}: ${message}`, cause);
    this.#endWithReason(closeCode, code);
    this.#close(error);
  }

  abort(closeCode: number, reason: string): void {
    if (this.isClosed) return;
    // The peer has a close frame already, and has had its time to read.
    if (this.closing.isSent) return this.destroy();
    this.#endWithReason(closeCode, reason);
    this.isClosed = true;
    this.stopReading();
    queueMicrotask(() => this.events?.onClose());
  }

  /** Sends a close frame. The session ends before the stream, which takes 1 s at most. */
  #endWithReason(closeCode: number, reason: string): void {
    if (!this.closing.isSent) this.#sendClose(closeCode, reason);
    this.stream.end();
    // What the peer sends is dropped. Unread bytes would make the system reset the connection.
    this.stream.resume();
    this.#lingerTimer = destroyAfterLinger(this.stream);
    this.stream.onSessionEnd?.();
  }

  /** The end of the stream is regular only after both close frames. */
  #closeAfterStreamEnd(): void {
    if (this.isClosed) return;
    const { isSent, isReceived } = this.closing;
    // After our close frame, the peer may omit its own, but not the rest of a message.
    const isCut = !isReceived && this.isInMessage;
    if (isSent && !isCut) this.stream.end();
    else if (!isReceived) {
      const { remoteAddress } = this;
      this.error = isCut
        ? gettyError('BAD_FRAME', `${remoteAddress} ended the stream inside a message`)
        : gettyError('CONNECTION_LOST', `${remoteAddress} ended the stream without a close frame`);
      this.stream.destroy();
    }
  }

  destroy(): void {
    this.stream.destroy();
  }

  refuse(status: number): void {
    if (this.stream.refuse === undefined) this.stream.destroy();
    else this.stream.refuse(status);
  }

  onMessage(): void {}

  onAlive(): void {}

  onClose(error?: Error): void {
    clearTimeout(this.#lingerTimer);
    // After both close frames nothing can be lost.
    this.#close(this.error ?? (this.closing.isComplete ? undefined : error));
  }

  #close(error: Error | undefined): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.stopReading();
    this.events?.onClose(error);
  }
}
