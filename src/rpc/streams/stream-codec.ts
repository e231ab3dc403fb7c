/** How the messages and credits of a stream become frames, and frames become messages. */
import type { Bytes } from '../../core/bytes.js';
import { RpcError } from '../errors.js';
import type { PeerSession } from '../peer/peer-session.js';
import type { CodecName, MessageCodec, Method } from '../types.js';
import { ControlFrame, ItemFrame } from '../wire/control-frames.js';
import type { Sequence } from '../wire/sequence.js';
import type { ReaderCall } from './stream-reader.js';
import type { ItemSink } from './stream-writer.js';

/** Sends the messages of a stream as frames. */
export class ItemSender implements ItemSink {
  readonly #peer: PeerSession;
  readonly #frame: ItemFrame;

  /** Throws UNIMPLEMENTED when the messages have no form in the codec. */
  constructor(peer: PeerSession, sequence: Sequence, codec: CodecName, body: Method['input']) {
    const encoder = body[codec];
    if (encoder === undefined)
      throw new RpcError('UNIMPLEMENTED', `the messages have no ${codec} form`);
    this.#peer = peer;
    this.#frame = new ItemFrame(sequence, codec, encoder);
  }

  send(value: unknown): number {
    const frame = this.#frame;
    frame.value = value;
    this.#peer.send(frame);
    return frame.bytes;
  }

  drained(): Promise<void> | undefined {
    return this.#peer.drained();
  }
}

/** Decodes the messages of a stream and sends the credits for them. */
export abstract class StreamCodec implements ReaderCall<unknown> {
  readonly #peer: PeerSession;
  readonly #sequence: Sequence;
  readonly #body: MessageCodec | undefined;

  /** `sequence`: of the call. */
  constructor(peer: PeerSession, sequence: Sequence, body: MessageCodec | undefined) {
    this.#peer = peer;
    this.#sequence = sequence;
    this.#body = body;
  }

  decode(bytes: Bytes, start: number, end: number): unknown {
    return this.#body?.decode(bytes, start, end, this.#peer.maxDecodedObjects);
  }

  sendCredit(bytes: number): void {
    this.#peer.trySend(ControlFrame.credit(this.#sequence, bytes));
  }

  abstract fail(error: unknown): RpcError;
  abstract cancel(): void;
}
