/** Decodes the items of a stream, and sends the credits of its reader as frames. */
import type { Bytes } from '../../core/bytes.js';
import type { RpcError } from '../errors.js';
import type { PeerSession } from '../peer/peer-session.js';
import type { MessageCodec } from '../types.js';
import { ControlFrame } from '../wire/control-frames.js';
import type { Sequence } from '../wire/sequence.js';
import type { ReaderCall } from './stream-reader.js';

export abstract class ItemReceiver implements ReaderCall<unknown> {
  readonly #peer: PeerSession;
  readonly #sequence: Sequence;
  readonly #codec: MessageCodec | undefined;

  /** `sequence`: the sequence of the call. Without a codec each item is undefined. */
  constructor(peer: PeerSession, sequence: Sequence, codec: MessageCodec | undefined) {
    this.#peer = peer;
    this.#sequence = sequence;
    this.#codec = codec;
  }

  decode(bytes: Bytes, start: number, end: number): unknown {
    return this.#codec?.decode(bytes, start, end, this.#peer.maxDecodedObjects);
  }

  sendCredit(bytes: number): void {
    this.#peer.trySend(ControlFrame.credit(this.#sequence, bytes));
  }

  abstract onInvalidItem(error: unknown): RpcError;
  abstract onReturn(): void;
}
