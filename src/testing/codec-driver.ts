/** Calls a codec as a session does, without a connection. */
import { type Bytes, copy } from '../core/bytes.js';
import { promiseOf } from '../core/callbacks.js';
import { gettyError } from '../core/errors.js';
import { ByteReader, ByteWriter } from '../transport/index.js';
import { TransportSession } from '../transport/session/session.js';
import { receivedTooLargeError } from '../transport/session/session-errors.js';
import { resolveSetup } from '../transport/session/session-options.js';
import type { Codec, Connection, Session } from '../transport/types.js';

const ADDRESS = 'test://codec';

/** A connection that drops all bytes. */
const SINK: Connection = {
  localAddress: ADDRESS,
  remoteAddress: ADDRESS,
  bufferedBytes: 0,
  attach() {},
  write() {},
  pause() {},
  resume() {},
  end() {},
  destroy() {},
} as Connection;

/** A session for the argument `session` of a codec. It is not open, and holds no timer. */
function detachedSession<In, Out>(
  codec: Codec<In, Out>,
  maxMessageBytes: number,
): Session<In, Out> {
  const setup = resolveSetup<In, Out>({ codec, listener: { onMessage() {} }, maxMessageBytes });
  return new TransportSession<In, Out>(
    {
      id: 0,
      type: 'client',
      address: ADDRESS,
      addresses: [ADDRESS],
      addressOf: () => ADDRESS,
      sessions: new Set(),
      closed: false,
      close: async () => {},
      destroy() {},
      onSessionClosed() {},
      async [Symbol.asyncDispose]() {},
    },
    SINK,
    setup,
  );
}

/** What a codec made of some chunks. */
export interface Decoded<In> {
  readonly messages: readonly In[];
  /** What the codec threw, or the error with which a session ends. Undefined: none. */
  readonly error: unknown;
  /** Bytes that the codec did not take. */
  readonly unread: number;
}

export class CodecDriver<In, Out> {
  readonly #codec: Codec<In, Out>;
  readonly #maxMessageBytes: number;

  /** `maxMessageBytes`: as in SessionOptions. */
  constructor(codec: Codec<In, Out>, maxMessageBytes: number) {
    this.#codec = codec;
    this.#maxMessageBytes = maxMessageBytes;
  }

  /** A copy of the bytes of the messages. Throws the error of the codec. */
  encode(messages: readonly Out[]): Bytes {
    const session = detachedSession(this.#codec, this.#maxMessageBytes);
    const output = new ByteWriter();
    for (const message of messages) {
      ByteWriter.beginMessage(output);
      const outcome = this.#codec.write(output, message, session);
      refusePromise('write', outcome);
    }
    return copy(output.written);
  }

  /** Reads the chunks with a new session. Each chunk is copied, as if a socket had received it. */
  decode(chunks: readonly Uint8Array[]): Decoded<In> {
    const session = detachedSession(this.#codec, this.#maxMessageBytes);
    const input = new ByteReader();
    const messages: In[] = [];
    try {
      for (const chunk of chunks) {
        if (chunk.length === 0) continue;
        input.feed(copy(chunk));
        this.#readAll(input, session, messages);
        input.release();
      }
    } catch (error) {
      return { messages, error, unread: input.length };
    }
    return { messages, error: undefined, unread: input.length };
  }

  /** Accepts and refuses what SessionReader accepts and refuses. */
  #readAll(input: ByteReader, session: Session<In, Out>, messages: In[]): void {
    while (input.length > 0) {
      const before = input.length;
      const message = this.#codec.read(input, session);
      refusePromise('read', message);
      const taken = before - input.length;
      if (message === undefined) {
        if (taken > 0) continue;
        if (before > this.#maxMessageBytes) throw this.#tooLarge(before);
        return;
      }
      if (taken === 0) throw gettyError('BAD_FRAME', 'read() took no bytes for a message');
      if (taken < 0) throw gettyError('BAD_FRAME', `read() gave ${-taken} bytes back`);
      if (taken > this.#maxMessageBytes) throw this.#tooLarge(taken);
      messages.push(message);
    }
  }

  #tooLarge(size: number): Error {
    return receivedTooLargeError('the test', size, this.#maxMessageBytes);
  }
}

function refusePromise(name: 'read' | 'write', outcome: unknown): void {
  const promise = promiseOf(outcome);
  if (promise === undefined) return;
  promise.catch(() => {});
  throw new TypeError(`${name}() of the codec must be synchronous: it returned a promise`);
}
