/** A call whose replies stream, and the signal by which its reader cancels it. */
import { followSignal } from '../../core/signals.js';
import { ClientCall } from '../calls/client-call.js';
import type { Call, Metadata } from '../types.js';

/**
 * The signal by which the reader of the replies cancels a call that has not begun. Few calls wait
 * to begin, so the first access creates the signal.
 */
export class ReaderSignal {
  readonly #given: AbortSignal | undefined;
  #abort: AbortController | undefined;
  #release: (() => void) | undefined;
  #hasLeft = false;

  /** `given`: the signal of CallOptions. It aborts this signal too. */
  constructor(given: AbortSignal | undefined) {
    this.#given = given;
  }

  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      const abort = new AbortController();
      const given = this.#given;
      this.#abort = abort;
      if (this.#hasLeft) abort.abort();
      else if (given?.aborted) abort.abort(given.reason);
      else if (given !== undefined)
        this.#release = followSignal(given, () => abort.abort(given.reason));
    }
    return this.#abort.signal;
  }

  /** The signal if it was accessed, otherwise the given one. */
  get inUse(): AbortSignal | undefined {
    return this.#abort?.signal ?? this.#given;
  }

  /** Whether this signal follows the given one, so that release() has an effect. */
  get isLinked(): boolean {
    return this.#release !== undefined;
  }

  /** Aborts the signal: the reader wants no more replies. */
  abort(): void {
    this.#hasLeft = true;
    this.#abort?.abort();
    this.release();
  }

  /** Stops following the given signal. To be called when the call is over. */
  release(): void {
    this.#release?.();
    this.#release = undefined;
  }
}

/** A call whose replies stream. */
export class ReplyStreamCall extends ClientCall {
  readonly #reader: ReaderSignal;

  constructor(call: ClientCall, reader: ReaderSignal) {
    super(
      call.method,
      call.input,
      call.codec,
      call.timeout,
      call.metadata,
      undefined,
      call.onMetadata,
      call.deadline,
    );
    this.#reader = reader;
  }

  override get signal(): AbortSignal {
    return this.#reader.signal;
  }

  /** For a call that has begun: its reader cancels it through the stream. */
  get signalInUse(): AbortSignal | undefined {
    return this.#reader.inUse;
  }

  override with(changes: {
    input?: unknown;
    timeout?: number;
    metadata?: Metadata;
    signal?: AbortSignal;
  }): ClientCall {
    const changed = super.with(changes);
    return changes.signal === undefined ? new ReplyStreamCall(changed, this.#reader) : changed;
  }
}

/** The signal of a call that begins now. It does not create the signal of a ReplyStreamCall. */
export function signalInUse(call: Call): AbortSignal | undefined {
  return call instanceof ReplyStreamCall ? call.signalInUse : call.signal;
}
