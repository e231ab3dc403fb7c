/** The span of one call. */
import { type Span, SpanStatusCode } from '@opentelemetry/api';
import { notifyOrWarn } from '../../core/callbacks.js';
import { followSignal } from '../../core/signals.js';
import { type CallContext, RpcError } from '../../rpc/index.js';

/** A span that ends once, with the outcome of its call. */
export class CallSpan {
  readonly #span: Span;
  readonly #served: CallContext | undefined;
  #releaseSignal: (() => void) | undefined;
  #isEnded = false;

  /** `served`: the call on the side of its handler; undefined on the side of its caller. */
  constructor(span: Span, served: CallContext | undefined) {
    this.#span = span;
    this.#served = served;
  }

  /**
   * Ends the span of a served stream when the call is cancelled, or its session or deadline ends.
   * The stream itself may never end.
   */
  endWithCaller(): void {
    if (this.#served === undefined) return;
    this.#releaseSignal = followSignal(this.#served.signal, () => this.end());
  }

  /** Ends the span. `error`: the error of the call, if it failed. */
  end(error?: unknown): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    const signal = this.#served?.signal;
    this.#releaseSignal?.();
    // If the signal aborted, the caller got its reason, even if the handler answered afterwards.
    const wasAborted = signal?.aborted === true;
    const reason: unknown = wasAborted ? signal.reason : error;
    // An error of the tracer must neither fail the call nor end the process.
    notifyOrWarn('a span of the tracer', () => {
      if (reason !== undefined) this.#fail(RpcError.from(reason).code, wasAborted);
      return this.#span.end() as unknown;
    });
  }

  #fail(code: string, wasAborted: boolean): void {
    this.#span.setAttribute('error.type', code);
    // A cancellation by the caller is not an error of the server.
    if (!(wasAborted && code === 'CANCELLED'))
      this.#span.setStatus({ code: SpanStatusCode.ERROR, message: code });
  }
}
