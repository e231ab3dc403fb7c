import { isUtf8 } from 'node:buffer';

const FIRST_MULTIBYTE = 0x80;
const FIRST_LEAD = 0xc0;

/** Validates UTF-8 (RFC 3629) that arrives in pieces. */
export class Utf8Validator {
  /** Continuation bytes that the last character still needs. */
  #missing = 0;
  /** The range of the next continuation byte. */
  #min = 0x80;
  #max = 0xbf;

  /** The last character is complete. */
  get isComplete(): boolean {
    return this.#missing === 0;
  }

  /** Validates the next bytes, from `start` to `end`. Returns false if they are invalid. */
  push(bytes: Uint8Array, start: number, end: number): boolean {
    let at = start;
    while (at < end && this.#missing > 0) if (!this.#continue(bytes[at++] as number)) return false;
    const complete = endOfCompleteCharacters(bytes, at, end);
    if (complete > at && !isUtf8(bytes.subarray(at, complete))) return false;
    if (complete === end) return true;
    if (!this.#begin(bytes[complete] as number)) return false;
    for (at = complete + 1; at < end; at++) if (!this.#continue(bytes[at] as number)) return false;
    return true;
  }

  /**
   * The ranges of RFC 3629, section 4. They exclude overlong forms, surrogates, and code points
   * above U+10FFFF.
   */
  #begin(lead: number): boolean {
    if (lead < 0xc2 || lead > 0xf4) return false;
    this.#missing = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    this.#min = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
    this.#max = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
    return true;
  }

  #continue(byte: number): boolean {
    if (byte < this.#min || byte > this.#max) return false;
    this.#missing--;
    this.#min = 0x80;
    this.#max = 0xbf;
    return true;
  }
}

/** The index where an incomplete last character begins; `end` if the last one is complete. */
function endOfCompleteCharacters(bytes: Uint8Array, start: number, end: number): number {
  for (let at = end - 1; at >= start && at >= end - 3; at--) {
    const byte = bytes[at] as number;
    if (byte < FIRST_MULTIBYTE) return end;
    if (byte < FIRST_LEAD) continue;
    const length = byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    return at + length > end ? at : end;
  }
  return end;
}
