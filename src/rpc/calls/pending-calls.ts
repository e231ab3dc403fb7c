/**
 * What waits for an answer on one channel, found by sequence. A ring rather than a Map: the
 * sequence is ours, so each waiting call gets one whose slot is free, and finding it again is one
 * array access.
 */
import { inTurns } from '../../core/turn.js';
import { RpcError } from '../errors.js';

const FIRST_CAPACITY = 8;
/** Something that was sent and waits. It is answered or it fails, once. */
export abstract class Waiting {
  sequenceLow = 0;
  sequenceHigh = 0;
  /** The monotonic instant when it fails with DEADLINE_EXCEEDED; Infinity: never. */
  deadline = Number.POSITIVE_INFINITY;
  /** False for what no caller waits for: a heartbeat. The limit is for calls. */
  get isCall(): boolean {
    return true;
  }
  abstract fail(error: RpcError): void;
  /** Its deadline has passed. */
  abstract expire(): void;
}

export class PendingCalls<W extends Waiting> {
  #slots: (W | undefined)[] = new Array(FIRST_CAPACITY).fill(undefined);
  #mask = FIRST_CAPACITY - 1;
  #size = 0;
  #calls = 0;
  /** Halves of the last sequence, as int32. */
  #low: number;
  #high: number;
  /** No deadline is nearer than this. */
  #nearest = Number.POSITIVE_INFINITY;
  readonly #limit: number;

  /**
   * `parity` 1 gives odd sequences, those of clients; 0 even ones. They begin at random, as Go's
   * do, and grow by 2.
   */
  constructor(parity: 0 | 1, limit: number) {
    this.#limit = limit;
    this.#high = (Math.random() * 0x4000_0000) | 0;
    this.#low = ((Math.random() * 0x8000_0000) & ~1) | parity;
  }

  get size(): number {
    return this.#size;
  }

  /** How many of them are calls. */
  get calls(): number {
    return this.#calls;
  }

  /** Give `waiting` a sequence and keep it. Throws RESOURCE_EXHAUSTED when too many calls wait. */
  add(waiting: W): void {
    if (waiting.isCall && this.#calls >= this.#limit) {
      throw new RpcError(
        'RESOURCE_EXHAUSTED',
        `${this.#calls} calls wait for their answers on this session; maxPendingCalls is ${this.#limit}`,
        {
          unsent: true,
        },
      );
    }
    if (this.#size * 2 >= this.#slots.length) this.#grow();
    let slot: number;
    do {
      this.#low = (this.#low + 2) | 0;
      if (this.#low >>> 1 === 0) this.#high = (this.#high + 1) & 0x7fff_ffff;
      slot = (this.#low >>> 1) & this.#mask;
    } while (this.#slots[slot] !== undefined);
    waiting.sequenceLow = this.#low;
    waiting.sequenceHigh = this.#high;
    this.#slots[slot] = waiting;
    this.#size++;
    if (waiting.isCall) this.#calls++;
    if (waiting.deadline < this.#nearest) this.#nearest = waiting.deadline;
  }

  #grow(): void {
    const old = this.#slots;
    this.#mask = old.length * 2 - 1;
    this.#slots = new Array(old.length * 2).fill(undefined);
    for (const waiting of old)
      if (waiting !== undefined) this.#slots[(waiting.sequenceLow >>> 1) & this.#mask] = waiting;
  }

  /** Remove and return what waits for this sequence; undefined when nothing does (any more). */
  take(low: number, high: number): W | undefined {
    const slot = (low >>> 1) & this.#mask;
    const waiting = this.#slots[slot];
    if (waiting === undefined || waiting.sequenceLow !== low || waiting.sequenceHigh !== high)
      return undefined;
    this.#slots[slot] = undefined;
    this.#size--;
    if (waiting.isCall) this.#calls--;
    return waiting;
  }

  /** What waits for this sequence, which goes on waiting. */
  find(low: number, high: number): W | undefined {
    const waiting = this.#slots[(low >>> 1) & this.#mask];
    return waiting !== undefined && waiting.sequenceLow === low && waiting.sequenceHigh === high
      ? waiting
      : undefined;
  }

  /**
   * Expire what is due. One timer sweeps all: a timer per call costs more than the rest of the
   * call.
   */
  sweep(now: number): void {
    if (now < this.#nearest) return;
    const due: W[] = [];
    this.#nearest = Number.POSITIVE_INFINITY;
    for (const waiting of this.#slots) {
      if (waiting === undefined) continue;
      if (waiting.deadline <= now) due.push(waiting);
      else if (waiting.deadline < this.#nearest) this.#nearest = waiting.deadline;
    }
    // What is answered before its turn is not late.
    inTurns(due, ({ sequenceLow, sequenceHigh }) => this.take(sequenceLow, sequenceHigh)?.expire());
  }

  /**
   * Fails everything that waits: in later turns of the event loop what would take long in this one.
   */
  failAll(error: RpcError): void {
    const all = this.#slots.filter((waiting) => waiting !== undefined);
    this.#slots = new Array(FIRST_CAPACITY).fill(undefined);
    this.#mask = FIRST_CAPACITY - 1;
    this.#size = 0;
    this.#calls = 0;
    inTurns(all, (waiting) => waiting.fail(error));
  }
}
