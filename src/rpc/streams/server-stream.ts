/** The streams of a call on the side that handles it. */
import { RpcError } from '../errors.js';
import { streamsInput, streamsReplies } from '../method-kind.js';
import type { PeerSession } from '../peer/peer-session.js';
import type { CodecName, Method } from '../types.js';
import { copySequence, type Sequence } from '../wire/sequence.js';
import { ItemReceiver } from './item-receiver.js';
import { ItemSender } from './item-sender.js';
import type { StreamMemory } from './stream-memory.js';
import { StreamReader } from './stream-reader.js';
import { StreamWriter } from './stream-writer.js';

/** Receives the arguments that the caller streams. */
class ArgumentReceiver extends ItemReceiver {
  /** See ServerStream.onInvalidMessage. */
  onInvalidMessage: (error: unknown) => RpcError = RpcError.from;

  onInvalidItem(error: unknown): RpcError {
    return this.onInvalidMessage(error);
  }

  /** The call goes on until its handler answers. */
  onReturn(): void {}
}

/** The reader of the arguments and the writer of the replies, if these stream. */
export class ServerStream {
  readonly reader: StreamReader | undefined;
  readonly writer: StreamWriter | undefined;
  readonly #arguments: ArgumentReceiver | undefined;
  readonly #sender: ItemSender | undefined;

  /**
   * `requestSequence`: the sequence of the request; it is copied. `memory`: the memory of all
   * streams that the peer has begun in this session.
   */
  constructor(
    peer: PeerSession,
    method: Method,
    codec: CodecName,
    requestSequence: Sequence,
    memory: StreamMemory,
  ) {
    const sequence = copySequence(requestSequence);
    if (streamsInput(method.kind)) {
      this.#arguments = new ArgumentReceiver(peer, sequence, method.input[codec]);
      this.reader = new StreamReader(peer.streamWindow, memory, this.#arguments);
    }
    if (streamsReplies(method.kind)) {
      this.#sender = new ItemSender(peer, sequence, codec, method.output);
      this.writer = new StreamWriter(this.#sender);
    }
  }

  /** Bytes of the frames of the replies. */
  get bytesSent(): number {
    return this.#sender?.bytesSent ?? 0;
  }

  /**
   * Called with the error of decode() when a message that had waited is invalid. It answers the
   * call and returns the error of the call.
   */
  set onInvalidMessage(callback: (error: unknown) => RpcError) {
    if (this.#arguments !== undefined) this.#arguments.onInvalidMessage = callback;
  }

  /** Ends both streams, because the call is over. */
  stop(reason: RpcError): void {
    this.reader?.discard(reason);
    this.writer?.stop();
  }
}
