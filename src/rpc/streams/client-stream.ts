/** A streaming call as its caller's channel holds it. */
import { isInstance, messageOf } from '../../core/errors.js';
import { unsendable } from '../calls/call-errors.js';
import { type CallCounter, OutgoingCall } from '../calls/outgoing.js';
import { readCredit } from '../calls/responder.js';
import { RpcError } from '../errors.js';
import { streamsInput, streamsReplies } from '../method-kind.js';
import type { Call, CodecName, MessageCodec } from '../types.js';
import { ControlPacket, type Sequence } from '../wire/control-frames.js';
import { COMMAND, type Frame } from '../wire/frame.js';
import { isIterable, StreamMemory, StreamReader, StreamWriter } from './flow-control.js';
import { IncomingItems, itemSink, type StreamOwner, tell } from './server-stream.js';

export interface OutgoingStreamOwner extends StreamOwner {
  /** Forget the call: no answer is wanted. False: it is over already. */
  drop(stream: OutgoingStream): boolean;
}

/** Its promise is the reader of its replies, or, where these are one, the reply. */
export class OutgoingStream extends OutgoingCall {
  /** Settles when the call is over, however. */
  readonly over: Promise<void>;
  #isOver!: () => void;
  readonly #owner: OutgoingStreamOwner;
  #reader: StreamReader | undefined;
  #writer: StreamWriter | undefined;
  /** Why a message could not be written. */
  #unsendable: unknown;

  /** For an extended peer. */
  constructor(call: Call, owner: OutgoingStreamOwner, count: CallCounter) {
    super(call, true, count);
    this.#owner = owner;
    this.over = new Promise((resolve) => {
      this.#isOver = resolve;
    });
  }

  /** The request is written: the streams begin. */
  begin(): void {
    const { method, codec, input } = this.call;
    if (streamsReplies(method.kind)) {
      const replies = new Replies(this.#owner, this, method.output[codec], this);
      this.#reader = new StreamReader(
        this.#owner.streamWindow,
        new StreamMemory(Number.POSITIVE_INFINITY),
        replies,
      );
      this.#reader.open();
      this.resolve(this.#reader);
    }
    if (!streamsInput(method.kind)) return;
    const sink = itemSink(this.#owner, this, codec, method.input);
    const send = (value: unknown): number => {
      try {
        const bytes = sink.send(value);
        this.bodyLength += bytes;
        return bytes;
      } catch (error) {
        const { service, name } = this.call.method;
        this.#unsendable = unsendable(error, `a message of ${service}.${name}`, false);
        throw this.#unsendable;
      }
    };
    this.#writer = new StreamWriter({ send, room: sink.room });
    this.#writer.pump(input as AsyncIterable<unknown>).then(
      (whole) => whole && tell(this.#owner, ControlPacket.end(this, codec)),
      (error) => this.#inputFailed(error),
    );
  }

  #inputFailed(thrown: unknown): void {
    const { service, name } = this.call.method;
    this.#drop();
    if (thrown === this.#unsendable) return this.fail(thrown as RpcError);
    this.fail(
      new RpcError(
        'CANCELLED',
        `the input of ${service}.${name} failed, so the call was given up: ${messageOf(thrown)}`,
        { cause: thrown },
      ),
    );
  }

  /** We want no answer any more. */
  #drop(): void {
    if (this.#owner.drop(this)) tell(this.#owner, ControlPacket.cancel(this));
  }

  /** The consumer of the replies reads no further. */
  leave(): void {
    this.#drop();
    this.count(new RpcError('CANCELLED', 'its reader left'));
    this.#end();
  }

  #end(error?: RpcError): void {
    this.count(error);
    this.#reader?.end(error);
    this.#writer?.stop();
    this.#isOver();
  }

  override onStream(frame: Frame): boolean {
    if (frame.command === COMMAND.credit) {
      this.#writer?.credit(readCredit(frame));
      return true;
    }
    const reader = this.#reader;
    if (reader === undefined) return super.onStream(frame);
    this.received += frame.size;
    try {
      reader.push(frame.bytes, frame.bodyStart, frame.bodyEnd, frame.size);
      return true;
    } catch (error) {
      tell(this.#owner, ControlPacket.cancel(this));
      this.fail(this.#errorOf(error));
      return false;
    }
  }

  /** Why a reply could not be taken. */
  #errorOf(error: unknown): RpcError {
    if (isInstance(error, RpcError)) return error;
    const { service, name } = this.call.method;
    return new RpcError(
      'INTERNAL',
      `a reply of ${service}.${name} does not parse: ${messageOf(error)}`,
      { cause: error },
    );
  }

  /** A reply that had waited does not parse: decode() has thrown `thrown`. */
  refuseReply(thrown: unknown): RpcError {
    const error = this.#errorOf(thrown);
    this.#drop();
    this.fail(error);
    return error;
  }

  protected override succeed(frame: Frame, codec: CodecName, maxDecodedObjects: number): void {
    if (this.#reader === undefined) super.succeed(frame, codec, maxDecodedObjects);
    else if (frame.command !== COMMAND.end)
      throw new TypeError('it came as one reply, and not as the end of a stream');
    this.#end();
  }

  override fail(error: RpcError): void {
    super.fail(error);
    this.#end(error);
  }
}

class Replies extends IncomingItems {
  readonly #stream: OutgoingStream;

  constructor(
    owner: StreamOwner,
    sequence: Sequence,
    body: MessageCodec | undefined,
    stream: OutgoingStream,
  ) {
    super(owner, sequence, body);
    this.#stream = stream;
  }

  refuse(error: unknown): RpcError {
    return this.#stream.refuseReply(error);
  }

  abandon(): void {
    this.#stream.leave();
  }
}

/** Throws INVALID_ARGUMENT for a call whose messages cannot be iterated. */
export function checkStreamInput({ method, input }: Call): void {
  if (!streamsInput(method.kind) || isIterable(input)) return;
  throw new RpcError(
    'INVALID_ARGUMENT',
    `${method.service}.${method.name} was not sent: given ${typeof input}, expected messages to iterate`,
    {
      unsent: true,
    },
  );
}
