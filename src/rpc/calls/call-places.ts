/** What the calls of one session take while their handlers run. */
import { promiseOf } from '../../core/callbacks.js';
import { iteratorOf } from '../streams/flow-control.js';

/** A call, as CallPlaces sees it. */
export interface PlacedCall {
  /** Bytes of its request, and for the objects that were made of it. */
  readonly requestBytes: number;
  /** Undefined unless it streams. */
  readonly stream: unknown;
  readonly isAnswered: boolean;
  /**
   * Belongs to CallPlaces. Undefined where no interceptor has called the handler: then the call's
   * answer is the handler's.
   */
  run: HandlerRun | undefined;
}

/** The handlers of one call behind interceptors. */
class HandlerRun {
  /**
   * Handlers under way: an interceptor may call the handler many times, and after it has answered.
   */
  running = 0;
  hasPlace: boolean;
  /** What they have answered, where interceptors may leave it unread. */
  replies: HandlerReplies[] | undefined;

  constructor(hasPlace: boolean) {
    this.hasPlace = hasPlace;
  }
}

/**
 * The calls of a session that are being handled, and the sum of what they hold. A call has its
 * place until it has been answered and its handler has settled: an interceptor may answer earlier
 * than the handler, which goes on with its argument.
 */
export class CallPlaces {
  calls = 0;
  /** How many of them stream. */
  streams = 0;
  /** The sum of their requestBytes. */
  bytes = 0;

  /** The call has begun, and is not answered at once. */
  take(call: PlacedCall): void {
    this.calls++;
    this.bytes += call.requestBytes;
    if (call.stream !== undefined) this.streams++;
  }

  #leave(call: PlacedCall): void {
    this.calls--;
    this.bytes -= call.requestBytes;
    if (call.stream !== undefined) this.streams--;
  }

  /** The call has been answered. */
  answered(call: PlacedCall): void {
    const { run } = call;
    if (run === undefined) return this.#leave(call);
    for (const replies of run.replies ?? []) replies.answered();
    run.replies = undefined;
    this.#leaveAfter(run, call);
  }

  #leaveAfter(run: HandlerRun, call: PlacedCall): void {
    if (run.running > 0 || !run.hasPlace) return;
    run.hasPlace = false;
    this.#leave(call);
  }

  handlerBegan(call: PlacedCall): void {
    // A call that has not been answered has its place, or takes it in this turn.
    const run = call.run ?? new HandlerRun(!call.isAnswered);
    call.run = run;
    run.running++;
    if (!call.isAnswered || run.hasPlace) return;
    run.hasPlace = true;
    this.take(call);
  }

  handlerEnded(call: PlacedCall): void {
    const { run } = call;
    if (run === undefined) return;
    run.running--;
    if (call.isAnswered) this.#leaveAfter(run, call);
  }

  /**
   * The answer of a handler, such that the handler counts as under way while an item of its stream
   * is awaited.
   */
  watch(call: PlacedCall, answer: unknown): unknown {
    const { run } = call;
    if (run === undefined || !isAsyncIterable(answer)) return answer;
    const replies = new HandlerReplies(answer, call, this);
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
 * A handler's stream of replies. Until the call has been answered, it only remembers what it was
 * asked for last: that costs next to nothing.
 */
class HandlerReplies implements AsyncIterableIterator<unknown> {
  readonly #source: AsyncIterable<unknown>;
  readonly #call: PlacedCall;
  readonly #places: CallPlaces;
  #items: AsyncIterator<unknown> | undefined;
  #last: unknown;

  constructor(source: AsyncIterable<unknown>, call: PlacedCall, places: CallPlaces) {
    this.#source = source;
    this.#call = call;
    this.#places = places;
  }

  /** From here on the step that was asked for last counts. */
  answered(): void {
    this.#count(this.#last);
    this.#last = undefined;
  }

  /** The handler is under way until `step` has settled. */
  #count(step: unknown): void {
    const promise = promiseOf(step);
    if (promise === undefined) return;
    this.#places.handlerBegan(this.#call);
    const ended = (): void => this.#places.handlerEnded(this.#call);
    promise.then(ended, ended);
  }

  #follow(step: Step): Step {
    if (this.#call.isAnswered) this.#count(step);
    else this.#last = step;
    return step;
  }

  get #iterator(): AsyncIterator<unknown> {
    this.#items ??= iteratorOf(this.#source) as AsyncIterator<unknown>;
    return this.#items;
  }

  next(): Step {
    return this.#follow(this.#iterator.next());
  }

  return(value?: unknown): Step {
    // Only a generator returns after the step before.
    this.answered();
    const step = this.#iterator.return?.(value);
    return step === undefined ? Promise.resolve({ done: true, value }) : this.#follow(step);
  }

  throw(error: unknown): Step {
    const step = this.#iterator.throw?.(error);
    return step === undefined ? Promise.reject(error) : this.#follow(step);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
