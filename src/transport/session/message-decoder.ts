/** Decodes the messages of a message transport (UDP, WebSocket), which keeps them apart. */

import type { Bytes } from '../../core/bytes.js';
import { ByteReader } from '../buffers/byte-reader.js';
import type { ReadingSession } from './message-delivery.js';
import {
  checkReadResult,
  checkSwitches,
  receivedTooLargeError,
  unreadableError,
} from './session-errors.js';
import type { ResolvedSetup } from './session-options.js';

/** A message of a message transport; as in ConnectionEvents.onMessage. */
export interface WholeMessage {
  readonly bytes: Bytes;
  readonly start: number;
  readonly end: number;
  readonly text: boolean | undefined;
}

export class MessageDecoder<In, Out> {
  /** Empty between two calls of decode(). */
  readonly input = new ByteReader();
  readonly #session: ReadingSession<In, Out>;
  #setup: ResolvedSetup<In, Out>;
  /** Whether the codec has returned a message that is no promise. */
  #isCodecChecked = false;

  constructor(session: ReadingSession<In, Out>, setup: ResolvedSetup<In, Out>) {
    this.#session = session;
    this.#setup = setup;
  }

  /** Reads further messages with the codec of `setup`. */
  use(setup: ResolvedSetup<In, Out>): void {
    this.#setup = setup;
    this.#isCodecChecked = false;
  }

  /**
   * Decodes bytes that must be exactly one message of the codec. Undefined: the bytes are invalid,
   * which is reported, or the codec dropped bytes that are no message, such as an empty line.
   * `switches`: how many codecs have passed the bytes on with Session.use().
   */
  decode(
    bytes: Bytes,
    text: boolean | undefined,
    start: number,
    end: number,
    switches = 0,
  ): In | undefined {
    const { codec, maxMessageBytes } = this.#setup;
    const input = this.input;
    const session = this.#session;
    const size = end - start;
    input.feedMessage(bytes, start, end);
    input.text = text;
    try {
      if (size > maxMessageBytes)
        throw receivedTooLargeError(session.remoteAddress, size, maxMessageBytes);
      checkSwitches(switches);
      const message = codec.read(input, session);
      if (!this.#isCodecChecked) this.#isCodecChecked = checkReadResult(message);
      // The codec has called Session.use(): the other codec reads the same bytes.
      if (message === undefined && input.length === size && codec !== this.#setup.codec) {
        input.skip(size);
        return this.decode(bytes, text, start, end, switches + 1);
      }
      if (message === undefined && (input.length > 0 || size === 0))
        throw new Error('it is incomplete');
      // The codec may drop the rest, such as an empty line.
      const left = input.length;
      if (left > 0 && (codec.read(input, session) !== undefined || input.length > 0))
        throw new Error(`${left} of its bytes are left over`);
      return message;
    } catch (error) {
      input.skip(input.length);
      this.#onBadMessage(error, size);
      return undefined;
    }
  }

  /**
   * Reports the error to onError. On UDP the session continues, because the sender may be forged.
   * Any other session ends.
   */
  #onBadMessage(cause: unknown, size: number): void {
    const session = this.#session;
    const error = unreadableError(session.remoteAddress, `a message of ${size} bytes`, cause);
    if (session.lossy) session.report(error);
    else session.fail(error);
  }
}
