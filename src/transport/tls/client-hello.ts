/** Recognizes the first message of a TLS client (RFC 8446, sections 4.1.2 and 5.1). */

/** Bytes. Node.js and browsers send 300 to 2,000. */
export const MAX_HELLO_BYTES = 16 * 1024;
/** The most records for one ClientHello. Most clients send one. */
const MAX_RECORDS = 64;
/** Bytes: the longest record that is not encrypted. */
const MAX_RECORD_BYTES = 16 * 1024;

/** Content type, version and length. */
const RECORD_HEADER_BYTES = 5;
/** Message type and length. */
const MESSAGE_HEADER_BYTES = 4;
/** The content type of a record, and so the first byte of a client. */
export const TLS_HANDSHAKE = 22;
/** The type of a handshake message. */
const CLIENT_HELLO = 1;

export type HelloState = 'complete' | 'incomplete' | 'too large' | 'not TLS';

/** Finds the end of a ClientHello whose bytes arrive in parts. */
export class ClientHelloScanner {
  #records = 0;
  /** Bytes of the header of a record that have arrived. */
  #headerBytes = 0;
  /** The length in the header of a record, as far as it has arrived. */
  #recordBytes = 0;
  /** Bytes of a record that have not arrived. */
  #left = 0;
  /** Bytes of the message that have arrived, with its header. */
  #received = 0;
  /** The length in the header of the message, as far as it has arrived. */
  #messageBytes = 0;

  /** `bytes`: what has arrived since the last call. Bytes after the ClientHello are ignored. */
  scan(bytes: Uint8Array): HelloState {
    let state: HelloState = 'incomplete';
    for (let at = 0; at < bytes.length && state === 'incomplete'; ) {
      if (this.#left === 0) state = this.#scanRecordHeader(bytes[at++] as number);
      else {
        const end = Math.min(at + this.#left, bytes.length);
        state = this.#scanRecord(bytes, at, end);
        at = end;
      }
    }
    return state;
  }

  #scanRecordHeader(byte: number): HelloState {
    if (this.#headerBytes === 0) {
      if (this.#records === MAX_RECORDS) return 'too large';
      if (byte !== TLS_HANDSHAKE) return 'not TLS';
      this.#records++;
      this.#recordBytes = 0;
    }
    this.#headerBytes++;
    // The last two bytes are the length.
    if (this.#headerBytes >= RECORD_HEADER_BYTES - 1)
      this.#recordBytes = this.#recordBytes * 256 + byte;
    if (this.#headerBytes < RECORD_HEADER_BYTES) return 'incomplete';
    this.#headerBytes = 0;
    this.#left = this.#recordBytes;
    return this.#left > MAX_RECORD_BYTES ? 'not TLS' : 'incomplete';
  }

  #scanRecord(bytes: Uint8Array, start: number, end: number): HelloState {
    this.#left -= end - start;
    let at = start;
    for (; at < end && this.#received < MESSAGE_HEADER_BYTES; at++, this.#received++) {
      const byte = bytes[at] as number;
      if (this.#received > 0) this.#messageBytes = this.#messageBytes * 256 + byte;
      else if (byte !== CLIENT_HELLO) return 'not TLS';
    }
    this.#received += end - at;
    if (this.#received < MESSAGE_HEADER_BYTES) return 'incomplete';
    const expected = MESSAGE_HEADER_BYTES + this.#messageBytes;
    if (expected > MAX_HELLO_BYTES) return 'too large';
    // TLS handles whole records.
    return this.#received >= expected && this.#left === 0 ? 'complete' : 'incomplete';
  }
}
