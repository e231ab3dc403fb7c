/** The streams of a call on the side that serves it. */
import { RpcError } from '../errors.js';
import { streamsInput, streamsReplies } from '../method-kind.js';
import type { PeerSession } from '../peer/peer-session.js';
import type { CodecName, Method } from '../types.js';
import { copySequence, type Sequence } from '../wire/sequence.js';
import { ItemSender, StreamCodec } from './stream-codec.js';
import type { StreamMemory } from './stream-memory.js';
import { StreamReader } from './stream-reader.js';
import { StreamWriter } from './stream-writer.js';

class CallerMessages extends StreamCodec {
  /** See ServerStream.onInvalidMessage. */
  onInvalidMessage: (error: unknown) => RpcError = RpcError.from;

  fail(error: unknown): RpcError {
    return this.onInvalidMessage(error);
  }

  cancel(): void {}
}

export class ServerStream {
  readonly reader: StreamReader | undefined;
  readonly writer: StreamWriter | undefined;
  readonly #messages: CallerMessages | undefined;

  /** `memory`: of all streams that the peer of this session has begun. */
  constructor(
    peer: PeerSession,
    method: Method,
    codec: CodecName,
    ids: Sequence,
    memory: StreamMemory,
  ) {
    const sequence = copySequence(ids);
    if (streamsInput(method.kind)) {
      this.#messages = new CallerMessages(peer, sequence, method.input[codec]);
      this.reader = new StreamReader(peer.streamWindow, memory, this.#messages);
    }
    if (streamsReplies(method.kind))
      this.writer = new StreamWriter(new ItemSender(peer, sequence, codec, method.output));
  }

  /**
   * Called with the error of decode() when a message that had waited is invalid. It answers the
   * call and returns the error of the call.
   */
  set onInvalidMessage(callback: (error: unknown) => RpcError) {
    if (this.#messages !== undefined) this.#messages.onInvalidMessage = callback;
  }

  /** Ends both streams, because the call is over. */
  stop(reason: RpcError): void {
    this.reader?.discard(reason);
    this.writer?.stop();
  }
}
