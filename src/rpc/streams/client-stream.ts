/** The streams of a call on the side that makes it. */
import { isInstance, messageOf } from '../../core/errors.js';
import { unsendable } from '../calls/call-errors.js';
import { type CallCounter, OutgoingCall } from '../calls/outgoing-request.js';
import { RpcError } from '../errors.js';
import { streamsInput, streamsReplies } from '../method-kind.js';
import type { PeerSession } from '../peer/peer-session.js';
import type { Call, CodecName, MessageCodec } from '../types.js';
import { ControlFrame } from '../wire/control-frames.js';
import { COMMAND, type Frame, readCredit } from '../wire/frame.js';
import type { Sequence } from '../wire/sequence.js';
import { isIterable } from './item-iterator.js';
import { ItemSender, StreamCodec } from './stream-codec.js';
import { StreamMemory } from './stream-memory.js';
import { StreamReader } from './stream-reader.js';
import { StreamWriter } from './stream-writer.js';

/** Removes a call, whose answer is not needed. Returns false when the call is over already. */
export type RemoveCall = (stream: OutgoingStream) => boolean;

/** A streaming call. Its promise resolves to the reader of the replies, or to the only reply. */
export class OutgoingStream extends OutgoingCall {
  /** Settles when the call is over. It never rejects. */
  readonly over: Promise<void>;
  #resolveOver!: () => void;
  readonly #peer: PeerSession;
  readonly #remove: RemoveCall;
  #reader: StreamReader | undefined;
  #writer: StreamWriter | undefined;
  /** The error of a message that could not be written. */
  #sendError: unknown;

  /** The peer must be extended. */
  constructor(call: Call, peer: PeerSession, remove: RemoveCall, count: CallCounter) {
    super(call, true, count);
    this.#peer = peer;
    this.#remove = remove;
    this.over = new Promise((resolve) => {
      this.#resolveOver = resolve;
    });
  }

  /** Opens the streams. To be called when the request is written. */
  begin(): void {
    const { method, codec, input } = this.call;
    if (streamsReplies(method.kind)) {
      const replies = new ReplyMessages(this.#peer, this, method.output[codec], this);
      this.#reader = new StreamReader(
        this.#peer.streamWindow,
        new StreamMemory(Number.POSITIVE_INFINITY),
        replies,
      );
      this.#reader.open();
      this.resolve(this.#reader);
    }
    if (!streamsInput(method.kind)) return;
    const sender = new ItemSender(this.#peer, this, codec, method.input);
    const send = (value: unknown): number => {
      try {
        const bytes = sender.send(value);
        this.bodyLength += bytes;
        return bytes;
      } catch (error) {
        const { service, name } = this.call.method;
        this.#sendError = unsendable(error, `a message of ${service}.${name}`, false);
        throw this.#sendError;
      }
    };
    this.#writer = new StreamWriter({ send, drained: () => sender.drained() });
    this.#writer.sendAll(input as AsyncIterable<unknown>).then(
      (isComplete) => isComplete && this.#peer.trySend(ControlFrame.end(this, codec)),
      (error) => this.#onInputError(error),
    );
  }

  #onInputError(thrown: unknown): void {
    const { service, name } = this.call.method;
    this.#cancel();
    if (thrown === this.#sendError) return this.fail(thrown as RpcError);
    this.fail(
      new RpcError(
        'CANCELLED',
        `${service}.${name} was cancelled because its input failed: ${messageOf(thrown)}`,
        { cause: thrown },
      ),
    );
  }

  /** Tells the peer that no answer is needed. */
  #cancel(): void {
    if (this.#remove(this)) this.#peer.trySend(ControlFrame.cancel(this));
  }

  /** The consumer of the replies has called return(). */
  onReaderReturned(): void {
    this.#cancel();
    this.count(new RpcError('CANCELLED', 'the reader of the replies left'));
    this.#end();
  }

  #end(error?: RpcError): void {
    this.count(error);
    this.#reader?.end(error);
    this.#writer?.stop();
    this.#resolveOver();
  }

  override onStream(frame: Frame): boolean {
    if (frame.command === COMMAND.credit) {
      this.#writer?.addCredit(readCredit(frame));
      return true;
    }
    const reader = this.#reader;
    if (reader === undefined) return super.onStream(frame);
    this.received += frame.size;
    try {
      reader.push(frame.bytes, frame.bodyStart, frame.bodyEnd, frame.size);
      return true;
    } catch (error) {
      this.#peer.trySend(ControlFrame.cancel(this));
      this.fail(this.#replyError(error));
      return false;
    }
  }

  /** The error of the call for a reply that was not accepted. */
  #replyError(error: unknown): RpcError {
    if (isInstance(error, RpcError)) return error;
    const { service, name } = this.call.method;
    return new RpcError(
      'INTERNAL',
      `a reply of ${service}.${name} does not parse: ${messageOf(error)}`,
      { cause: error },
    );
  }

  /** decode() threw `thrown` for a reply that had waited. */
  onInvalidReply(thrown: unknown): RpcError {
    const error = this.#replyError(thrown);
    this.#cancel();
    this.fail(error);
    return error;
  }

  protected override succeed(frame: Frame, codec: CodecName, maxDecodedObjects: number): void {
    if (this.#reader === undefined) super.succeed(frame, codec, maxDecodedObjects);
    else if (frame.command !== COMMAND.end)
      throw new TypeError('it is a single reply, expected the end of a stream');
    this.#end();
  }

  override fail(error: RpcError): void {
    super.fail(error);
    this.#end(error);
  }
}

class ReplyMessages extends StreamCodec {
  readonly #stream: OutgoingStream;

  constructor(
    peer: PeerSession,
    sequence: Sequence,
    body: MessageCodec | undefined,
    stream: OutgoingStream,
  ) {
    super(peer, sequence, body);
    this.#stream = stream;
  }

  fail(error: unknown): RpcError {
    return this.#stream.onInvalidReply(error);
  }

  cancel(): void {
    this.#stream.onReaderReturned();
  }
}

/** Throws INVALID_ARGUMENT for a call whose messages cannot be iterated. */
export function checkStreamInput({ method, input }: Call): void {
  if (!streamsInput(method.kind) || isIterable(input)) return;
  throw new RpcError(
    'INVALID_ARGUMENT',
    `${method.service}.${method.name} was not sent: given ${typeof input}, expected messages to iterate`,
    { unsent: true },
  );
}
