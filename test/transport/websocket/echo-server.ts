/** A server that sends back each message in its kind, and the frames of a client, by hand. */
import { ByteWriter, type Codec, serve } from '../../../src/transport/index.js';
import { FIN, OPCODE } from '../../../src/transport/websocket/frames/frame-header.js';
import { Recorder } from '../../fixtures/recorder.js';
import { ANY } from '../../fixtures/websocket.js';
import { writeFrame } from './frames/write-frame.js';

export interface Message {
  readonly bytes: Buffer;
  readonly text: boolean | undefined;
}

/** Messages with their kind. */
export const messages: Codec<Message> = {
  read: (input) => ({ text: input.text, bytes: input.take(input.length) }),
  write(output, { bytes, text }) {
    output.asText = text;
    output.append(bytes);
  },
};

/** A server that sends back each message, text as text. */
export async function echoServer(options = {}) {
  const events = new Recorder<Message>('the server', {
    onMessage: (from, message) => from.write(message),
  });
  const server = await serve(ANY, { codec: messages, listener: events, ...options });
  return { server, events, address: server.address, [Symbol.asyncDispose]: () => server.close() };
}

export const hex = (text: string): Buffer => Buffer.from(text.replace(/\s/g, ''), 'hex');

/** A client's frame. */
export function frame(first: number, payload: string | Uint8Array = ''): Buffer {
  const output = new ByteWriter();
  writeFrame(output, Buffer.from(payload), first, true);
  return Buffer.from(output.written);
}

type Payload = string | Uint8Array;

export const text = (payload: Payload): Buffer => frame(FIN | OPCODE.text, payload);
export const firstFragment = (payload: Payload): Buffer => frame(OPCODE.text, payload);
export const fragment = (payload: Payload): Buffer => frame(OPCODE.continuation, payload);
export const lastFragment = (payload: Payload): Buffer => frame(FIN | OPCODE.continuation, payload);
export const ping = (payload = ''): Buffer => frame(FIN | OPCODE.ping, payload);
export const close = (payload: Payload = ''): Buffer => frame(FIN | OPCODE.close, payload);
export const closeWith = (code: number, reason: Payload = ''): Buffer =>
  close(Buffer.concat([hex(code.toString(16).padStart(4, '0')), Buffer.from(reason)]));

/** The frames of the server, in hex. */
export const ECHO_A = '810161';
export const ECHO_ABC = '8103616263';
export const PONG = '8a00';
export const closed = (code: number, reason = ''): string =>
  Buffer.of(0x88, 2 + reason.length, code >> 8, code & 0xff, ...Buffer.from(reason)).toString(
    'hex',
  );
export const PROTOCOL_ERROR = closed(1002, 'BAD_FRAME');
export const INVALID_TEXT = closed(1007, 'BAD_FRAME');
export const TOO_LARGE = closed(1009, 'MESSAGE_TOO_LARGE');
