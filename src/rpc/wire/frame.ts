/**
 * The package of the wire: a 32-byte header, then a section with the rpc header and a section with
 * the body. All integers are little-endian; the layout is that of the Go getty's rpc package,
 * version 1.
 *
 *   0 int32 magic · 4 int16 command · 6 int16 serviceId · 8 uint64 sequence · 16 int64 logId
 *   24 int16 code · 26 int16 codec · 28 int32 packageLength
 *   32 uint16 headerLength, header, uint16 bodyLength, body
 */

import { allocate, type Bytes, readInt16, readInt32, readUint16 } from '../../core/bytes.js';
import { gettyError } from '../../core/errors.js';
import type { ByteReader } from '../../transport/buffers/byte-reader.js';
import type { ByteWriter } from '../../transport/buffers/byte-writer.js';

export const MAGIC = 0x20160905;
export const HEADER_BYTES = 32;
/** The uint16 length of a section. */
export const SECTION_BYTES = 2;
/**
 * The largest body whose length the uint16 tells; beyond it only extended peers find the length,
 * from packageLength.
 */
export const LARGEST_PLAIN_BODY = 0xffff;

/** Those from 5 on are for extended peers alone. */
export const COMMAND = {
  heartbeat: 1,
  heartbeatReply: 2,
  request: 3,
  response: 4,
  /** One message of a stream: the sections of a request, its header empty. */
  item: 5,
  /**
   * A side sends no more on its stream. The answering side says so with the header of a response.
   */
  end: 6,
  /** The caller wants no answer any more. */
  cancel: 7,
  /** The reader of a stream takes so many bytes of packages more: a uint32. */
  credit: 8,
  goaway: 9,
} as const;
export const CREDIT_BYTES = 4;
export const CODEC_NUMBER = { json: 1, protobuf: 2 } as const;
export const CODE = { ok: 0, failed: 1 } as const;

const NO_BYTES = allocate(0);

/**
 * One received package. It is filled anew for each, so take from it what is needed before
 * returning.
 */
export class Frame {
  command = 0;
  serviceId = 0;
  sequenceLow = 0;
  sequenceHigh = 0;
  logIdLow = 0;
  logIdHigh = 0;
  code = 0;
  codec = 0;
  /** Holds the header section from headStart to headEnd, and the body from bodyStart to bodyEnd. */
  bytes: Bytes = NO_BYTES;
  /** Of the whole package. */
  size = 0;
  headStart = 0;
  headEnd = 0;
  bodyStart = 0;
  bodyEnd = 0;
  /** No byte has come after it. */
  isLast = false;

  /** Keep no bytes of the package, once it is handled: the next one may come late or never. */
  release(): void {
    this.bytes = NO_BYTES;
  }
}

/** Knows which answers of a Go server announce bytes that do not follow. */
export interface HeaderOnlyAnswers {
  /** False: isHeaderOnly() would answer false, and need not be asked. */
  readonly mayBeHeaderOnly: boolean;
  /**
   * Whether the answer with these numbers ends with its header. It is asked once for each answer.
   */
  isHeaderOnly(serviceId: number, sequenceLow: number): boolean;
}

/**
 * Take one package off `input` into `frame`; false while it is not whole. Lengths are checked
 * before the package has come. Throws BAD_FRAME or MESSAGE_TOO_LARGE.
 */
