/**
 * The requests of one channel that wait for their answers: a hash table by sequence. This side
 * chooses the sequences, so it gives each request a sequence whose slot is free. A look-up is one
 * array access.
 */
import { inTurns } from '../../core/turn.js';
import { RpcError } from '../errors.js';

const INITIAL_CAPACITY = 8;

/** A request that was sent. It is answered or it fails, once. */
export abstract class PendingRequest {
  sequenceLow = 0;
  sequenceHigh = 0;
  /**
   * When it expires, in ms of performance.now(). Undefined: never. Not Infinity, because V8 would
   * box the double of each request, and most deadlines are small integers.
   */
  deadline: number | undefined;
  /** False for a heartbeat, to which the limit of calls does not apply. */
  get isCall(): boolean {
    return true;
  }
  abstract fail(error: RpcError): void;
  /** Called when the deadline has passed. */
  abstract expire(): void;
}

/** `R`: the class of the requests. */
export class PendingRequests<R extends PendingRequest> {
  #slots: (R | undefined)[] = new Array(INITIAL_CAPACITY).fill(undefined);
  #mask = INITIAL_CAPACITY - 1;
  #size = 0;
  #callCount = 0;
  /** The halves of the last sequence, as int32. */
  #low: number;
  #high: number;
  /** The earliest deadline, or an earlier time. */
  #earliestDeadline = Number.POSITIVE_INFINITY;
  readonly #limit: number;

  /**
   * Sequences begin at a random number, as in Go, and grow by 2. `parity`: 1 for a client, whose
   * sequences are odd; 0 for a server, whose sequences are even. `limit`: the most calls.
   */
  constructor(parity: 0 | 1, limit: number) {
    this.#limit = limit;
    this.#high = (Math.random() * 0x4000_0000) | 0;
    this.#low = ((Math.random() * 0x8000_0000) & ~1) | parity;
  }

  get size(): number {
    return this.#size;
  }

  /** How many of the requests are calls. */
  get callCount(): number {
    return this.#callCount;
  }

  all(): R[] {
    return this.#slots.filter((request) => request !== undefined);
  }

  /** Adds a request and sets its sequence. Throws RESOURCE_EXHAUSTED above the limit. */
  add(request: R): void {
    if (request.isCall && this.#callCount >= this.#limit) {
      throw new RpcError(
        'RESOURCE_EXHAUSTED',
        `${this.#callCount} calls wait for their answers on this session; maxPendingCalls is ${this.#limit}`,
        { unsent: true },
      );
    }
    if (this.#size * 2 >= this.#slots.length) this.#grow();
    let slot: number;
    do {
      this.#low = (this.#low + 2) | 0;
      if (this.#low >>> 1 === 0) this.#high = (this.#high + 1) & 0x7fff_ffff;
      slot = (this.#low >>> 1) & this.#mask;
    } while (this.#slots[slot] !== undefined);
    request.sequenceLow = this.#low;
    request.sequenceHigh = this.#high;
    this.#slots[slot] = request;
    this.#size++;
    if (request.isCall) this.#callCount++;
    this.#noteDeadline(request.deadline);
  }

  #noteDeadline(deadline: number | undefined): void {
    if (deadline !== undefined && deadline < this.#earliestDeadline)
      this.#earliestDeadline = deadline;
  }

  #grow(): void {
    const old = this.#slots;
    this.#mask = old.length * 2 - 1;
    this.#slots = new Array(old.length * 2).fill(undefined);
    for (const request of old)
      if (request !== undefined) this.#slots[(request.sequenceLow >>> 1) & this.#mask] = request;
  }

  /** Removes and returns the request with this sequence. Undefined: there is none. */
  take(low: number, high: number): R | undefined {
    const slot = (low >>> 1) & this.#mask;
    const request = this.#slots[slot];
    if (request === undefined || request.sequenceLow !== low || request.sequenceHigh !== high)
      return undefined;
    this.#slots[slot] = undefined;
    this.#size--;
    if (request.isCall) this.#callCount--;
    return request;
  }

  /** The request with this sequence, which stays. Undefined: there is none. */
  find(low: number, high: number): R | undefined {
    const request = this.#slots[(low >>> 1) & this.#mask];
    return request !== undefined && request.sequenceLow === low && request.sequenceHigh === high
      ? request
      : undefined;
  }

  /**
   * Expires the requests whose deadline has passed. One timer serves all requests: a timer per call
   * costs more than the rest of the call.
   */
  sweep(now: number): void {
    if (now < this.#earliestDeadline) return;
    const due: R[] = [];
    this.#earliestDeadline = Number.POSITIVE_INFINITY;
    for (const request of this.#slots) {
      if (request === undefined) continue;
      const { deadline } = request;
      if (deadline !== undefined && deadline <= now) due.push(request);
      else this.#noteDeadline(deadline);
    }
    // take() ignores a request that is answered before its turn.
    inTurns(due, ({ sequenceLow, sequenceHigh }) => this.take(sequenceLow, sequenceHigh)?.expire());
  }

  /**
   * Fails all requests, in several turns of the event loop when there are many. Each gets an error
   * of its own, which its caller may change.
   */
  failAll(makeError: () => RpcError): void {
    const all = this.all();
    this.#slots = new Array(INITIAL_CAPACITY).fill(undefined);
    this.#mask = INITIAL_CAPACITY - 1;
    this.#size = 0;
    this.#callCount = 0;
    inTurns(all, (request) => request.fail(makeError()));
  }
}
