/** The calls of one session whose handlers are running, and the bytes that they hold. */
import { promiseOf } from '../../core/callbacks.js';
import { iteratorOf } from '../streams/item-iterator.js';

/** The part of a ServerCall that HandledCalls uses. */
export interface HandledCall {
  /** Bytes of its request, and of the objects that were decoded from it. */
  readonly requestBytes: number;
  /** Undefined unless the call streams. */
  readonly stream: unknown;
  readonly isAnswered: boolean;
  /**
   * Only HandledCalls changes it. Undefined without interceptors: the handler ends with its answer.
   */
  run: HandlerRun | undefined;
}

/** The runs of the handler of one call by its interceptors. */
class HandlerRun {
  /**
   * How many times the handler runs now: an interceptor may call it many times, and after the
   * answer.
   */
  running = 0;
  isCounted: boolean;
  /** The streams of replies that the handler has returned to the interceptors. */
  replies: TrackedReplies[] | undefined;

  constructor(isCounted: boolean) {
    this.isCounted = isCounted;
  }
}

/**
 * A call counts until it is answered and its handler has settled. An interceptor may answer earlier
 * than the handler, which still holds the argument.
 */
export class HandledCalls {
  calls = 0;
  /** How many of these calls stream. */
  streams = 0;
  /** The sum of the requestBytes of these calls. */
  bytes = 0;

  /** Adds a call that is not answered synchronously: its handler has returned a promise. */
  add(call: HandledCall): void {
    this.calls++;
    this.bytes += call.requestBytes;
    if (call.stream !== undefined) this.streams++;
  }

  #remove(call: HandledCall): void {
    this.calls--;
    this.bytes -= call.requestBytes;
    if (call.stream !== undefined) this.streams--;
  }

  /** The call is answered. */
  onAnswered(call: HandledCall): void {
    const { run } = call;
    if (run === undefined) return this.#remove(call);
    for (const replies of run.replies ?? []) replies.onAnswered();
    run.replies = undefined;
    this.#removeIfSettled(run, call);
  }

  #removeIfSettled(run: HandlerRun, call: HandledCall): void {
    if (run.running > 0 || !run.isCounted) return;
    run.isCounted = false;
    this.#remove(call);
  }

  onHandlerStart(call: HandledCall): void {
    // A call without an answer is counted, or will be in this turn.
    const run = call.run ?? new HandlerRun(!call.isAnswered);
    call.run = run;
    run.running++;
    if (!call.isAnswered || run.isCounted) return;
    run.isCounted = true;
    this.add(call);
  }

  onHandlerEnd(call: HandledCall): void {
    const { run } = call;
    if (run === undefined) return;
    run.running--;
    if (call.isAnswered) this.#removeIfSettled(run, call);
  }

  /**
   * The answer of a handler. If it is a stream, the handler counts as running while an item of it
   * is awaited.
   */
  trackReplies(call: HandledCall, answer: unknown): unknown {
    const { run } = call;
    if (run === undefined || !isAsyncIterable(answer)) return answer;
    const replies = new TrackedReplies(answer, call, this);
    if (!call.isAnswered) {
      run.replies ??= [];
      run.replies.push(replies);
    }
    return replies;
  }
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof Reflect.get(value, Symbol.asyncIterator) === 'function'
  );
}

type Step = Promise<IteratorResult<unknown>>;

/**
 * The stream of replies of a handler. Until the call is answered, it only stores its last step,
 * which costs almost nothing.
 */
class TrackedReplies implements AsyncIterableIterator<unknown> {
  readonly #source: AsyncIterable<unknown>;
  readonly #call: HandledCall;
  readonly #handledCalls: HandledCalls;
  #items: AsyncIterator<unknown> | undefined;
  #last: unknown;

  constructor(source: AsyncIterable<unknown>, call: HandledCall, handledCalls: HandledCalls) {
    this.#source = source;
    this.#call = call;
    this.#handledCalls = handledCalls;
  }

  /** The call is answered. The handler counts as running until the last step has settled. */
  onAnswered(): void {
    this.#countUntilSettled(this.#last);
    this.#last = undefined;
  }

  /** The handler counts as running until `step` has settled. */
  #countUntilSettled(step: unknown): void {
    const promise = promiseOf(step);
    if (promise === undefined) return;
    this.#handledCalls.onHandlerStart(this.#call);
    const onSettled = (): void => this.#handledCalls.onHandlerEnd(this.#call);
    promise.then(onSettled, onSettled);
  }

  #track(step: Step): Step {
    if (this.#call.isAnswered) this.#countUntilSettled(step);
    else this.#last = step;
    return step;
  }

  get #iterator(): AsyncIterator<unknown> {
    this.#items ??= iteratorOf(this.#source) as AsyncIterator<unknown>;
    return this.#items;
  }

  next(): Step {
    return this.#track(this.#iterator.next());
  }

  return(value?: unknown): Step {
    // An iterator that is not a generator may return before its last step has settled.
    this.onAnswered();
    const step = this.#iterator.return?.(value);
    return step === undefined ? Promise.resolve({ done: true, value }) : this.#track(step);
  }

  throw(error: unknown): Step {
    const step = this.#iterator.throw?.(error);
    return step === undefined ? Promise.reject(error) : this.#track(step);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
