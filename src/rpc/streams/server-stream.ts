/**
 * A streaming call as its answering side holds it: what it reads of the caller's messages, and what
 * it writes of its own.
 */
import type { Bytes } from '../../core/bytes.js';
import { RpcError } from '../errors.js';
import { streamsInput, streamsReplies } from '../method-kind.js';
import type { CodecName, MessageCodec, Method } from '../types.js';
import { ControlPacket, ItemPacket, type Sequence } from '../wire/control-frames.js';
import {
  type StreamCall,
  type StreamMemory,
  StreamReader,
  type StreamSink,
  StreamWriter,
} from './flow-control.js';

/** What a stream needs of its channel. */
export interface StreamOwner {
  readonly streamWindow: number;
  /** Objects of one message. */
  readonly maxDecodedObjects: number;
  /** Throws what encoding throws, and SESSION_CLOSED. */
  sendPacket(packet: ItemPacket | ControlPacket): void;
  /** As StreamSink.room. */
  room(): Promise<void> | undefined;
}

/** Send a word that may as well be lost with the session. */
export function tell(owner: StreamOwner, packet: ControlPacket): void {
  try {
    owner.sendPacket(packet);
  } catch {
    // The session is closed, or blocked until it is.
  }
}

/** A sink that writes messages as the items of a stream. */
export function itemSink(
  owner: StreamOwner,
  sequence: Sequence,
  codec: CodecName,
  body: Method['input'],
): StreamSink {
  const encoder = body[codec];
  if (encoder === undefined)
    throw new RpcError('UNIMPLEMENTED', `the messages have no ${codec} form`);
  const packet = new ItemPacket(sequence, codec, encoder);
  return {
    send(value) {
      packet.value = value;
      owner.sendPacket(packet);
      return packet.bytes;
    },
    room: () => owner.room(),
  };
}

/**
 * The bodies of a stream's messages, and the credits for its writer: what both sides of a call tell
 * their readers.
 */
export abstract class IncomingItems implements StreamCall<unknown> {
  readonly #owner: StreamOwner;
  readonly #sequence: Sequence;
  readonly #body: MessageCodec | undefined;

  /** `sequence`: that of the writer. */
  constructor(owner: StreamOwner, sequence: Sequence, body: MessageCodec | undefined) {
    this.#owner = owner;
    this.#sequence = sequence;
    this.#body = body;
  }

  decode(bytes: Bytes, start: number, end: number): unknown {
    return this.#body?.decode(bytes, start, end, this.#owner.maxDecodedObjects);
  }

  grant(bytes: number): void {
    tell(this.#owner, ControlPacket.credit(this.#sequence, bytes));
  }

  abstract refuse(error: unknown): RpcError;
  abstract abandon(): void;
}

class CallerItems extends IncomingItems {
  /** See ServerStream.onRefusal. */
  onRefusal: (error: unknown) => RpcError = RpcError.from;

  refuse(error: unknown): RpcError {
    return this.onRefusal(error);
  }

  abandon(): void {}
}

export class ServerStream {
  readonly reader: StreamReader | undefined;
  readonly writer: StreamWriter | undefined;
  readonly #items: CallerItems | undefined;

  /** `memory`: of all streams that the peer of this session has begun. */
  constructor(
    owner: StreamOwner,
    method: Method,
    codec: CodecName,
    tags: Sequence,
    memory: StreamMemory,
  ) {
    const sequence = { sequenceLow: tags.sequenceLow, sequenceHigh: tags.sequenceHigh };
    if (streamsInput(method.kind)) {
      this.#items = new CallerItems(owner, sequence, method.input[codec]);
      this.reader = new StreamReader(owner.streamWindow, memory, this.#items);
    }
    if (streamsReplies(method.kind))
      this.writer = new StreamWriter(itemSink(owner, sequence, codec, method.output));
  }

  /**
   * Is called with what decode() has thrown when a message that had waited does not parse; answers
   * the call and returns its error.
   */
  set onRefusal(onRefusal: (error: unknown) => RpcError) {
    if (this.#items !== undefined) this.#items.onRefusal = onRefusal;
  }

  /** Nobody waits for it any more. */
  stop(reason: RpcError): void {
    this.reader?.discard(reason);
    this.writer?.stop();
  }
}
