/**
 * WebSocket frames (RFC 6455, section 5) as functions of bytes: what arrives becomes events, what
 * is sent gets its header.
 */
import { isUtf8 } from 'node:buffer';
import { allocate } from '../../core/bytes.js';
import { type ErrorCode, GettyError } from '../../core/errors.js';
import { ByteReader } from '../buffers/byte-reader.js';
import { ByteWriter } from '../buffers/byte-writer.js';
import { isCloseCode } from '../close-code.js';
import { applyMask, keyAt, newMask } from './mask.js';
import { Utf8Validator } from './utf8.js';

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;
/**
 * In a frame's first byte, beside the opcode: the last frame of its message; its message is
 * compressed.
 */
export const FIN = 0x80;
export const COMPRESSED = 0x40;
const OTHER_RESERVED = 0x30;
const MASKED = 0x80;
const LENGTH_16 = 126;
const LENGTH_64 = 127;
const LARGEST_CONTROL = 125;
/**
 * The headers of a message's fragments may take so many bytes besides maxMessageBytes: empty
 * fragments are bounded by them.
 */
const FRAGMENT_HEADERS = 64 * 1024;
/** Bytes that the buffer of a message in fragments holds at first. */
const FIRST_GATHER = 1024;
const EMPTY = allocate(0);
/**
 * A compressed message of more bytes is inflated on another thread: zlib may take 80 ns for each
 * byte that comes, whatever it inflates to.
 */
const LARGE_COMPRESSED = 64 * 1024;
const UNDER_WAY = 1;

/** Why a connection is closed: RFC 6455, section 7.4.1. */
export const CLOSE = { normal: 1000, protocolError: 1002, badText: 1007, tooLarge: 1009 } as const;

/**
 * The orderly close of Go's getty up to version 1.3, as it is sent: its first two bytes stand where
 * RFC 6455 has the code, and are 25209.
 */
const GO_CLOSE = Buffer.from('bye-bye!!!!');

/** The peer broke the protocol or a limit; `closeCode` says it to the peer. */
export class FrameError extends GettyError {
  readonly closeCode: number;

  constructor(closeCode: number, message: string, code: ErrorCode = 'BAD_FRAME', cause?: unknown) {
    super(code, message, cause);
    this.name = 'FrameError';
    this.closeCode = closeCode;
  }
}

/** What a peer sent. The bytes belong to the receiver. */
export type FrameEvent =
  /**
   * The message lies between `start` and `end` of `bytes`: a view of each message would cost more
   * than the rest of its frame.
   */
  | {
      readonly type: 'message';
      readonly bytes: Buffer;
      readonly start: number;
      readonly end: number;
      readonly text: boolean;
    }
  | { readonly type: 'ping' | 'pong'; readonly bytes: Buffer }
  /** Without a code the peer gave none. */
  | { readonly type: 'close'; readonly code: number | undefined; readonly reason: string };

/** What is asked of the peer's frames. */
export interface FrameRules {
  /** Clients mask their frames, servers do not. */
  readonly masked: boolean;
  readonly maxMessageBytes: number;
  /** There when compressed messages were agreed on. Throws FrameError. */
  readonly inflate?: ((bytes: Buffer) => Buffer) | undefined;
  /**
   * The same for the first bytes of a message, as far as they go. Without it compressed text is
   * only checked as a whole.
   */
  readonly inflateStart?: ((bytes: Buffer) => Buffer) | undefined;
  /**
   * Inflates a message of more than 64 KiB, and calls `done` in a later turn. Without it `inflate`
   * does all.
   */
  readonly inflateLater?:
    | ((bytes: Buffer, done: (result: Buffer | FrameError) => void) => void)
    | undefined;
  /** A message is inflated for which next() had to wait. */
  readonly onInflated?: (() => void) | undefined;
}

/**
 * Feed it chunks, and take events off until there are no more. After it has thrown nothing sensible
 * follows.
 */
