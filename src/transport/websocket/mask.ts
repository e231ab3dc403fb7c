/**
 * The mask of a client's frames: four bytes that nobody can guess, XORed over the payload (RFC
 * 6455, section 5.3).
 */
import { randomFillSync } from 'node:crypto';

/** Below it a plain loop is faster than going by words. */
const LONG = 128;
const keys = Buffer.allocUnsafeSlow(8 * 1024);
let used = keys.length;

const word = new Uint32Array(1);
const wordBytes = new Uint8Array(word.buffer);

/** A new key, its first byte the highest. */
export function newMask(): number {
  if (used === keys.length) {
    randomFillSync(keys);
    used = 0;
  }
  used += 4;
  return keys.readUInt32BE(used - 4);
}

/** The key for the bytes from `offset` on, when `key` is that of the first byte. */
export function keyAt(key: number, offset: number): number {
  const bits = 8 * (offset & 3);
  // A shift by 32 bits is one by 0 in JavaScript, so a key that does not turn stays the same.
  return (key << bits) | (key >>> (32 - bits));
}

/** Mask, or unmask, `bytes` from `start` to `end` in place. */
export function applyMask(bytes: Uint8Array, start: number, end: number, key: number): void {
  let at = start;
  let turned = key;
  if (end - start >= LONG) {
    // A typed array of words begins at a multiple of four of the memory beneath.
    const lead = -(bytes.byteOffset + start) & 3;
    applyByBytes(bytes, start, start + lead, key);
    at += lead;
    turned = keyAt(key, lead);
    at = applyByWords(bytes, at, end, turned);
  }
  applyByBytes(bytes, at, end, turned);
}

/** Returns where the last whole word ends. */
function applyByWords(bytes: Uint8Array, start: number, end: number, key: number): number {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset + start, (end - start) >>> 2);
  // In the order of this machine, whichever it is.
  for (let i = 0; i < 4; i++) wordBytes[i] = key >>> (24 - 8 * i);
  const mask = word[0] as number;
  for (let i = 0; i < words.length; i++) words[i] = (words[i] as number) ^ mask;
  return start + words.length * 4;
}

function applyByBytes(bytes: Uint8Array, start: number, end: number, key: number): void {
  for (let at = start; at < end; at++)
    bytes[at] = (bytes[at] as number) ^ (key >>> (24 - 8 * ((at - start) & 3)));
}
