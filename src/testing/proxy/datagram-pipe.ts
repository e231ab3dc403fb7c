/** One direction of the datagrams of one client: it loses, delays and reorders them. */
import { startTimer } from '../../core/timers.js';
import { type Direction, delayOf } from './faults.js';
import type { RelaySetup } from './relay.js';

/** Milliseconds after which a datagram arrives that no other one has overtaken. */
const OVERTAKING_TIME = 20;
/** Bytes of each direction of a client: with more under way, datagrams are lost, as in a router. */
const MAX_UNDER_WAY = 1024 * 1024;
/** Bytes of memory that a datagram needs besides its own bytes, about. */
const DATAGRAM_COST = 512;

type PipeSetup = Pick<RelaySetup, 'faults' | 'random' | 'onBytes'>;

export class DatagramPipe {
  readonly #connection: number;
  readonly #direction: Direction;
  readonly #setup: PipeSetup;
  readonly #send: (bytes: Buffer) => void;
  readonly #timers = new Set<NodeJS.Timeout>();
  #passed = 0;
  /** Bytes of the datagrams that wait, with DATAGRAM_COST for each. */
  #underWay = 0;
  /** When the last datagram has passed a limited bandwidth: a time of performance.now(). */
  #freeAt = 0;
  /** Delivers the datagram that the next one overtakes. */
  #overtaken: (() => void) | undefined;

  constructor(
    connection: number,
    direction: Direction,
    setup: PipeSetup,
    send: (bytes: Buffer) => void,
  ) {
    this.#connection = connection;
    this.#direction = direction;
    this.#setup = setup;
    this.#send = send;
  }

  relay(bytes: Buffer): void {
    const faults = this.#setup.faults()[this.#direction];
    const { random } = this.#setup;
    if (faults.blocked || this.#passed + bytes.length > faults.limit) return;
    if (isChosen(faults.loss, random)) return;
    const copies = isChosen(faults.duplication, random) ? 2 : 1;
    const isOvertaken = isChosen(faults.reordering, random);
    if (this.#underWay + copies * costOf(bytes) > MAX_UNDER_WAY) return;
    this.#passed += bytes.length;
    const sending = (bytes.length / faults.bandwidth) * 1_000;
    const now = performance.now();
    this.#freeAt = Math.max(now, this.#freeAt) + sending;
    for (let copy = 0; copy < copies; copy++) {
      const delay = delayOf(faults, random) + this.#freeAt - now;
      this.#underWay += costOf(bytes);
      this.#after(delay, () => this.#deliver(bytes, isOvertaken));
    }
  }

  #deliver(bytes: Buffer, isOvertaken: boolean): void {
    if (isOvertaken && this.#overtaken === undefined) {
      const deliver = (): void => {
        if (this.#overtaken !== deliver) return;
        this.#overtaken = undefined;
        this.#sendNow(bytes);
      };
      this.#overtaken = deliver;
      this.#after(OVERTAKING_TIME, deliver);
      return;
    }
    this.#sendNow(bytes);
    this.#overtaken?.();
  }

  #sendNow(bytes: Buffer): void {
    this.#underWay -= costOf(bytes);
    this.#send(bytes);
    this.#setup.onBytes(this.#connection, this.#direction, bytes);
  }

  #after(ms: number, task: () => void): void {
    if (ms <= 0) return task();
    const timer = startTimer(() => {
      this.#timers.delete(timer);
      task();
    }, ms);
    this.#timers.add(timer);
  }

  stop(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#overtaken = undefined;
  }
}

function costOf(bytes: Buffer): number {
  return bytes.length + DATAGRAM_COST;
}

function isChosen(part: number, random: () => number): boolean {
  return part > 0 && random() < part;
}
