/** One direction of a proxied stream: it delays, slices and limits what a socket has sent. */
import type { Socket } from 'node:net';
import { Queue } from '../../core/queue.js';
import { startTimer } from '../../core/timers.js';
import { delayOf, type ResolvedFaults } from './faults.js';

/** With more bytes under way, the proxy stops to read the source, as a slow network would. */
const MAX_UNDER_WAY = 1024 * 1024;
/**
 * Milliseconds that bytes may wait for a limited bandwidth. The proxy reads no more bytes than pass
 * in this time, because a heartbeat would wait behind them for seconds.
 */
const MAX_WAIT = 100;
/** A limited bandwidth passes a portion at most this often, in ms. */
const PORTION_PERIOD = 20;

interface Piece {
  /** Undefined: the end of the stream. */
  bytes: Buffer | undefined;
  /** When it arrives: a time of performance.now(). */
  readonly due: number;
}

export interface PipeEvents {
  faults(): ResolvedFaults;
  /** The bytes were given to the target's socket. No more bytes pass until the promise resolves. */
  onBytes(bytes: Buffer): Promise<void> | undefined;
  /** As many bytes have passed as Faults.limit allows. */
  onLimit(): void;
}

export class StreamPipe {
  readonly #source: Socket;
  readonly #target: Socket;
  readonly #events: PipeEvents;
  readonly #random: () => number;
  readonly #pieces = new Queue<Piece>();
  #underWay = 0;
  #passed = 0;
  #lastDue = 0;
  #isWriting = false;
  /** The promise of onBytes() has not resolved. */
  #isObserved = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(source: Socket, target: Socket, random: () => number, events: PipeEvents) {
    this.#source = source;
    this.#target = target;
    this.#random = random;
    this.#events = events;
    source.on('data', (bytes) => this.#add(bytes));
    source.on('end', () => this.#add(undefined));
  }

  /** Call it when the faults have changed. */
  update(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#pump();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#pieces.clear();
  }

  #add(bytes: Buffer | undefined): void {
    // A stream keeps its order: bytes do not arrive before earlier ones.
    this.#lastDue = Math.max(
      this.#lastDue,
      performance.now() + delayOf(this.#events.faults(), this.#random),
    );
    this.#pieces.push({ bytes, due: this.#lastDue });
    this.#underWay += bytes?.length ?? 0;
    if (this.#underWay > maxUnderWay(this.#events.faults())) this.#source.pause();
    this.#pump();
  }

  #pump(): void {
    if (this.#isWriting || this.#isObserved || this.#timer !== undefined || this.#target.destroyed)
      return;
    const faults = this.#events.faults();
    const piece = this.#pieces.peek();
    if (faults.blocked || piece === undefined) return;
    const wait = piece.due - performance.now();
    if (wait > 0) return this.#pumpAfter(wait);
    const { bytes } = piece;
    if (bytes !== undefined) return this.#write(bytes, piece, faults);
    if (faults.halfOpen) return;
    this.#pieces.shift();
    this.#target.end();
  }

  #write(bytes: Buffer, piece: Piece, faults: ResolvedFaults): void {
    const { slice, bandwidth, limit } = faults;
    const left = Math.max(0, limit - this.#passed);
    const portion = Math.ceil((bandwidth * PORTION_PERIOD) / 1_000);
    const size = Math.min(bytes.length, slice, portion, left);
    if (size < bytes.length) piece.bytes = bytes.subarray(size);
    else this.#pieces.shift();
    this.#passed += size;
    this.#underWay -= size;
    this.#isWriting = true;
    const passing = bytes.subarray(0, size);
    this.#target.write(passing, () => {
      this.#isWriting = false;
      if (size === left) return this.#events.onLimit();
      this.#resume();
      if (bandwidth !== Number.POSITIVE_INFINITY) this.#pumpAfter((size / bandwidth) * 1_000);
      // In the next turn, so that the receiver reads this slice alone.
      else if (slice !== Number.POSITIVE_INFINITY) setImmediate(() => this.#pump());
      else this.#pump();
    });
    const observed = this.#events.onBytes(passing);
    if (observed === undefined) return;
    this.#isObserved = true;
    this.#source.pause();
    void observed.then(() => {
      this.#isObserved = false;
      this.#resume();
      this.#pump();
    });
  }

  #resume(): void {
    if (!this.#isObserved && this.#underWay <= maxUnderWay(this.#events.faults()))
      this.#source.resume();
  }

  #pumpAfter(ms: number): void {
    // A timer may be up to 1 ms early.
    this.#timer = startTimer(() => this.update(), Math.ceil(ms));
  }
}

/** Bytes. */
function maxUnderWay({ bandwidth, latency, jitter }: ResolvedFaults): number {
  return Math.min(MAX_UNDER_WAY, (bandwidth * (latency + jitter + MAX_WAIT)) / 1_000);
}
