/** The span of one call. */
import { type Span, SpanStatusCode } from '@opentelemetry/api';
import { notifyOrWarn } from '../../core/callbacks.js';
import { followSignal } from '../../core/signals.js';
import { LongTimer } from '../../core/timers.js';
import { type Call, RpcError } from '../../rpc/index.js';

/** A span that ends once, with the outcome of its call. */
export class CallSpan {
  readonly #span: Span;
  readonly #call: Call;
  readonly #isServed: boolean;
  #releaseSignal: (() => void) | undefined;
  #deadline: LongTimer | undefined;
  #isEnded = false;

  /** `isServed`: the call is that of a handler. False: it is that of a caller. */
  constructor(span: Span, call: Call, isServed: boolean) {
    this.#span = span;
    this.#call = call;
    this.#isServed = isServed;
  }

  /**
   * Ends the span of a stream when the call is cancelled, or its session or deadline ends. The
   * stream itself may never end, or have no reader.
   */
  endWithCaller(): void {
    const { signal, deadline } = this.#call;
    this.#releaseSignal = followSignal(signal, () =>
      this.end(this.#isServed ? undefined : new RpcError('CANCELLED', 'the call was cancelled')),
    );
    // The signal of a served call aborts at its deadline.
    if (deadline === undefined || this.#isServed) return;
    const onDeadline = (): void =>
      this.end(new RpcError('DEADLINE_EXCEEDED', 'the stream did not end within its timeout'));
    this.#deadline = new LongTimer(onDeadline, deadline - performance.now(), false);
  }

  /** Ends the span. `error`: the error of the call, if it failed. */
  end(error?: unknown): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    const signal = this.#isServed ? this.#call.signal : undefined;
    this.#releaseSignal?.();
    this.#deadline?.cancel();
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
