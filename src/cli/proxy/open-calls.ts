/** The open calls of one connection. Records of answers and items have their method from here. */
import type { FrameDescription } from '../../rpc/wire/frame-description.js';
import type { Direction } from '../../testing/proxy/index.js';

export interface ObservedCall {
  readonly service: string;
  readonly method: string;
  /** The direction of the request. */
  readonly direction: Direction;
  /** When the request passed: a time of performance.now(). */
  readonly startedAt: number;
}

/** The most calls that are kept. A further one replaces the oldest one. */
const MAX_CALLS = 1_000;
/** Calls with longer names, in characters, are not kept. */
const MAX_NAME = 200;

type Ids = Pick<FrameDescription, 'sequenceLow' | 'sequenceHigh'>;

/** A text, because V8 hashes numbers without a secret, and peers choose them. */
const keyOf = ({ sequenceLow, sequenceHigh }: Ids): string => `${sequenceHigh}:${sequenceLow}`;

export class OpenCalls {
  readonly #calls = new Map<string, ObservedCall>();

  add(ids: Ids, call: ObservedCall): void {
    if (call.service.length + call.method.length > MAX_NAME) return;
    this.#calls.delete(keyOf(ids));
    if (this.#calls.size >= MAX_CALLS)
      for (const oldest of this.#calls.keys()) if (this.#calls.delete(oldest)) break;
    this.#calls.set(keyOf(ids), call);
  }

  find(ids: Ids): ObservedCall | undefined {
    return this.#calls.get(keyOf(ids));
  }

  remove(ids: Ids): void {
    this.#calls.delete(keyOf(ids));
  }
}
