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
/** The content type of a record. */
const HANDSHAKE = 22;
/** The type of a handshake message. */
const CLIENT_HELLO = 1;

export type HelloState = 'complete' | 'incomplete' | 'too large' | 'not TLS';

/** The state of the ClientHello with which `bytes` begin. Bytes after it are ignored. */
export function helloState(bytes: Buffer): HelloState {
  let header = Buffer.alloc(0);
  let received = 0;
  let at = 0;
  for (let records = 0; at < bytes.length; records++) {
    if (records === MAX_RECORDS) return 'too large';
    if (bytes[at] !== HANDSHAKE) return 'not TLS';
    const begin = at + RECORD_HEADER_BYTES;
    if (begin > bytes.length) return 'incomplete';
    const size = bytes.readUInt16BE(begin - 2);
    if (size > MAX_RECORD_BYTES) return 'not TLS';
    at = begin + size;
    // The header of the message may be divided among records too.
    header = Buffer.concat([header, bytes.subarray(begin, at)]).subarray(0, MESSAGE_HEADER_BYTES);
    if (header.length > 0 && header[0] !== CLIENT_HELLO) return 'not TLS';
    received += size;
    if (header.length < MESSAGE_HEADER_BYTES) continue;
    const expected = MESSAGE_HEADER_BYTES + header.readUIntBE(1, 3);
    if (expected > MAX_HELLO_BYTES) return 'too large';
    // TLS handles whole records.
    if (received >= expected) return at <= bytes.length ? 'complete' : 'incomplete';
  }
  return 'incomplete';
}