export class FrameParser {
  readonly #rules: FrameRules;
  readonly #input = new ByteReader();
  /**
   * Of the message that is under way: its opcode (0: none is), its first byte's COMPRESSED, and the
   * bytes of its headers so far.
   */
  #opcode = 0;
  #compressed = false;
  #headerBytes = 0;
  /**
   * The payloads of its fragments so far, from the front of a buffer that has room for more.
   * Undefined: it has no fragments.
   */
  #gathered: Buffer | undefined;
  #gatheredBytes = 0;
  /** Of a text message that arrives in pieces and is not compressed. */
  #utf8: Utf8Validator | undefined;
  /** So many bytes of a compressed text message are inflated and checked before it is whole. */
  #nextCheck = 0;
  /** Bytes at the front of an incomplete text frame's payload that are unmasked and checked. */
  #checked = 0;
  /**
   * Of a message that is inflated on another thread: that it is under way, then what came of it.
   */
  #inflated: typeof UNDER_WAY | Buffer | FrameError | undefined;
  #inflatedIsText = false;

  constructor(rules: FrameRules) {
    this.#rules = rules;
  }

  /** The chunk belongs to the parser from here on; it is unmasked in place. */
  feed(chunk: Buffer): void {
    this.#input.feed(chunk);
  }

  /** No more is read for now: keep no more memory than the unread bytes need. */
  release(): void {
    this.#input.release();
  }

  /** Whether a frame or a message has begun and not ended. */
  get midway(): boolean {
    return this.#input.length > 0 || this.#opcode !== 0 || this.#inflated !== undefined;
  }

  /** Whether next() waits for a message that is inflated on another thread. */
  get isInflating(): boolean {
    return this.#inflated === UNDER_WAY;
  }

  /** Bytes that wait for the rest of their frame or message. */
  get bufferedBytes(): number {
    return this.#input.length + this.#gatheredBytes;
  }

