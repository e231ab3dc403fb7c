/** A streaming call as its answering side holds it: what it reads of the caller's messages, and what it writes of its own. */
import { streamsInput, streamsReplies } from './call.js';
import { RpcError } from './errors.js';
import type { Frame } from './frame.js';
import { type StreamMemory, StreamReader, type StreamSink, StreamWriter } from './stream.js';
import { ControlPacket, ItemPacket, type Sequence } from './stream-packets.js';
import type { CodecName, Method } from './types.js';

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
export function itemSink(owner: StreamOwner, sequence: Sequence, codec: CodecName, body: Method['input']): StreamSink {
  const encoder = body[codec];
  if (encoder === undefined) throw new RpcError('UNIMPLEMENTED', `the messages have no ${codec} form`);
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

/** A reader whose credits go to the writer of `sequence`. */
export function creditedReader(owner: StreamOwner, sequence: Sequence, memory: StreamMemory, abandon: () => void): StreamReader {
  const grant = (bytes: number): void => tell(owner, ControlPacket.credit(sequence, bytes));
  return new StreamReader(owner.streamWindow, memory, grant, abandon);
}

export class ServerStream {
  readonly reader: StreamReader | undefined;
  readonly writer: StreamWriter | undefined;

  /** `memory`: of all streams that the peer of this session has begun. */
  constructor(owner: StreamOwner, method: Method, codec: CodecName, tags: Sequence, memory: StreamMemory) {
    const sequence = { sequenceLow: tags.sequenceLow, sequenceHigh: tags.sequenceHigh };
    if (streamsInput(method.kind)) this.reader = creditedReader(owner, sequence, memory, () => {});
    if (streamsReplies(method.kind)) this.writer = new StreamWriter(itemSink(owner, sequence, codec, method.output));
  }

  /** Nobody waits for it any more. */
  stop(reason: RpcError): void {
    this.reader?.discard(reason);
    this.writer?.stop();
  }

  /** A message of the caller's. Throws when it does not parse, or came without credit. */
  push(frame: Frame, method: Method, codec: CodecName, maxDecodedObjects: number): void {
    this.reader?.push(method.input[codec]?.decode(frame.bytes, frame.bodyStart, frame.bodyEnd, maxDecodedObjects), frame.size);
  }
}
