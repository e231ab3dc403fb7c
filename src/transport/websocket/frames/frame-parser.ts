import { isUtf8 } from 'node:buffer';
import { allocate } from '../../../core/bytes.js';
import { ByteReader } from '../../buffers/byte-reader.js';
import { FragmentBuffer, maxPayloadBytes } from './fragment-buffer.js';
import { FrameError, invalidTextError, messageTooLarge } from './frame-error.js';
import {
  controlEvent,
  FRAGMENTS,
  FRAGMENTS_AT_ONCE,
  type FrameEvent,
  messageEvent,
} from './frame-event.js';
import {
  beginsMessage,
  COMPRESSED,
  CONTROL,
  checkStart,
  extendedLengthBytes,
  FIN,
  MASKED,
  OPCODE,
  readLength,
} from './frame-header.js';
import { applyMask, rotateMask } from './mask.js';
import { Utf8Validator } from './utf8-validator.js';

/**
 * A larger compressed message is inflated on another thread. zlib may take 80 ns for each byte of
 * its input, whatever the output is.
 */
const MAX_SYNC_INFLATE_BYTES = 64 * 1024;
const EMPTY = allocate(0);
/** The other thread has not finished. */
const INFLATING = 1;

/** Inflates the messages of one connection. Errors are FrameErrors. */
export interface Inflater {
  inflate(bytes: Buffer): Buffer;
  /** Inflates the beginning of a message, as far as it has arrived. */
  inflateStart(bytes: Buffer): Buffer;
  /**
   * Does the same as inflate() on another thread. Calls `done` in a later turn of the event loop,
   * with the message or the error.
   */
  inflateOnThread(bytes: Buffer, done: (result: Buffer | FrameError) => void): void;
}

/** What a parser expects of the peer's frames. */
export interface FrameRules {
  /** The peer masks its frames. Clients do, servers do not. */
  readonly isMasked: boolean;
  readonly maxMessageBytes: number;
  /** Undefined: both sides did not agree on compression. */
  readonly inflater?: Inflater | undefined;
  /** Called when a message has been inflated on another thread. next() returns it then. */
  readonly onInflated?: (() => void) | undefined;
}

/**
 * Parses the frames of a peer. Call next() after feed() until it returns undefined. After next()
 * has thrown, the parser must not be used again.
 */
export class FrameParser {
  readonly #rules: FrameRules;
  readonly #input = new ByteReader();
  /** The opcode of the message in progress; 0 between messages. */
  #opcode = 0;
  #isCompressed = false;
  /** The fragments of the message in progress. Undefined: it has none yet. */
  #fragments: FragmentBuffer | undefined;
  /** For an uncompressed text message that arrives in pieces. */
  #utf8: Utf8Validator | undefined;
  /** Bytes of the incomplete frame's payload that are unmasked and validated as text. */
  #validatedBytes = 0;
  /** A compressed text message in fragments is validated again when it has more bytes than this. */
  #validateCompressedAbove = 0;
  /** The message that was inflated on another thread, or its error. */
  #threadResult: typeof INFLATING | Buffer | FrameError | undefined;
  #isInflatedText = false;

  constructor(rules: FrameRules) {
    this.#rules = rules;
  }

  /** The parser owns the chunk from now on, and unmasks it in place. */
  feed(chunk: Buffer): void {
    this.#input.feed(chunk);
  }

  /** Releases memory that the unread bytes do not need. Call it when reading is over for now. */
  release(): void {
    this.#input.release();
  }

  /** A frame or a message has begun and is not complete. */
  get isInMessage(): boolean {
    return this.#input.length > 0 || this.#opcode !== 0 || this.#threadResult !== undefined;
  }

  /** next() waits for a message that is inflated on another thread. */
  get isInflating(): boolean {
    return this.#threadResult === INFLATING;
  }

  /** Bytes of incomplete frames and messages. */
  get bufferedBytes(): number {
    return this.#input.length + (this.#fragments === undefined ? 0 : this.#fragments.length);
  }

