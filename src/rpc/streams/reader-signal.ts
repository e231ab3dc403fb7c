/** The signal by which the reader of the replies cancels a call that has not begun. */
import { followSignal } from '../../core/signals.js';

/** The stream of the replies, as their reader ends it. */
export interface ReplySource {
  /** The reader has called return(). May be called more than once, and after the end. */
  onReaderReturned(): void;
}

export class ReaderSignal {
  readonly #given: AbortSignal | undefined;
  readonly #onLinked: () => void;
  #controller: AbortController | undefined;
  #release: (() => void) | undefined;
  /** abort() was called. */
  #isAborted = false;
  #stream: ReplySource | undefined;
  /** The signals of the calls that an interceptor made by with() and another signal. */
  #derived: ReaderSignal[] | undefined;

  /**
   * `given`: the signal of CallOptions. It aborts this signal too. `onLinked` is called when this
   * signal begins to follow `given`: from then on, release() is needed at the end of the call.
   */
  constructor(given: AbortSignal | undefined, onLinked: () => void) {
    this.#given = given;
    this.#onLinked = onLinked;
  }

  /** A signal for the same reader, which follows `given` instead. */
  derive(given: AbortSignal): ReaderSignal {
    const derived = new ReaderSignal(given, this.#onLinked);
    this.#derived ??= [];
    this.#derived.push(derived);
    if (this.#isAborted) derived.abort();
    return derived;
  }

  /** The first access creates the signal, because few calls wait before they begin. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      const controller = new AbortController();
      const given = this.#given;
      this.#controller = controller;
      if (this.#isAborted) controller.abort();
      else if (given?.aborted) controller.abort(given.reason);
      else if (given !== undefined) {
        this.#release = followSignal(given, () => controller.abort(given.reason));
        this.#onLinked();
      }
    }
    return this.#controller.signal;
  }

  /** The signal if it was accessed, otherwise the given one. */
  get inUse(): AbortSignal | undefined {
    return this.#controller?.signal ?? this.#given;
  }

  /** Whether this signal follows the given one, so that release() has an effect. */
  get isLinked(): boolean {
    return this.#release !== undefined || this.#derived?.some((one) => one.isLinked) === true;
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
    for (const one of this.#derived ?? NONE) one.abort();
    this.#controller?.abort();
    this.release();
  }

  /** Stops following the given signal. Called when the call is over. */
  release(): void {
    this.#release?.();
    this.#release = undefined;
    for (const one of this.#derived ?? NONE) one.release();
  }
}

const NONE: readonly ReaderSignal[] = [];
