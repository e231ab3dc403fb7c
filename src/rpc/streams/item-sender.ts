/** Sends the items of a stream as frames. */
import { RpcError } from '../errors.js';
import type { PeerSession } from '../peer/peer-session.js';
import type { CodecName, Method } from '../types.js';
import { ItemFrame } from '../wire/control-frames.js';
import type { Sequence } from '../wire/sequence.js';
import type { ItemSink } from './stream-writer.js';

export class ItemSender implements ItemSink {
  /** Bytes of the frames. */
  bytesSent = 0;
  readonly #peer: PeerSession;
  readonly #frame: ItemFrame;

  /**
   * `sequence`: the sequence of the call. `codecs`: the codecs of one item. Throws UNIMPLEMENTED
   * when `codecs` does not have `codec`.
   */
  constructor(peer: PeerSession, sequence: Sequence, codec: CodecName, codecs: Method['input']) {
    const encoder = codecs[codec];
    if (encoder === undefined)
      throw new RpcError('UNIMPLEMENTED', `the messages of the stream have no ${codec} codec`);
    this.#peer = peer;
    this.#frame = new ItemFrame(sequence, codec, encoder);
  }

  send(value: unknown): number {
    const frame = this.#frame;
    frame.value = value;
    this.#peer.send(frame);
    this.bytesSent += frame.bytes;
    return frame.bytes;
  }

  drained(): Promise<void> | undefined {
    return this.#peer.drained();
  }
}
