/** A call whose replies stream. The reader of the replies can cancel it before it has begun. */
import { ClientCall } from '../calls/client-call.js';
import type { Call, Metadata } from '../types.js';
import type { ReaderSignal, ReplySource } from './reader-signal.js';

export class ReplyStreamCall extends ClientCall {
  readonly #reader: ReaderSignal;

  constructor(call: ClientCall, reader: ReaderSignal) {
    super(call.shape, call.input, call.deadline);
    this.#reader = reader;
  }

  override get signal(): AbortSignal {
    return this.#reader.signal;
  }

  /** Used when the call has begun: then its reader cancels it through the stream. */
  get signalInUse(): AbortSignal | undefined {
    return this.#reader.inUse;
  }

  /** The call has begun with `stream`. */
  followReader(stream: ReplySource): void {
    this.#reader.stream = stream;
  }

  override with(changes: {
    input?: unknown;
    timeout?: number;
    metadata?: Metadata;
    signal?: AbortSignal;
  }): ClientCall {
    const changed = super.with(changes);
    const { signal } = changes;
    const reader = signal === undefined ? this.#reader : this.#reader.derive(signal);
    return new ReplyStreamCall(changed, reader);
  }
}

/** The signal of a call that begins now. It does not create the signal of a ReplyStreamCall. */
export function signalInUse(call: Call): AbortSignal | undefined {
  return call instanceof ReplyStreamCall ? call.signalInUse : call.signal;
}

/** Ends `stream` when the reader of the replies of the call returns. */
export function followReader(call: Call, stream: ReplySource): void {
  if (call instanceof ReplyStreamCall) call.followReader(stream);
}
