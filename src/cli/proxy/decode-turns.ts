/** Decodes the bytes of one connection in their order, divided into turns of the event loop. */
import { isTurnOver, nextTurn, spend } from '../../core/turn.js';
import type { Direction } from '../../testing/proxy/index.js';
import type { Framing } from './traffic-record.js';

/** Bytes that are decoded in one step. A few bytes of a WebSocket may decompress to many. */
const STEPS: Readonly<Record<Framing, number>> = {
  stream: 16 * 1024,
  websocket: 1024,
  // A datagram is whole.
  datagrams: Number.POSITIVE_INFINITY,
};

/** Units of spend() for a step: the clock is read before each. */
const STEP_UNITS = 64;

export class DecodeTurns {
  readonly #step: number;
  readonly #decode: (direction: Direction, bytes: Buffer) => void;
  /** Resolves when all bytes so far are decoded. Undefined: they are. */
  #decoding: Promise<void> | undefined;

  /** `decode` must not throw. */
  constructor(framing: Framing, decode: (direction: Direction, bytes: Buffer) => void) {
    this.#step = STEPS[framing];
    this.#decode = decode;
  }

  /** Undefined: the bytes are decoded. Else the promise resolves when they are. */
  add(direction: Direction, bytes: Buffer): Promise<void> | undefined {
    if (this.#decoding !== undefined)
      return this.#afterAll(() => this.#decodeAll(direction, bytes, 0));
    const at = this.#decodeFrom(0, direction, bytes);
    if (at >= bytes.length) return undefined;
    return this.#afterAll(() => this.#decodeAll(direction, bytes, at));
  }

  /** Calls `task` when all bytes so far are decoded: mostly at once. */
  end(task: () => void): Promise<void> | undefined {
    if (this.#decoding !== undefined) return this.#afterAll(async () => task());
    task();
    return undefined;
  }

  #afterAll(task: () => Promise<void>): Promise<void> {
    const done = (this.#decoding ?? Promise.resolve()).then(task);
    this.#decoding = done;
    void done.then(() => {
      if (this.#decoding === done) this.#decoding = undefined;
    });
    return done;
  }

  async #decodeAll(direction: Direction, bytes: Buffer, from: number): Promise<void> {
    for (let at = from; at < bytes.length; at = this.#decodeFrom(at, direction, bytes))
      await nextTurn();
  }

  /** Returns where it stopped, because the budget of this turn is used up. */
  #decodeFrom(from: number, direction: Direction, bytes: Buffer): number {
    let at = from;
    while (at < bytes.length && !isTurnOver()) {
      const part = bytes.subarray(at, at + this.#step);
      at += part.length;
      spend(STEP_UNITS);
      this.#decode(direction, part);
    }
    return at;
  }
}
