/** The header of a WebSocket frame (RFC 6455, section 5.2): its bits, its checks, its length. */
import type { ByteReader } from '../../buffers/byte-reader.js';
import { protocolError } from './frame-error.js';

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** First byte: the last frame of its message. */
export const FIN = 0x80;
/** First byte, RSV1: the message is compressed (RFC 7692, section 6). */
export const COMPRESSED = 0x40;
/** First byte: RSV2 and RSV3. */
const OTHER_RESERVED = 0x30;
/** First byte: the frame is a control frame. */
export const CONTROL = 0x08;

/** Second byte: a masking key follows the length. */
export const MASKED = 0x80;
/** Second byte, instead of a length: a length of 16 bits follows. */
export const LENGTH_16 = 126;
/** Second byte, instead of a length: a length of 64 bits follows. */
export const LENGTH_64 = 127;

const MAX_CONTROL_BYTES = 125;

/** The frame that begins with this byte is the first one of a text or binary message. */
export function beginsMessage(first: number): boolean {
  const opcode = first & 0x0f;
  return opcode === OPCODE.text || opcode === OPCODE.binary;
}

/**
 * Checks the first two bytes of a frame, before the rest arrives and before a buffer is allocated.
 * `isMasked`: the peer must mask. `canCompress`: both sides agreed on compression. `isInMessage`: a
 * message in fragments is not complete. Throws FrameError.
 */
export function checkStart(
  first: number,
  second: number,
  isMasked: boolean,
  canCompress: boolean,
  isInMessage: boolean,
): void {
  const opcode = first & 0x0f;
  if ((first & OTHER_RESERVED) !== 0) throw protocolError('a reserved bit is set');
  if (((second & MASKED) !== 0) !== isMasked)
    throw protocolError(
      isMasked ? 'a client must mask its frames' : 'a server must not mask its frames',
    );
  if ((first & COMPRESSED) !== 0 && !(canCompress && beginsMessage(first)))
    throw protocolError('a frame that must not be compressed has the compression bit');
  if (opcode >= OPCODE.close) {
    if (opcode > OPCODE.pong) throw protocolError(`opcode ${opcode} is reserved`);
    if ((first & FIN) === 0) throw protocolError('a control frame must not be fragmented');
    if ((second & ~MASKED) > MAX_CONTROL_BYTES)
      throw protocolError(`the payload of a control frame has at most ${MAX_CONTROL_BYTES} bytes`);
    return;
  }
  if (opcode > OPCODE.binary) throw protocolError(`opcode ${opcode} is reserved`);
  if (opcode === OPCODE.continuation && !isInMessage)
    throw protocolError('a continuation frame follows no message');
  if (opcode !== OPCODE.continuation && isInMessage)
    throw protocolError('a message begins before the previous one is complete');
}

/** The size of the extended length. `length`: the length in the second byte of the frame. */
export function extendedLengthBytes(length: number): 0 | 2 | 8 {
  if (length < LENGTH_16) return 0;
  return length === LENGTH_16 ? 2 : 8;
}

/** The size of the payload of the next frame of `input`. Throws FrameError. */
export function readLength(input: ByteReader, length: number): number {
  if (length < LENGTH_16) return length;
  const { view, position } = input;
  if (length === LENGTH_16) {
    const size = view.getUint16(position + 2);
    if (size < LENGTH_16) throw protocolError('a length has more bytes than it needs');
    return size;
  }
  const high = view.getUint32(position + 2);
  if (high > 0x7fffffff) throw protocolError('a length has more than 63 bits');
  const size = high * 2 ** 32 + view.getUint32(position + 6);
  if (size < 65536) throw protocolError('a length has more bytes than it needs');
  return size;
}
