/** Writes WebSocket frames (RFC 6455, section 5.2) into the buffer of a session. */
import { ByteWriter } from '../../buffers/byte-writer.js';
import { FIN, LENGTH_16, LENGTH_64, MASKED } from './frame-header.js';
import { applyMask, newMask } from './mask.js';

/** The size of the shortest header. It is reserved before the payload of each message. */
export function minHeaderBytes(isMasked: boolean): number {
  return isMasked ? 6 : 2;
}

/**
 * Completes the frame that begins at `start` of `output`. minHeaderBytes() bytes are reserved
 * there, and the payload reaches to the end of `output`. `first` is the first byte of the frame.
 */
export function completeFrame(
  output: ByteWriter,
  start: number,
  first: number,
  isMasked: boolean,
): void {
  const payload = start + minHeaderBytes(isMasked);
  const size = output.length - payload;
  const lengthBytes = size < LENGTH_16 ? 0 : size < 65536 ? 2 : 8;
  if (lengthBytes > 0) {
    output.reserve(lengthBytes);
    output.bytes.copyWithin(payload + lengthBytes, payload, payload + size);
  }
  const { bytes, view } = output;
  const maskBit = isMasked ? MASKED : 0;
  bytes[start] = first;
  if (lengthBytes === 0) bytes[start + 1] = maskBit | size;
  else if (lengthBytes === 2) {
    bytes[start + 1] = maskBit | LENGTH_16;
    view.setUint16(start + 2, size);
  } else {
    bytes[start + 1] = maskBit | LENGTH_64;
    view.setUint32(start + 2, Math.floor(size / 2 ** 32));
    view.setUint32(start + 6, size % 2 ** 32);
  }
  if (!isMasked) return;
  const key = newMask();
  view.setInt32(start + 2 + lengthBytes, key);
  applyMask(view, payload + lengthBytes, output.length, key);
}

/** Appends a ping, pong or close frame. */
export function writeControlFrame(
  output: ByteWriter,
  opcode: number,
  payload: Uint8Array,
  isMasked: boolean,
): void {
  const start = output.reserve(minHeaderBytes(isMasked));
  output.append(payload);
  completeFrame(output, start, FIN | opcode, isMasked);
}

/** A ping, pong or close frame. */
export function controlFrame(opcode: number, payload: Uint8Array, isMasked: boolean): Buffer {
  const frame = new ByteWriter(minHeaderBytes(isMasked) + payload.length);
  writeControlFrame(frame, opcode, payload, isMasked);
  return frame.bytes;
}

/** The payload of a close frame. It is empty if `code` is undefined. */
export function closePayload(code: number | undefined, reason = ''): Buffer {
  return code === undefined
    ? Buffer.alloc(0)
    : Buffer.concat([Buffer.of(code >>> 8, code & 0xff), Buffer.from(reason)]);
}
