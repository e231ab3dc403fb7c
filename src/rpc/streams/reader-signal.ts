/** The signal by which the reader of the replies cancels a call that has not begun. */
import { followSignal } from '../../core/signals.js';

/** The stream of the replies, as their reader ends it. */
export interface ReplySource {
  /** The reader has called return(). May be called more than once, and after the end. */
  onReaderReturned(): void;
}

export class ReaderSignal {
  readonly #given: AbortSignal | undefined;
  #controller: AbortController | undefined;
  #release: (() => void) | undefined;
  /** abort() was called. */
  #isAborted = false;
  #stream: ReplySource | undefined;

  /** `given`: the signal of CallOptions. It aborts this signal too. */
  constructor(given: AbortSignal | undefined) {
    this.#given = given;
  }

  /** The first access creates the signal, because few calls wait before they begin. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      const controller = new AbortController();
      const given = this.#given;
      this.#controller = controller;
      if (this.#isAborted) controller.abort();
      else if (given?.aborted) controller.abort(given.reason);
      else if (given !== undefined)
        this.#release = followSignal(given, () => controller.abort(given.reason));
    }
    return this.#controller.signal;
  }

  /** The signal if it was accessed, otherwise the given one. */
  get inUse(): AbortSignal | undefined {
    return this.#controller?.signal ?? this.#given;
  }

  /** Whether this signal follows the given one, so that release() has an effect. */
  get isLinked(): boolean {
    return this.#release !== undefined;
  }

  /** Sets the stream whose call ends with the reader, also if an interceptor wraps its replies. */
  set stream(stream: ReplySource) {
    this.#stream = stream;
    if (this.#isAborted) stream.onReaderReturned();
  }

  /** Called when the reader of the replies has called return(). */
  abort(): void {
    this.#isAborted = true;
    // First, so that a pending read ends without the error of the signal.
    this.#stream?.onReaderReturned();
    this.#controller?.abort();
    this.release();
  }

  /** Stops following the given signal. Called when the call is over. */
  release(): void {
    this.#release?.();
    this.#release = undefined;
  }
}
