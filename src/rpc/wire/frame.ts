/**
 * The frame of the rpc protocol: a 32-byte frame header, a section with the rpc header and a
 * section with the body. All integers are little-endian. Go getty, version 1, has the same layout
 * and calls a frame a package.
 *
 *   0 int32 magic · 4 int16 command · 6 int16 serviceId · 8 uint64 sequence · 16 int64 logId
 *   24 int16 code · 26 int16 codec · 28 int32 packageLength: the bytes after this header
 *   32 uint16 headerLength, header, uint16 bodyLength, body
 */

import { allocate, type Bytes, decode } from '../../core/bytes.js';
import { gettyError } from '../../core/errors.js';
import type { ByteReader } from '../../transport/buffers/byte-reader.js';
import type { ByteWriter } from '../../transport/buffers/byte-writer.js';
import type { FrameIds } from './sequence.js';

export const MAGIC = 0x20160905;
export const FRAME_HEADER_BYTES = 32;
/** Bytes of the uint16 length before a section. */
export const SECTION_BYTES = 2;
/** The most bytes of an rpc header: its length is a uint16. */
export const MAX_HEADER_BYTES = 0xffff;
/**
 * The most bytes of a body whose length fits into its uint16. Extended peers compute the length of
 * a larger body from packageLength.
 */
export const MAX_PLAIN_BODY_BYTES = 0xffff;

/** Commands from 5 on are for extended peers only. */
export const COMMAND = {
  heartbeat: 1,
  heartbeatAnswer: 2,
  request: 3,
  response: 4,
  /** One message of a stream: the sections of a request, with an empty header. */
  item: 5,
  /** The end of the stream of one side. From the serving side it has the header of a response. */
  end: 6,
  /** The caller cancels the call. */
  cancel: 7,
  /** The reader of a stream accepts this many bytes of frames more: a uint32. */
  credit: 8,
  goaway: 9,
} as const;
export const CREDIT_BYTES = 4;
export const CODEC_NUMBER = { json: 1, protobuf: 2 } as const;
export const CODE = { ok: 0, failed: 1 } as const;

/** Bytes of a stream that a writer may send before the first credit: part of the protocol. */
export const INITIAL_WINDOW = 64 * 1024;

/** A frame that encodes itself. */
export interface OutgoingFrame {
  write(output: ByteWriter): void;
}

const NO_BYTES = allocate(0);
const NO_VIEW = new DataView(NO_BYTES.buffer, 0, 0);

/** One received frame. The next frame overwrites it, so its receiver copies what it keeps. */
export class Frame {
  command = 0;
  serviceId = 0;
  sequenceLow = 0;
  sequenceHigh = 0;
  logIdLow = 0;
  logIdHigh = 0;
  code = 0;
  codec = 0;
  /** Contains the rpc header (headerStart to headerEnd) and the body (bodyStart to bodyEnd). */
  bytes: Bytes = NO_BYTES;
  /** A view of all of `bytes`. */
  view: DataView = NO_VIEW;
  /** Bytes of the whole frame. */
  size = 0;
  headerStart = 0;
  headerEnd = 0;
  bodyStart = 0;
  bodyEnd = 0;
  /** Whether the frame is larger than maxMessageBytes: only the fields above `bytes` are valid. */
  isTooLarge = false;
  /** Whether no byte has arrived after the frame. */
  isLast = false;

  /** Releases the bytes of a handled frame: the next frame may arrive late or never. */
  release(): void {
    this.bytes = NO_BYTES;
    this.view = NO_VIEW;
  }
}

/** Knows which answers of a Go server announce sections that do not follow; see NoReplyCalls. */
export interface HeaderOnlyAnswers {
  /** False: isHeaderOnly() would return false, so it need not be called. */
  readonly mayBeHeaderOnly: boolean;
  /**
   * Whether the answer with these numbers ends with its frame header. Returns true once for each
   * such answer. Called again while the frame of another answer is incomplete.
   */
  isHeaderOnly(serviceId: number, sequenceLow: number): boolean;
}

/**
 * Reads one frame from `input` into `frame`. Returns false while the frame is incomplete; its
 * lengths are checked nevertheless. Throws BAD_FRAME or MESSAGE_TOO_LARGE.
 */
