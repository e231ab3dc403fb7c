/**
 * The frame of the echo example of Go's getty, in little-endian order. The header has 32 bytes:
 * magic, log id, sequence, service id, command, code, the length of the body, and zeros. The body
 * is one byte of length and a text. The codec uses nothing of Node.js: examples/echo-web runs it in
 * a browser.
 */
import type { Codec } from 'getty-ts';

const MAGIC = 0x20160905;
const HEADER_BYTES = 32;
/** The position of the length of the body. */
const LENGTH_AT = 24;

export const COMMAND = { heartbeat: 0, echo: 1 } as const;

export interface EchoMessage {
  logId: number;
  sequence: number;
  command: number;
  /** At most 255 bytes of UTF-8. */
  text: string;
}

export const echoCodec: Codec<EchoMessage> = {
  read(input) {
    if (input.length < HEADER_BYTES) return undefined;
    const { view, position } = input;
    if (view.getUint32(position, true) !== MAGIC) throw new Error('wrong magic');
    const length = view.getUint16(position + LENGTH_AT, true);
    if (length < 1) throw new Error('a frame without a text');
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
    // The lengths are known after the text. An error above removes all that was written.
    output.view.setUint16(start + LENGTH_AT, size + 1, true);
    output.view.setUint8(start + HEADER_BYTES, size);
  },
};
