/**
 * A message that is encoded once for many sessions. Connections that make the same frame of it
 * share the bytes of the frame.
 */
import { type Bytes, keepable } from '../../core/bytes.js';
import { refusePromise } from '../../core/callbacks.js';
import type { Codec, Connection, Session } from '../types.js';
import { ByteWriter } from './byte-writer.js';

/** Bytes. No header of a WebSocket frame without a mask is larger. */
const MAX_HEADER_BYTES = 10;

export class SharedMessage {
  readonly codec: Codec<never, unknown>;
  /** What the codec has written. It is never changed. */
  readonly payload: Bytes;
  /** See ByteWriter.asText. */
  readonly #asText: boolean | undefined;
  /** Frames by Connection.frameKey, or why there is none, such as text that is not UTF-8. */
  readonly #frames = new Map<string, { readonly bytes: Bytes } | { readonly error: unknown }>();

  /** Calls the codec, with one of the sessions. Throws ENCODE_FAILED, or the error of the codec. */
  constructor(codec: Codec<never, unknown>, message: unknown, session: Session<never, unknown>) {
    this.codec = codec;
    const output = new ByteWriter();
    const outcome = codec.write(output, message, session);
    if (outcome !== undefined) refusePromise('ENCODE_FAILED', 'write() of the codec', outcome);
    this.payload = keepable(output.bytes, 0, output.length);
    this.#asText = output.asText;
  }

  /**
   * The bytes that `connection` shares with others. Undefined: it makes a frame of its own. Throws
   * what endMessage() of the first connection has thrown.
   */
  bytesFor(connection: Connection): Bytes | undefined {
    if (connection.endMessage === undefined) return this.payload;
    const key = connection.frameKey;
    if (key === undefined) return undefined;
    const frame = this.#frames.get(key) ?? this.#addFrame(key, connection);
    if ('error' in frame) throw frame.error;
    return frame.bytes;
  }

  #addFrame(key: string, connection: Connection): { bytes: Bytes } | { error: unknown } {
    let frame: { bytes: Bytes } | { error: unknown };
    try {
      const output = new ByteWriter(this.payload.length + MAX_HEADER_BYTES);
      this.appendTo(output, connection);
      frame = { bytes: keepable(output.bytes, 0, output.length) };
    } catch (error) {
      frame = { error };
    }
    this.#frames.set(key, frame);
    return frame;
  }

  /** Appends the frame that `connection` makes of the message. */
  appendTo(output: ByteWriter, connection: Connection): void {
    const start = output.length;
    connection.beginMessage?.(output);
    if (this.#asText !== undefined) output.asText = this.#asText;
    output.append(this.payload);
    connection.endMessage?.(output, start);
  }
}