export function readFrame(
  input: ByteReader,
  frame: Frame,
  maxBytes: number,
  answers?: HeaderOnlyAnswers,
): boolean {
  const available = input.length;
  if (available < 4) return false;
  const { bytes, position, view } = input;
  const magic = view.getInt32(position, true);
  if (magic !== MAGIC)
    throw badFrameError(
      `magic is 0x${(magic >>> 0).toString(16)}, expected 0x${MAGIC.toString(16)}${textAt(input)}`,
    );
  if (available < FRAME_HEADER_BYTES) return false;
  const command = view.getInt16(position + 4, true);
  const codec = view.getInt16(position + 26, true);
  let length = view.getInt32(position + 28, true);
  if (command < COMMAND.heartbeat || command > COMMAND.goaway)
    throw badFrameError(`command is ${command}, expected 1 to 9`);
  const isCall = command >= COMMAND.request && command <= COMMAND.end;
  if (isCall && codec !== CODEC_NUMBER.json && codec !== CODEC_NUMBER.protobuf)
    throw badFrameError(`codec is ${codec}, expected 1 (JSON) or 2 (Protobuf)`);
  if (
    command === COMMAND.response &&
    length > 0 &&
    answers?.mayBeHeaderOnly === true &&
    answers.isHeaderOnly(view.getInt16(position + 6, true), view.getInt32(position + 8, true))
  )
    length = 0;
  // The answer to a call without a reply has no sections.
  if (
    length < 0 ||
    (isCall && length < 2 * SECTION_BYTES && (length > 0 || command !== COMMAND.response))
  ) {
    throw badFrameError(
      `packageLength is ${length}, expected at least ${isCall ? 2 * SECTION_BYTES : 0}`,
    );
  }
  if (command === COMMAND.credit && length !== CREDIT_BYTES)
    throw badFrameError(`packageLength is ${length}, expected ${CREDIT_BYTES} for a credit`);
  const total = FRAME_HEADER_BYTES + length;
  if (available < total && total <= maxBytes) {
    input.want(total);
    return false;
  }
  frame.command = command;
  frame.serviceId = view.getInt16(position + 6, true);
  frame.sequenceLow = view.getInt32(position + 8, true);
  frame.sequenceHigh = view.getInt32(position + 12, true);
  frame.logIdLow = view.getInt32(position + 16, true);
  frame.logIdHigh = view.getInt32(position + 20, true);
  frame.code = view.getInt16(position + 24, true);
  frame.codec = codec;
  if (total > maxBytes) {
    frame.isTooLarge = true;
    throw gettyError(
      'MESSAGE_TOO_LARGE',
      `a frame of ${total} bytes is announced; the session option maxMessageBytes is ${maxBytes} at its receiver`,
    );
  }
  frame.bytes = bytes;
  frame.view = view;
  frame.size = total;
  if (isCall && length > 0)
    findSections(frame, view, position + FRAME_HEADER_BYTES, position + total);
  else {
    frame.headerStart = frame.headerEnd = frame.bodyStart = position + FRAME_HEADER_BYTES;
    frame.bodyEnd = position + total;
  }
  input.skip(total);
  frame.isLast = available === total;
  return true;
}

/** Bytes: the most of a text that an error message quotes. */
const QUOTED_BYTES = 40;

/** A peer that is no rpc peer often sends text, such as HTTP or the output of console.log(). */
function textAt({ bytes, position, length }: ByteReader): string {
  const text = decode(bytes, position, position + Math.min(length, QUOTED_BYTES), 'latin1');
  const [printable = ''] = /^[ -~]*/.exec(text) ?? [];
  return printable.length < 4 ? '' : `; the bytes are the text ${JSON.stringify(printable)}`;
}

/**
 * The length of the body is the rest of the frame. Its uint16 has only the low 16 bits and serves
 * as a check.
 */
function findSections(frame: Frame, view: DataView, start: number, end: number): void {
  const headerStart = start + SECTION_BYTES;
  const headerEnd = headerStart + view.getUint16(start, true);
  const bodyStart = headerEnd + SECTION_BYTES;
  if (bodyStart > end)
    throw badFrameError(
      `headerLength is ${headerEnd - headerStart}, more than the ${end - start} bytes of the frame hold`,
    );
  const bodyLength = view.getUint16(headerEnd, true);
  if (bodyLength !== ((end - bodyStart) & 0xffff))
    throw badFrameError(
      `bodyLength is ${bodyLength}, but the frame leaves ${end - bodyStart} bytes for the body`,
    );
  frame.headerStart = headerStart;
  frame.headerEnd = headerEnd;
  frame.bodyStart = bodyStart;
  frame.bodyEnd = end;
}

function badFrameError(reason: string): Error {
  return gettyError('BAD_FRAME', `not a frame of the getty rpc protocol: ${reason}`);
}

/**
 * Appends a frame header with packageLength 0 and returns its position. `reserved`: bytes after it
 * that the caller writes.
 */
export function beginFrame(
  output: ByteWriter,
  command: number,
  code: number,
  codec: number,
  ids: FrameIds,
  reserved = 0,
): number {
  const at = output.reserve(FRAME_HEADER_BYTES + reserved);
  const { view } = output;
  view.setUint32(at, MAGIC, true);
  view.setInt16(at + 4, command, true);
  view.setInt16(at + 6, ids.serviceId, true);
  view.setInt32(at + 8, ids.sequenceLow, true);
  view.setInt32(at + 12, ids.sequenceHigh, true);
  view.setInt32(at + 16, ids.logIdLow, true);
  view.setInt32(at + 20, ids.logIdHigh, true);
  view.setInt16(at + 24, code, true);
  view.setInt16(at + 26, codec, true);
  view.setInt32(at + 28, 0, true);
  return at;
}

/** Begins a section: reserves its length, and returns the position for endSection(). */
export function beginSection(output: ByteWriter): number {
  return output.reserve(SECTION_BYTES);
}

/** Writes the length of the section that began at `at`, and returns it in bytes. */
export function endSection(output: ByteWriter, at: number): number {
  const length = output.length - at - SECTION_BYTES;
  output.view.setUint16(at, length & 0xffff, true);
  return length;
}

/** Writes the packageLength of the frame that began at `at`. */
export function endFrame(output: ByteWriter, at: number): void {
  output.view.setInt32(at + 28, output.length - at - FRAME_HEADER_BYTES, true);
}

/** The bytes that a credit frame grants. */
export function readCredit({ view, bodyStart }: Frame): number {
  return view.getUint32(bodyStart, true);
}
