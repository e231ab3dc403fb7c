/**
 * The package of the Go getty's echo example, little-endian: magic, log id, sequence, service id,
 * command, code, the length of what follows the header, zeros up to 32 bytes; then a string behind
 * one byte of length. It needs nothing of Node.js: examples/echo-web has it in a page.
 */
import type { Codec } from 'getty-ts';

const MAGIC = 0x20160905;
const HEADER_BYTES = 32;
/** Where the length of what follows the header stands. */
const LENGTH_AT = 24;

export const COMMAND = { heartbeat: 0, echo: 1 } as const;

export interface EchoPackage {
  logId: number;
  sequence: number;
  command: number;
  /** At most 255 bytes of UTF-8. */
  text: string;
}

export const echoCodec: Codec<EchoPackage> = {
  read(input) {
    if (input.length < HEADER_BYTES) return undefined;
    const { view, position } = input;
    if (view.getUint32(position, true) !== MAGIC) throw new Error('wrong magic');
    const length = view.getUint16(position + LENGTH_AT, true);
    if (length < 1) throw new Error('a package without its string');
    if (input.length < HEADER_BYTES + length) return undefined;
    const message = {
      logId: view.getUint32(position + 4, true),
      sequence: view.getUint32(position + 8, true),
      command: view.getUint32(position + 16, true),
    };
    input.skip(HEADER_BYTES);
    const [size = 0] = input.take(1);
    if (size !== length - 1) throw new Error('the two lengths differ');
    return { ...message, text: input.takeText(size) };
  },

  write(output, { logId, sequence, command, text }) {
    const start = output.length;
    for (const word of [MAGIC, logId, sequence, 0, command, 0]) output.uint32(word, true);
    for (let at = LENGTH_AT; at <= HEADER_BYTES; at++) output.uint8(0);
    const size = output.text(text);
    if (size > 255) throw new RangeError(`the text has ${size} bytes, expected at most 255`);
    // The lengths are known when the text is written; what is thrown above takes all of it back.
    output.view.setUint16(start + LENGTH_AT, size + 1, true);
    output.view.setUint8(start + HEADER_BYTES, size);
  },
};
