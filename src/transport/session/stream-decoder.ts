/** Decodes the messages of a byte stream. The codec finds where each message ends. */

import { gettyError } from '../../core/errors.js';
import { ByteReader } from '../buffers/byte-reader.js';
import { now } from './flush-scheduler.js';
import type { ReadingSession } from './message-delivery.js';
import {
  checkReadResult,
  checkSwitches,
  receivedTooLargeError,
  unreadableError,
} from './session-errors.js';
import type { ResolvedSetup } from './session-options.js';

export class StreamDecoder<In, Out> {
  /** The bytes that have arrived and are not decoded. */
  readonly input = new ByteReader();
  readonly #session: ReadingSession<In, Out>;
  #setup: ResolvedSetup<In, Out>;
  /** Whether the codec has returned a message that is no promise. */
  #isCodecChecked = false;
  /** When the incomplete message began: a time of now(). 0: no message is incomplete. */
  #incompleteSince = 0;

  constructor(session: ReadingSession<In, Out>, setup: ResolvedSetup<In, Out>) {
    this.#session = session;
    this.#setup = setup;
  }

  /** Reads further messages with the codec of `setup`. */
  use(setup: ResolvedSetup<In, Out>): void {
    this.#setup = setup;
    this.#isCodecChecked = false;
    this.#incompleteSince = 0;
  }

  /**
   * The next message. Undefined: it is incomplete, or the codec dropped bytes that are no message,
   * or the bytes are invalid and the session has failed. `switches`: how many codecs have passed
   * the bytes on with Session.use().
   */
  next(switches = 0): In | undefined {
    const { codec, maxMessageBytes } = this.#setup;
    const input = this.input;
    const session = this.#session;
    const before = input.length;
    let message: In | undefined;
    try {
      checkSwitches(switches);
      message = codec.read(input, session);
      if (!this.#isCodecChecked) this.#isCodecChecked = checkReadResult(message);
    } catch (error) {
      session.fail(unreadableError(session.remoteAddress, 'bytes', error));
      return undefined;
    }
    const consumed = before - input.length;
    if (message === undefined && consumed === 0) {
      // The codec has called Session.use(): the other codec reads the same bytes.
      // A subclass counts the messages of next(), and counts this one once.
      if (codec !== this.#setup.codec)
        return StreamDecoder.prototype.next.call(this, switches + 1) as typeof message;
      if (before > maxMessageBytes)
        session.fail(receivedTooLargeError(session.remoteAddress, before, maxMessageBytes));
      else if (this.#incompleteSince === 0) this.#incompleteSince = now();
      return undefined;
    }
    this.#incompleteSince = 0;
    if (message === undefined) return undefined;
    if (consumed > 0 && consumed <= maxMessageBytes) return message;
    session.fail(
      consumed === 0
        ? gettyError('BAD_FRAME', 'the codec took no bytes for a message')
        : receivedTooLargeError(session.remoteAddress, consumed, maxMessageBytes),
    );
    return undefined;
  }

  /** The incomplete message, if there is one, began `ms` milliseconds later. */
  postponeTimeout(ms: number): void {
    if (this.#incompleteSince > 0)
      this.#incompleteSince = Math.min(now(), this.#incompleteSince + ms);
  }

  /**
   * How long the peer has been sending one message, in ms. 0: no message is incomplete, or the
   * reader is paused.
   */
  incompleteMessageAge(isPaused: boolean): number {
    if (this.#incompleteSince === 0) return 0;
    if (isPaused) this.#incompleteSince = now();
    return now() - this.#incompleteSince;
  }
}