export function readFrame(
  input: ByteReader,
  frame: Frame,
  maxBytes: number,
  answers?: HeaderOnlyAnswers,
): boolean {
  const available = input.length;
  if (available < 4) return false;
  const { bytes, position } = input;
  const magic = readInt32(bytes, position);
  if (magic !== MAGIC)
    throw badFrame(`magic is 0x${(magic >>> 0).toString(16)}, expected 0x${MAGIC.toString(16)}`);
  if (available < HEADER_BYTES) return false;
  const command = readInt16(bytes, position + 4);
  const codec = readInt16(bytes, position + 26);
  let length = readInt32(bytes, position + 28);
  if (command < COMMAND.heartbeat || command > COMMAND.goaway)
    throw badFrame(`command is ${command}, expected 1 to 9`);
  const isCall = command >= COMMAND.request && command <= COMMAND.end;
  if (isCall && codec !== CODEC_NUMBER.json && codec !== CODEC_NUMBER.protobuf)
    throw badFrame(`codec is ${codec}, expected 1 (JSON) or 2 (Protobuf)`);
  if (
    command === COMMAND.response &&
    length > 0 &&
    answers?.mayBeHeaderOnly === true &&
    answers.isHeaderOnly(readInt16(bytes, position + 6), readInt32(bytes, position + 8))
  )
    length = 0;
  // The answer to a call that wants no reply has no sections.
  if (
    length < 0 ||
    (isCall && length < 2 * SECTION_BYTES && (length > 0 || command !== COMMAND.response))
  ) {
    throw badFrame(
      `packageLength is ${length}, expected at least ${isCall ? 2 * SECTION_BYTES : 0}`,
    );
  }
  if (command === COMMAND.credit && length !== CREDIT_BYTES)
    throw badFrame(`packageLength is ${length}, expected ${CREDIT_BYTES} for a credit`);
  const total = HEADER_BYTES + length;
  if (total > maxBytes)
    throw gettyError(
      'MESSAGE_TOO_LARGE',
      `a package of ${total} bytes is announced; maxMessageBytes is ${maxBytes}`,
    );
  if (available < total) {
    input.want(total);
    return false;
  }
  frame.command = command;
  frame.serviceId = readInt16(bytes, position + 6);
  frame.sequenceLow = readInt32(bytes, position + 8);
  frame.sequenceHigh = readInt32(bytes, position + 12);
  frame.logIdLow = readInt32(bytes, position + 16);
  frame.logIdHigh = readInt32(bytes, position + 20);
  frame.code = readInt16(bytes, position + 24);
  frame.codec = codec;
  frame.bytes = bytes;
  frame.size = total;
  if (isCall && length > 0) findSections(frame, bytes, position + HEADER_BYTES, position + total);
  else {
    frame.headStart = frame.headEnd = frame.bodyStart = position + HEADER_BYTES;
    frame.bodyEnd = position + total;
  }
  input.skip(total);
  frame.isLast = available === total;
  return true;
}

/**
 * The body's own length is what remains: its uint16 holds only the low 16 bits, and serves as a
 * check.
 */
function findSections(frame: Frame, bytes: Bytes, start: number, end: number): void {
  const headStart = start + SECTION_BYTES;
  const headEnd = headStart + readUint16(bytes, start);
  const bodyStart = headEnd + SECTION_BYTES;
  if (bodyStart > end)
    throw badFrame(
      `headerLength is ${headEnd - headStart}, more than the ${end - start} bytes of the package hold`,
    );
  const told = readUint16(bytes, headEnd);
  if (told !== ((end - bodyStart) & 0xffff))
    throw badFrame(
      `bodyLength is ${told}, but the package leaves ${end - bodyStart} bytes for the body`,
    );
  frame.headStart = headStart;
  frame.headEnd = headEnd;
  frame.bodyStart = bodyStart;
  frame.bodyEnd = end;
}

// By hand, for a DataView of each chunk costs more than it saves where a chunk holds one package.
function badFrame(reason: string): Error {
  return gettyError('BAD_FRAME', `not a package of the getty rpc: ${reason}`);
}

/**
 * The numbers that an answer copies from its request, as two int32 each: BigInt costs a third of
 * the speed, and of uint32 the upper half are objects on the heap.
 */
export interface Tags {
  readonly serviceId: number;
  readonly sequenceLow: number;
  readonly sequenceHigh: number;
  readonly logIdLow: number;
  readonly logIdHigh: number;
}

/** Append a package header with packageLength 0, and return where it begins. */
export function beginFrame(
  output: ByteWriter,
  command: number,
  code: number,
  codec: number,
  tags: Tags,
): number {
  const at = output.reserve(HEADER_BYTES);
  const { view } = output;
  view.setUint32(at, MAGIC, true);
  view.setInt16(at + 4, command, true);
  view.setInt16(at + 6, tags.serviceId, true);
  view.setInt32(at + 8, tags.sequenceLow, true);
  view.setInt32(at + 12, tags.sequenceHigh, true);
  view.setInt32(at + 16, tags.logIdLow, true);
  view.setInt32(at + 20, tags.logIdHigh, true);
  view.setInt16(at + 24, code, true);
  view.setInt16(at + 26, codec, true);
  view.setInt32(at + 28, 0, true);
  return at;
}

/** Open a section: its length is written by endSection. */
export function beginSection(output: ByteWriter): number {
  return output.reserve(SECTION_BYTES);
}

/** Close the section that began at `at`, and return how many bytes it holds. */
export function endSection(output: ByteWriter, at: number): number {
  const length = output.length - at - SECTION_BYTES;
  output.view.setUint16(at, length & 0xffff, true);
  return length;
}

/** Write the packageLength of the package that began at `at`. */
export function endFrame(output: ByteWriter, at: number): void {
  output.view.setInt32(at + 28, output.length - at - HEADER_BYTES, true);
}
