/** A call that streams, on the side that makes it. */
import { isInstance, messageOf } from '../../core/errors.js';
import { writeErrorOf } from '../calls/call-errors.js';
import { OutgoingCall, type OutgoingCallOwner } from '../calls/outgoing-request.js';
import { copyError, RpcError, withMethod } from '../errors.js';
import { streamsInput, streamsReplies } from '../method-kind.js';
import type { PeerSession } from '../peer/peer-session.js';
import type { Call, CodecName, MessageCodec } from '../types.js';
import { ControlFrame } from '../wire/control-frames.js';
import { COMMAND, type Frame, readCredit } from '../wire/frame.js';
import type { Sequence } from '../wire/sequence.js';
import { isIterable } from './item-iterator.js';
import { ItemReceiver } from './item-receiver.js';
import { ItemSender } from './item-sender.js';
import { StreamMemory } from './stream-memory.js';
import { StreamReader } from './stream-reader.js';
import { StreamWriter } from './stream-writer.js';

/** Removes a pending call without an answer. Returns false when the call has ended before. */
type RemoveCall = (stream: OutgoingStream) => boolean;

/**
 * A call that streams. When the replies stream, its promise resolves to their reader; otherwise to
 * the reply.
 */
export class OutgoingStream extends OutgoingCall {
  /** Settles when the call has ended. It never rejects. */
  readonly ended: Promise<void>;
  #resolveEnded!: () => void;
  readonly #peer: PeerSession;
  readonly #remove: RemoveCall;
  #reader: StreamReader | undefined;
  #writer: StreamWriter | undefined;
  /** The error of a message that could not be written. */
  #sendError: unknown;
  #hasReplies = false;
  /** Bytes of the frames of replies, and of the body of the answer. */
  #received = 0;
  #isCounted = false;

  /** `peer`: an extended peer. `remove`: removes this call from the pending calls. */
  constructor(call: Call, peer: PeerSession, remove: RemoveCall, owner: OutgoingCallOwner) {
    super(call, owner, undefined);
    this.#peer = peer;
    this.#remove = remove;
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
  }

  /** Opens the streams. Call it when the request is written. */
  begin(): void {
    const { method, codec, input } = this.call;
    if (streamsReplies(method.kind)) {
      const replies = new ReplyReceiver(this.#peer, this, method.output[codec], this);
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
        this.#sendError = writeErrorOf(error, `a message of ${service}.${name}`, false);
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
    // The input may throw undefined.
    if (this.#sendError !== undefined && thrown === this.#sendError)
      return this.fail(thrown as RpcError);
    this.fail(
      new RpcError(
        'CANCELLED',
        `${service}.${name} was cancelled because its input failed: ${messageOf(thrown)}`,
        { cause: thrown },
      ),
    );
  }

  /** Removes the call, and sends a cancel frame unless the call has ended. */
  #cancel(): void {
    if (this.#remove(this)) this.#peer.trySend(ControlFrame.cancel(this));
  }

  /** The reader of the replies has called return(). */
  onReaderReturned(): void {
    this.#cancel();
    this.count(new RpcError('CANCELLED', 'the reader of the replies called return()'));
    this.#end();
  }

  /** Only the first call of this method has an effect. */
  override count(error?: RpcError): void {
    if (this.#isCounted) return;
    this.#isCounted = true;
    super.count(error, this.#received);
  }

  #end(error?: RpcError): void {
    this.count(error);
    this.#reader?.end(error);
    this.#writer?.stop();
    this.#resolveEnded();
  }

  override onStream(frame: Frame): boolean {
    if (frame.command === COMMAND.credit) {
      this.#writer?.addCredit(readCredit(frame));
      return true;
    }
    // Only a caller cancels.
    if (frame.command === COMMAND.cancel) return true;
    const reader = this.#reader;
    if (reader === undefined) return super.onStream(frame);
    this.#received += frame.size;
    this.#hasReplies = true;
    try {
      reader.push(frame.bytes, frame.bodyStart, frame.bodyEnd, frame.size);
      return true;
    } catch (error) {
      this.#peer.trySend(ControlFrame.cancel(this));
      this.fail(this.#replyError(error));
      return false;
    }
  }

  /** The error of the call for a reply that push() or decode() rejected with `error`. */
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
    const error = withMethod(this.#replyError(thrown), this.call.method);
    this.#cancel();
    this.fail(error);
    return error;
  }

  override answer(frame: Frame, maxDecodedObjects: number): void {
    this.#received += frame.bodyEnd - frame.bodyStart;
    super.answer(frame, maxDecodedObjects);
  }

  protected override succeed(frame: Frame, codec: CodecName, maxDecodedObjects: number): void {
    if (this.#reader === undefined) super.succeed(frame, codec, maxDecodedObjects);
    else if (frame.command !== COMMAND.end)
      throw new TypeError('it is a single reply, expected the end of a stream');
    this.#end();
  }

  override fail(error: RpcError): void {
    // A call with replies has run, whatever its server says at the end.
    const isWrong = error.unsent && this.#hasReplies;
    const checked = isWrong ? copyError(error, { unsent: false, reason: undefined }) : error;
    const failure = withMethod(checked, this.call.method);
    super.fail(failure);
    this.#end(failure);
  }
}

/** Receives the replies. */
class ReplyReceiver extends ItemReceiver {
  readonly #stream: OutgoingStream;

  constructor(
    peer: PeerSession,
    sequence: Sequence,
    codec: MessageCodec | undefined,
    stream: OutgoingStream,
  ) {
    super(peer, sequence, codec);
    this.#stream = stream;
  }

  onInvalidItem(error: unknown): RpcError {
    return this.#stream.onInvalidReply(error);
  }

  onReturn(): void {
    this.#stream.onReaderReturned();
  }
}

/** Throws INVALID_ARGUMENT when the arguments of the call stream and its input is no iterable. */
export function checkStreamInput({ method, input }: Call): void {
  if (!streamsInput(method.kind) || isIterable(input)) return;
  throw new RpcError(
    'INVALID_ARGUMENT',
    `${method.service}.${method.name} was not sent: got ${typeof input}, expected an iterable of messages`,
    { unsent: true },
  );
}
