/**
 * The mask of a client's frames (RFC 6455, section 5.3): four unpredictable bytes, combined with
 * the payload by XOR.
 */
import { randomFillSync } from 'node:crypto';

/** From this size on, words are faster than single bytes. */
const MIN_WORD_BYTES = 128;
const keys = Buffer.allocUnsafeSlow(8 * 1024);
let usedBytes = keys.length;

const word = new Uint32Array(1);
const wordBytes = new Uint8Array(word.buffer);

/** A new masking key. Its highest byte masks the first byte of the payload. */
export function newMask(): number {
  if (usedBytes === keys.length) {
    randomFillSync(keys);
    usedBytes = 0;
  }
  usedBytes += 4;
  return keys.readUInt32BE(usedBytes - 4);
}

/** `key` rotated for the payload from `offset` on. */
export function rotateMask(key: number, offset: number): number {
  const bits = 8 * (offset & 3);
  // A shift by 32 bits is a shift by 0 in JavaScript, so rotating by 0 bits keeps the key.
  return (key << bits) | (key >>> (32 - bits));
}

/** Masks or unmasks `bytes` from `start` to `end` in place. */
export function applyMask(bytes: Uint8Array, start: number, end: number, key: number): void {
  let at = start;
  let rotated = key;
  if (end - start >= MIN_WORD_BYTES) {
    // A Uint32Array must begin at a multiple of four of its ArrayBuffer.
    const unaligned = -(bytes.byteOffset + start) & 3;
    applyByBytes(bytes, start, start + unaligned, key);
    at += unaligned;
    rotated = rotateMask(key, unaligned);
    at = applyByWords(bytes, at, end, rotated);
  }
  applyByBytes(bytes, at, end, rotated);
}

/** Returns where the last whole word ends. */
function applyByWords(bytes: Uint8Array, start: number, end: number, key: number): number {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset + start, (end - start) >>> 2);
  // The bytes of the key in memory order, so that the byte order of the machine does not matter.
  for (let i = 0; i < 4; i++) wordBytes[i] = key >>> (24 - 8 * i);
  const mask = word[0] as number;
  for (let i = 0; i < words.length; i++) words[i] = (words[i] as number) ^ mask;
  return start + words.length * 4;
}

function applyByBytes(bytes: Uint8Array, start: number, end: number, key: number): void {
  const key0 = key >>> 24;
  const key1 = key >>> 16;
  const key2 = key >>> 8;
  let at = start;
  // Four bytes in each iteration take half the time of one.
  for (const last = end - 4; at <= last; at += 4) {
    bytes[at] = (bytes[at] as number) ^ key0;
    bytes[at + 1] = (bytes[at + 1] as number) ^ key1;
    bytes[at + 2] = (bytes[at + 2] as number) ^ key2;
    bytes[at + 3] = (bytes[at + 3] as number) ^ key;
  }
  if (at < end) bytes[at] = (bytes[at] as number) ^ key0;
  if (at + 1 < end) bytes[at + 1] = (bytes[at + 1] as number) ^ key1;
  if (at + 2 < end) bytes[at + 2] = (bytes[at + 2] as number) ^ key2;
}
