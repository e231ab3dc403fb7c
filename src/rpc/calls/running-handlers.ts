/** How many handlers of one session are running, and the bytes that their calls hold. */
import { promiseOf } from '../../core/callbacks.js';
import { iteratorOf } from '../streams/item-iterator.js';

/** The part of ServerCall that RunningHandlers uses. */
export interface CountedCall {
  /** Bytes of its request, and of the objects that were decoded from it. */
  readonly requestBytes: number;
  /** Undefined unless the call streams. */
  readonly stream: unknown;
  readonly isAnswered: boolean;
  /**
   * Set by RunningHandlers only. Undefined without interceptors: the handler ends with its answer.
   */
  handlerRuns: HandlerRuns | undefined;
}

/** The runs of the handler of one call that interceptors have started and that have not settled. */
class HandlerRuns {
  /** An interceptor may call the handler several times, also after the call is answered. */
  running = 0;
  /** Whether the call is counted in RunningHandlers. */
  isCounted: boolean;
  /** The streams of replies that the handler has returned to the interceptors. */
  replies: TrackedReplies[] | undefined;

  constructor(isCounted: boolean) {
    this.isCounted = isCounted;
  }
}

/**
 * A call counts until it is answered and its handler has settled. An interceptor may answer before
 * the handler has settled. The handler still holds the argument then.
 */
export class RunningHandlers {
  /** How many calls count. */
  calls = 0;
  /** How many of these calls stream. */
  streams = 0;
  /** The sum of the requestBytes of these calls. */
  bytes = 0;

  /** Adds a call that is not answered synchronously: its handler has returned a promise. */
  add(call: CountedCall): void {
    this.calls++;
    this.bytes += call.requestBytes;
    if (call.stream !== undefined) this.streams++;
  }

  #remove(call: CountedCall): void {
    this.calls--;
    this.bytes -= call.requestBytes;
    if (call.stream !== undefined) this.streams--;
  }

  /** The call is answered. */
  onAnswered(call: CountedCall): void {
    const { handlerRuns } = call;
    if (handlerRuns === undefined) return this.#remove(call);
    for (const replies of handlerRuns.replies ?? []) replies.onAnswered();
    handlerRuns.replies = undefined;
    this.#removeIfSettled(handlerRuns, call);
  }

  #removeIfSettled(runs: HandlerRuns, call: CountedCall): void {
    if (runs.running > 0 || !runs.isCounted) return;
    runs.isCounted = false;
    this.#remove(call);
  }

  onHandlerStart(call: CountedCall): void {
    // A call without an answer is counted, or will be in this turn.
    const runs = call.handlerRuns ?? new HandlerRuns(!call.isAnswered);
    call.handlerRuns = runs;
    runs.running++;
    if (!call.isAnswered || runs.isCounted) return;
    runs.isCounted = true;
    this.add(call);
  }

  onHandlerEnd(call: CountedCall): void {
    const { handlerRuns } = call;
    if (handlerRuns === undefined) return;
    handlerRuns.running--;
    if (call.isAnswered) this.#removeIfSettled(handlerRuns, call);
  }

  /**
   * Returns the answer of a handler. If it is a stream, the handler counts as running while a
   * reader waits for an item.
   */
  trackReplies(call: CountedCall, answer: unknown): unknown {
    const { handlerRuns } = call;
    if (handlerRuns === undefined || !isAsyncIterable(answer)) return answer;
    const replies = new TrackedReplies(answer, call, this);
    if (!call.isAnswered) {
      handlerRuns.replies ??= [];
      handlerRuns.replies.push(replies);
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
  readonly #call: CountedCall;
  readonly #runningHandlers: RunningHandlers;
  #items: AsyncIterator<unknown> | undefined;
  #last: unknown;

  constructor(source: AsyncIterable<unknown>, call: CountedCall, runningHandlers: RunningHandlers) {
    this.#source = source;
    this.#call = call;
    this.#runningHandlers = runningHandlers;
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
    this.#runningHandlers.onHandlerStart(this.#call);
    const onSettled = (): void => this.#runningHandlers.onHandlerEnd(this.#call);
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
