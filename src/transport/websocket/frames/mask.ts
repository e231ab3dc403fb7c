/**
 * The mask of a client's frames (RFC 6455, section 5.3): four unpredictable bytes, combined with
 * the payload by XOR.
 */
import { randomFillSync } from 'node:crypto';

const keys = new DataView(new ArrayBuffer(8 * 1024));
let usedBytes = keys.byteLength;

/** A new masking key. Its highest byte masks the first byte of the payload. */
export function newMask(): number {
  if (usedBytes === keys.byteLength) {
    randomFillSync(keys);
    usedBytes = 0;
  }
  usedBytes += 4;
  return keys.getInt32(usedBytes - 4);
}

/** `key` rotated for the payload from `offset` on. */
export function rotateMask(key: number, offset: number): number {
  const bits = 8 * (offset & 3);
  // A shift by 32 bits is a shift by 0 in JavaScript, so rotating by 0 bits keeps the key.
  return (key << bits) | (key >>> (32 - bits));
}

/** Masks or unmasks the bytes of `view` from `start` to `end` in place. */
export function applyMask(view: DataView, start: number, end: number, key: number): void {
  let at = start;
  // A word of a DataView can begin at any byte. Single bytes would take twice the time.
  for (const last = end - 4; at <= last; at += 4) view.setInt32(at, view.getInt32(at) ^ key);
  for (let shift = 24; at < end; at++, shift -= 8)
    view.setUint8(at, view.getUint8(at) ^ (key >>> shift));
}
