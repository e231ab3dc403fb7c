/** The span of one call, which ends once. */

import { type Span, SpanStatusCode } from '@opentelemetry/api';
import { notifyOrWarn } from '../../core/callbacks.js';
import { followSignal } from '../../core/signals.js';
import { type CallContext, RpcError } from '../../rpc/index.js';

export class CallSpan {
  readonly #span: Span;
  readonly #served: CallContext | undefined;
  #release: (() => void) | undefined;
  #over = false;

  /** `served`: the call, if it came to us. */
  constructor(span: Span, served: CallContext | undefined) {
    this.#span = span;
    this.#served = served;
  }

  /**
   * Where a stream is served: what nobody reads any more may never end by itself, nor ever be
   * begun.
   */
  endWithCaller(): void {
    if (this.#served === undefined) return;
    this.#release = followSignal(this.#served.signal, () => this.end());
  }

  /** With what the call failed with, if it did. */
  end(error?: unknown): void {
    if (this.#over) return;
    this.#over = true;
    const signal = this.#served?.signal;
    this.#release?.();
    // What the caller was told, or would have been; the handler may have gone on.
    const givenUp = signal?.aborted === true;
    const reason: unknown = givenUp ? signal.reason : error;
    // A span that fails must harm neither the call nor, from the signal of a context, the process.
    notifyOrWarn('a span of the tracer', () => {
      if (reason !== undefined) this.#fail(RpcError.from(reason).code, givenUp);
      return this.#span.end() as unknown;
    });
  }

  #fail(code: string, givenUp: boolean): void {
    this.#span.setAttribute('error.type', code);
    // That a caller has changed its mind is no error of who serves.
    if (!(givenUp && code === 'CANCELLED'))
      this.#span.setStatus({ code: SpanStatusCode.ERROR, message: code });
  }
}