  /** The next event; undefined if it is not complete. Throws FrameError. */
  next(): FrameEvent | undefined {
    if (this.#threadResult !== undefined) return this.#takeInflated();
    const input = this.#input;
    const { isMasked, inflater } = this.#rules;
    let fragments = 0;
    while (input.length >= 2) {
      const first = input.bytes[input.position] as number;
      const second = input.bytes[input.position + 1] as number;
      checkStart(first, second, isMasked, inflater !== undefined, this.#opcode !== 0);
      const lengthBytes = extendedLengthBytes(second & ~MASKED);
      if (input.length < 2 + lengthBytes) return undefined;
      const size = readLength(input, second & ~MASKED);
      if ((first & CONTROL) === 0)
        this.#checkSize(
          size,
          beginsMessage(first) ? (first & COMPRESSED) !== 0 : this.#isCompressed,
        );
      const headerBytes = 2 + lengthBytes + (isMasked ? 4 : 0);
      if (input.length < headerBytes + size) {
        input.want(headerBytes + size);
        if (input.length > headerBytes && this.#isUncompressedText(first))
          this.#validateIncomplete(first, headerBytes);
        return undefined;
      }
      input.skip(headerBytes);
      const key = isMasked ? input.view.getInt32(input.position - 4) : 0;
      const { bytes, position: start } = input;
      const end = start + size;
      const validated = start + this.#validatedBytes;
      this.#validatedBytes = 0;
      if (key !== 0) applyMask(input.view, validated, end, rotateMask(key, validated - start));
      input.skip(size);
      const event =
        (first & CONTROL) === 0
          ? this.#readDataFrame(first, headerBytes, bytes, start, end, validated)
          : controlEvent(first & 0x0f, bytes.subarray(start, end));
      if (event !== undefined) return event;
      if (this.#threadResult !== undefined) return undefined;
      if (++fragments === FRAGMENTS_AT_ONCE) return FRAGMENTS;
    }
    return undefined;
  }

  #takeInflated(): FrameEvent | undefined {
    const inflated = this.#threadResult;
    if (inflated === INFLATING || inflated === undefined) return undefined;
    this.#threadResult = undefined;
    if (inflated instanceof FrameError) throw inflated;
    if (this.#isInflatedText && !isUtf8(inflated)) throw invalidTextError();
    return messageEvent(inflated, this.#isInflatedText);
  }

  #checkSize(size: number, isCompressed: boolean): void {
    const { maxMessageBytes } = this.#rules;
    const total = this.#fragments === undefined ? size : size + this.#fragments.length;
    if (total > maxPayloadBytes(maxMessageBytes, isCompressed))
      throw messageTooLarge(
        `a message of at least ${total} bytes arrives; maxMessageBytes is ${maxMessageBytes}`,
      );
  }

  /** The frame that begins with `first` belongs to an uncompressed text message. */
  #isUncompressedText(first: number): boolean {
    if (beginsMessage(first)) return (first & 0x0f) === OPCODE.text && (first & COMPRESSED) === 0;
    return (first & CONTROL) === 0 && this.#opcode === OPCODE.text && !this.#isCompressed;
  }

  /** Validates the text of an incomplete frame, so that an invalid byte is reported at once. */
  #validateIncomplete(first: number, headerBytes: number): void {
    const { bytes, view, position, length } = this.#input;
    const payload = position + headerBytes;
    const start = payload + this.#validatedBytes;
    const end = position + length;
    if (this.#rules.isMasked)
      applyMask(view, start, end, rotateMask(view.getInt32(payload - 4), this.#validatedBytes));
    if (beginsMessage(first) && this.#validatedBytes === 0) this.#utf8 = new Utf8Validator();
    this.#validate(bytes, start, end);
    this.#validatedBytes = length - headerBytes;
  }

  /**
   * Validates the beginning of a compressed text message in fragments. Each validation inflates
   * from the beginning. It is repeated only when the compressed bytes have doubled and exceed the
   * output of the last validation. So all validations but the last together inflate at most as many
   * bytes as arrived. A message that is inflated on another thread is validated when it is
   * complete.
   */
  #validateCompressed(fragments: FragmentBuffer, inflater: Inflater): void {
    const { length } = fragments;
    if (length <= this.#validateCompressedAbove || length > MAX_SYNC_INFLATE_BYTES) return;
    const text = inflater.inflateStart(fragments.payload);
    this.#validateCompressedAbove = Math.max(length * 2, text.length);
    if (!new Utf8Validator().push(text, 0, text.length)) throw invalidTextError();
  }

  #validate(bytes: Uint8Array, start: number, end: number): void {
    this.#utf8 ??= new Utf8Validator();
    if (!this.#utf8.push(bytes, start, end)) throw invalidTextError();
  }

  /**
   * The payload is at `start` to `end` of `bytes`. Text before `validated` has been validated by
   * validateIncomplete().
   */
  #readDataFrame(
    first: number,
    headerBytes: number,
    bytes: Buffer,
    start: number,
    end: number,
    validated: number,
  ): FrameEvent | undefined {
    const isLast = (first & FIN) !== 0;
    if (beginsMessage(first)) {
      this.#opcode = first & 0x0f;
      this.#isCompressed = (first & COMPRESSED) !== 0;
    }
    if ((!isLast || this.#utf8 !== undefined) && this.#isUncompressedText(first))
      this.#validate(bytes, validated, end);
    if (!isLast) {
      this.#addFragment(bytes, start, end, headerBytes);
      return undefined;
    }
    const isText = this.#opcode === OPCODE.text;
    this.#opcode = 0;
    if (this.#fragments === undefined && !this.#isCompressed) {
      if (isText && !this.#isValidText(bytes, start, end)) throw invalidTextError();
      return { type: 'message', bytes, start, end, isText };
    }
    return this.#completeMessage(bytes, start, end, isText);
  }

  #addFragment(bytes: Buffer, start: number, end: number, headerBytes: number): void {
    const { maxMessageBytes, inflater } = this.#rules;
    this.#fragments ??= new FragmentBuffer(maxMessageBytes, this.#isCompressed);
    this.#fragments.append(bytes, start, end, headerBytes);
    // An empty chunk makes the reader release the chunk of this fragment.
    if (this.#input.length === 0) this.#input.feed(EMPTY);
    if (this.#isCompressed && this.#opcode === OPCODE.text && inflater !== undefined)
      this.#validateCompressed(this.#fragments, inflater);
  }

  /**
   * Handles the last frame of a message that has fragments or is compressed. Returns undefined if
   * the message is inflated on another thread.
   */
  #completeMessage(
    bytes: Buffer,
    start: number,
    end: number,
    isText: boolean,
  ): FrameEvent | undefined {
    let message: Buffer;
    if (this.#fragments === undefined) message = bytes.subarray(start, end);
    else {
      message = this.#fragments.complete(bytes, start, end);
      this.#fragments = undefined;
      this.#validateCompressedAbove = 0;
      // As in #addFragment().
      if (this.#input.length === 0) this.#input.feed(EMPTY);
    }
    const { inflater } = this.#rules;
    if (this.#isCompressed && inflater !== undefined) {
      if (message.length > MAX_SYNC_INFLATE_BYTES) {
        this.#threadResult = INFLATING;
        this.#isInflatedText = isText;
        inflater.inflateOnThread(message, this.#onInflated);
        return undefined;
      }
      message = inflater.inflate(message);
    }
    if (isText && !this.#isValidText(message, 0, message.length)) throw invalidTextError();
    return messageEvent(message, isText);
  }

  readonly #onInflated = (result: Buffer | FrameError): void => {
    this.#threadResult = result;
    this.#rules.onInflated?.();
  };

  #isValidText(bytes: Buffer, start: number, end: number): boolean {
    if (this.#utf8 === undefined) return isUtf8(bytes.subarray(start, end));
    const { isComplete } = this.#utf8;
    this.#utf8 = undefined;
    return isComplete;
  }
}