  /** The next event, or undefined while it is not whole. Throws FrameError. */
  next(): FrameEvent | undefined {
    if (this.#inflated !== undefined) return this.#takeInflated();
    const input = this.#input;
    while (input.length >= 2) {
      const first = input.bytes[input.position] as number;
      const second = input.bytes[input.position + 1] as number;
      this.#checkStart(first, second);
      const lengthBytes = extraLengthBytes(second & ~MASKED);
      if (input.length < 2 + lengthBytes) return undefined;
      const size = this.#readLength(second & ~MASKED);
      if ((first & 0x08) === 0)
        this.#checkSize(size, opens(first) ? (first & COMPRESSED) !== 0 : this.#compressed);
      const header = 2 + lengthBytes + (this.#rules.masked ? 4 : 0);
      if (input.length < header + size) {
        input.want(header + size);
        if (input.length > header && this.#isPlainText(first)) this.#checkIncomplete(first, header);
        return undefined;
      }
      input.skip(header);
      const key = this.#rules.masked ? input.bytes.readUInt32BE(input.position - 4) : 0;
      const { bytes, position: start } = input;
      const end = start + size;
      const checked = start + this.#checked;
      this.#checked = 0;
      if (key !== 0) applyMask(bytes, checked, end, keyAt(key, checked - start));
      input.skip(size);
      const event =
        (first & 0x08) === 0
          ? this.#dataFrame(first, header, bytes, start, end, checked)
          : controlEvent(first & 0x0f, bytes.subarray(start, end));
      if (event !== undefined) return event;
      if (this.#inflated !== undefined) return undefined;
    }
    return undefined;
  }

  #takeInflated(): FrameEvent | undefined {
    const inflated = this.#inflated;
    if (inflated === UNDER_WAY || inflated === undefined) return undefined;
    this.#inflated = undefined;
    if (inflated instanceof FrameError) throw inflated;
    if (this.#inflatedIsText && !isUtf8(inflated)) throw badText();
    return messageEvent(inflated, this.#inflatedIsText);
  }

  /**
   * All that the first two bytes can be wrong in: it is found before anything is waited for or made
   * room for.
   */
  #checkStart(first: number, second: number): void {
    const opcode = first & 0x0f;
    const fin = (first & FIN) !== 0;
    if ((first & OTHER_RESERVED) !== 0) throw protocolError('a reserved bit is set');
    if (((second & MASKED) !== 0) !== this.#rules.masked)
      throw protocolError(
        this.#rules.masked ? 'a client must mask its frames' : 'a server must not mask its frames',
      );
    if ((first & COMPRESSED) !== 0 && (this.#rules.inflate === undefined || !opens(first)))
      throw protocolError('a frame is compressed that must not be');
    if (opcode >= OPCODE.close) {
      if (opcode > OPCODE.pong) throw protocolError(`opcode ${opcode} is reserved`);
      if (!fin) throw protocolError('a control frame must not be fragmented');
      if ((second & ~MASKED) > LARGEST_CONTROL)
        throw protocolError(`a control frame holds at most ${LARGEST_CONTROL} bytes`);
      return;
    }
    if (opcode > OPCODE.binary) throw protocolError(`opcode ${opcode} is reserved`);
    if (opcode === OPCODE.continuation && this.#opcode === 0)
      throw protocolError('a continuation of no message');
    if (opcode !== OPCODE.continuation && this.#opcode !== 0)
      throw protocolError('a message begins inside another');
  }

  #readLength(code: number): number {
    if (code < LENGTH_16) return code;
    const { view, position } = this.#input;
    if (code === LENGTH_16) {
      const length = view.getUint16(position + 2);
      if (length < LENGTH_16) throw protocolError('a length takes more bytes than it needs');
      return length;
    }
    const high = view.getUint32(position + 2);
    if (high > 0x7fffffff) throw protocolError('a length has more than 63 bits');
    const length = high * 2 ** 32 + view.getUint32(position + 6);
    if (length < 65536) throw protocolError('a length takes more bytes than it needs');
    return length;
  }

  #checkSize(size: number, compressed: boolean): void {
    const total = size + this.#gatheredBytes;
    if (total <= this.#limit(compressed)) return;
    const what = `a message of at least ${total} bytes came; maxMessageBytes is ${this.#rules.maxMessageBytes}`;
    throw new FrameError(CLOSE.tooLarge, what, 'MESSAGE_TOO_LARGE');
  }

  /** The most bytes that the payloads of a message may have. */
  #limit(compressed: boolean): number {
    const { maxMessageBytes } = this.#rules;
    // Content that cannot be compressed grows a little.
    return compressed ? maxMessageBytes + (maxMessageBytes >>> 10) + 64 : maxMessageBytes;
  }

  /** Whether the frame that `first` begins is of a text message that is not compressed. */
  #isPlainText(first: number): boolean {
    if (opens(first)) return (first & 0x0f) === OPCODE.text && (first & COMPRESSED) === 0;
    return (first & 0x08) === 0 && this.#opcode === OPCODE.text && !this.#compressed;
  }

  /**
   * Text is checked as it comes: a peer that sends a bad byte is told at once, and not after
   * megabytes.
   */
  #checkIncomplete(first: number, header: number): void {
    const { bytes, position, length } = this.#input;
    const start = position + header + this.#checked;
    const end = position + length;
    if (this.#rules.masked)
      applyMask(bytes, start, end, keyAt(bytes.readUInt32BE(position + header - 4), this.#checked));
    if (opens(first) && this.#checked === 0) this.#utf8 = new Utf8Validator();
    this.#checkText(bytes, start, end);
    this.#checked = length - header;
  }

  /**
   * Inflates what has come of a compressed text in fragments. zlib begins at the front each time.
   * So the next check waits until the message has twice as many bytes, and as many as this check
   * inflated: all checks but the last cost no more than the bytes that came. A large message is
   * checked when it is whole.
   */
  #checkCompressed(): void {
    const { inflateStart } = this.#rules;
    if (
      inflateStart === undefined ||
      this.#gathered === undefined ||
      this.#gatheredBytes <= this.#nextCheck
    )
      return;
    if (this.#gatheredBytes > LARGE_COMPRESSED) return;
    const bytes = inflateStart(this.#gathered.subarray(0, this.#gatheredBytes));
    this.#nextCheck = Math.max(this.#gatheredBytes * 2, bytes.length);
    if (!new Utf8Validator().push(bytes, 0, bytes.length)) throw badText();
  }

  #checkText(bytes: Uint8Array, start: number, end: number): void {
    this.#utf8 ??= new Utf8Validator();
    if (!this.#utf8.push(bytes, start, end)) throw badText();
  }

  /**
   * The payload lies between `start` and `end`. `header`: its bytes. `checked`: where the text
   * begins that checkIncomplete() has not seen.
   */
  #dataFrame(
    first: number,
    header: number,
    bytes: Buffer,
    start: number,
    end: number,
    checked: number,
  ): FrameEvent | undefined {
    const isLast = (first & FIN) !== 0;
    if (opens(first)) {
      this.#opcode = first & 0x0f;
      this.#compressed = (first & COMPRESSED) !== 0;
    }
    if ((!isLast || this.#utf8 !== undefined) && this.#isPlainText(first))
      this.#checkText(bytes, checked, end);
    if (!isLast) {
      this.#countHeader(header);
      this.#gather(bytes.subarray(start, end), false);
      if (this.#compressed && this.#opcode === OPCODE.text) this.#checkCompressed();
      return undefined;
    }
    const text = this.#opcode === OPCODE.text;
    this.#opcode = 0;
    if (this.#gathered === undefined && !this.#compressed) {
      if (text && !this.#endText(bytes, start, end)) throw badText();
      return { type: 'message', bytes, start, end, text };
    }
    return this.#wholeMessage(bytes.subarray(start, end), text);
  }

  /**
   * The last frame of a message that has several, or is compressed. Undefined: it is inflated on
   * another thread.
   */
  #wholeMessage(payload: Buffer, text: boolean): FrameEvent | undefined {
    let bytes = payload;
    if (this.#gathered !== undefined) {
      this.#gather(payload, true);
      bytes = this.#gathered.subarray(0, this.#gatheredBytes);
      this.#gathered = undefined;
      this.#gatheredBytes = 0;
      this.#headerBytes = 0;
      this.#nextCheck = 0;
    }
    if (this.#compressed && this.#rules.inflate !== undefined) {
      const { inflateLater } = this.#rules;
      if (inflateLater !== undefined && bytes.length > LARGE_COMPRESSED) {
        this.#inflated = UNDER_WAY;
        this.#inflatedIsText = text;
        inflateLater(bytes, this.#onInflated);
        return undefined;
      }
      bytes = this.#rules.inflate(bytes);
    }
    if (text && !this.#endText(bytes, 0, bytes.length)) throw badText();
    return messageEvent(bytes, text);
  }

  readonly #onInflated = (result: Buffer | FrameError): void => {
    this.#inflated = result;
    this.#rules.onInflated?.();
  };

  #endText(bytes: Buffer, start: number, end: number): boolean {
    if (this.#utf8 === undefined) return isUtf8(bytes.subarray(start, end));
    const { isComplete } = this.#utf8;
    this.#utf8 = undefined;
    return isComplete;
  }

  #countHeader(header: number): void {
    this.#headerBytes += header;
    const limit = this.#rules.maxMessageBytes + FRAGMENT_HEADERS;
    if (this.#headerBytes > limit)
      throw new FrameError(
        CLOSE.tooLarge,
        `the headers of a message's fragments take more than ${limit} bytes`,
        'MESSAGE_TOO_LARGE',
      );
  }

  /**
   * Fragments are copied: as views, many small ones would keep as many large chunks in memory. The
   * buffer doubles, up to what the message may have.
   */
  #gather(payload: Buffer, isLast: boolean): void {
    const total = this.#gatheredBytes + payload.length;
    if (this.#gathered === undefined || total > this.#gathered.length) {
      const roomy = Math.min(Math.max(total * 2, FIRST_GATHER), this.#limit(this.#compressed));
      const grown = allocate(isLast ? total : roomy);
      if (this.#gathered !== undefined)
        grown.set(this.#gathered.subarray(0, this.#gatheredBytes), 0);
      this.#gathered = grown;
    }
    this.#gathered.set(payload, this.#gatheredBytes);
    this.#gatheredBytes = total;
    // The reader must not keep the buffer of a large fragment while the rest of the message comes.
    if (this.#input.length === 0) this.#input.feed(EMPTY);
  }
}

/** Whether a frame begins a message. */
function opens(first: number): boolean {
  const opcode = first & 0x0f;
  return opcode === OPCODE.text || opcode === OPCODE.binary;
}

function extraLengthBytes(code: number): 0 | 2 | 8 {
  if (code < LENGTH_16) return 0;
  return code === LENGTH_16 ? 2 : 8;
}

function messageEvent(bytes: Buffer, text: boolean): FrameEvent {
  return { type: 'message', bytes, start: 0, end: bytes.length, text };
}

function controlEvent(opcode: number, payload: Buffer): FrameEvent {
  if (opcode !== OPCODE.close)
    return { type: opcode === OPCODE.ping ? 'ping' : 'pong', bytes: payload };
  if (payload.length === 0) return { type: 'close', code: undefined, reason: '' };
  if (payload.length === 1) throw protocolError('a close code takes two bytes');
  if (payload.equals(GO_CLOSE)) return { type: 'close', code: CLOSE.normal, reason: '' };
  const code = payload.readUInt16BE(0);
  if (!isCloseCode(code)) throw protocolError(`${code} is no close code that may be sent`);
  const reason = payload.subarray(2);
  if (!isUtf8(reason)) throw new FrameError(CLOSE.badText, 'the reason of a close is not UTF-8');
  return { type: 'close', code, reason: reason.toString() };
}

function badText(): FrameError {
  return new FrameError(CLOSE.badText, 'a text message is not UTF-8');
}

function protocolError(what: string): FrameError {
  return new FrameError(CLOSE.protocolError, what);
}

/** How many bytes to reserve before a message: the header of most. */
export function headerRoom(masked: boolean): number {
  return masked ? 6 : 2;
}

/**
 * Complete the frame that begins at `start` with headerRoom() bytes reserved, and whose payload
 * reaches to the end of `output`. `first` is its first byte.
 */
export function completeFrame(
  output: ByteWriter,
  start: number,
  first: number,
  masked: boolean,
): void {
  const content = start + headerRoom(masked);
  const size = output.length - content;
  const more = size < LENGTH_16 ? 0 : size < 65536 ? 2 : 8;
  if (more > 0) {
    output.reserve(more);
    output.bytes.copyWithin(content + more, content, content + size);
  }
  const { bytes, view } = output;
  const flag = masked ? MASKED : 0;
  bytes[start] = first;
  if (more === 0) bytes[start + 1] = flag | size;
  else if (more === 2) {
    bytes[start + 1] = flag | LENGTH_16;
    view.setUint16(start + 2, size);
  } else {
    bytes[start + 1] = flag | LENGTH_64;
    view.setUint32(start + 2, Math.floor(size / 2 ** 32));
    view.setUint32(start + 6, size % 2 ** 32);
  }
  if (!masked) return;
  const key = newMask();
  view.setUint32(start + 2 + more, key);
  applyMask(bytes, content + more, output.length, key);
}

/** A ping, pong or close as it is sent. */
export function controlFrame(opcode: number, payload: Uint8Array, masked: boolean): Buffer {
  const room = headerRoom(masked);
  const frame = new ByteWriter(room + payload.length);
  frame.reserve(room);
  frame.append(payload);
  completeFrame(frame, 0, FIN | opcode, masked);
  return frame.bytes;
}

/** The payload of a close frame; without a code it is empty. */
export function closePayload(code: number | undefined, reason = ''): Buffer {
  return code === undefined
    ? Buffer.alloc(0)
    : Buffer.concat([Buffer.of(code >>> 8, code & 0xff), Buffer.from(reason)]);
}
