/**
 * UTF-8 that arrives in pieces (RFC 3629): checks each piece as it comes, and knows whether the
 * last character is whole.
 */
import { isUtf8 } from 'node:buffer';

const FIRST_MULTIBYTE = 0x80;
const FIRST_LEAD = 0xc0;

export class Utf8Validator {
  /** Continuation bytes that the last character still needs. */
  #missing = 0;
  /** The range of the next continuation byte. */
  #least = 0x80;
  #most = 0xbf;

  /** True when the last character is whole. */
  get isComplete(): boolean {
    return this.#missing === 0;
  }

  /**
   * Checks the next bytes, from `start` to `end`. False: one of them cannot follow what came
   * before.
   */
  push(bytes: Uint8Array, start: number, end: number): boolean {
    let at = start;
    while (at < end && this.#missing > 0) if (!this.#continue(bytes[at++] as number)) return false;
    const cut = incompleteFrom(bytes, at, end);
    if (cut > at && !isUtf8(bytes.subarray(at, cut))) return false;
    if (cut === end) return true;
    if (!this.#begin(bytes[cut] as number)) return false;
    for (at = cut + 1; at < end; at++) if (!this.#continue(bytes[at] as number)) return false;
    return true;
  }

  /**
   * The ranges are those of RFC 3629, section 4: no overlong form, no surrogate, nothing past
   * U+10FFFF.
   */
  #begin(lead: number): boolean {
    if (lead < 0xc2 || lead > 0xf4) return false;
    this.#missing = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    this.#least = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
    this.#most = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
    return true;
  }

  #continue(byte: number): boolean {
    if (byte < this.#least || byte > this.#most) return false;
    this.#missing--;
    this.#least = 0x80;
    this.#most = 0xbf;
    return true;
  }
}

/**
 * Where a last character begins that needs more bytes than there are before `end`; `end` when there
 * is none.
 */
function incompleteFrom(bytes: Uint8Array, start: number, end: number): number {
  for (let at = end - 1; at >= start && at >= end - 3; at--) {
    const byte = bytes[at] as number;
    if (byte < FIRST_MULTIBYTE) return end;
    if (byte < FIRST_LEAD) continue;
    const length = byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    return at + length > end ? at : end;
  }
  return end;
}
