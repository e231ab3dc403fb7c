/** The path of packets from one host to another: delay, loss, bandwidth. */
import {
  badOption,
  checkNames,
  checkNumber,
  checkObject,
  type NamesOf,
} from '../../../core/options.js';
import type { Random } from '../../random.js';
import type { LinkOptions } from '../types.js';

export const LINK_DEFAULTS = {
  latency: 1,
  jitter: 0,
  loss: 0,
  duplicate: 0,
  reorder: 0,
  bandwidth: Number.POSITIVE_INFINITY,
};

const NAMES = {
  latency: true,
  jitter: true,
  loss: true,
  duplicate: true,
  reorder: true,
  bandwidth: true,
} satisfies NamesOf<LinkOptions>;

/** Milliseconds before the first retransmission of a segment, and the longest time between two. */
const FIRST_RETRANSMISSION = 200;
const LONGEST_RETRANSMISSION = 120_000;
/** Random losses of one segment in a row. */
const MAX_LOSSES = 10;
/** Milliseconds: datagrams that would wait longer for the bandwidth are lost. */
const LONGEST_QUEUE = 1_000;

/** Milliseconds before the retransmission after `attempts` transmissions, at least 1. */
export function retransmissionDelay(attempts: number): number {
  return Math.min(LONGEST_RETRANSMISSION, FIRST_RETRANSMISSION * 2 ** (attempts - 1));
}

/** Throws BAD_OPTION. */
export function checkLink(of: string, options: LinkOptions): void {
  checkObject(of, options);
  checkNames(of, options, NAMES);
  const { latency = 1, jitter = 0, loss = 0, duplicate = 0, reorder = 0, bandwidth = 1 } = options;
  if (typeof latency === 'number') checkNumber('latency', latency, 0, 1e9);
  else {
    const isRange = Array.isArray(latency) && latency.length === 2;
    const [min, max] = isRange ? latency : [];
    if (!(typeof min === 'number' && typeof max === 'number' && min >= 0 && max >= min))
      throw badOption('latency', latency, 'milliseconds, or [min, max] with 0 <= min <= max');
  }
  checkNumber('jitter', jitter, 0, 1e9);
  checkNumber('loss', loss, 0, 1);
  if (loss === 1) throw badOption('loss', loss, 'a number below 1; use partition()');
  checkNumber('duplicate', duplicate, 0, 1);
  checkNumber('reorder', reorder, 0, 1);
  checkNumber('bandwidth', bandwidth, 1, Number.POSITIVE_INFINITY);
}

export class Link {
  readonly #random: Random;
  #options: Required<LinkOptions> = LINK_DEFAULTS;
  /** When the bytes that were sent before have left: a time of the clock, with fractions. */
  #freeAt = 0;
  /** When the last datagram arrives that keeps the order. */
  #lastArrival = 0;

  constructor(random: Random, options: LinkOptions) {
    this.#random = random;
    this.set(options);
  }

  set(options: LinkOptions): void {
    this.#options = { ...LINK_DEFAULTS, ...options };
  }

  /** Milliseconds that one packet without content takes. */
  delay(): number {
    const { latency, jitter } = this.#options;
    const [min, max] = typeof latency === 'number' ? [latency, latency] : latency;
    const base = min === max ? min : min + this.#random() * (max - min);
    return jitter === 0 ? base : base - Math.log(1 - this.#random()) * jitter;
  }

  /** Milliseconds until `bytes` bytes have left the sender. */
  #transmit(now: number, bytes: number): number {
    const { bandwidth } = this.#options;
    if (bandwidth === Number.POSITIVE_INFINITY) return 0;
    this.#freeAt = Math.max(this.#freeAt, now) + (bytes / bandwidth) * 1_000;
    return this.#freeAt - now;
  }

  isLost(): boolean {
    const { loss } = this.#options;
    return loss > 0 && this.#random() < loss;
  }

  /** When a segment of a stream arrives, with the retransmissions of random losses. */
  segmentArrival(now: number, bytes: number): { readonly at: number; readonly losses: number } {
    let losses = 0;
    let delay = this.#transmit(now, bytes) + this.delay();
    while (losses < MAX_LOSSES && this.isLost()) delay += retransmissionDelay(++losses);
    return { at: Math.round(now + delay), losses };
  }

  /** When the copies of a datagram arrive. Empty: it is lost. */
  datagramArrivals(now: number, bytes: number): readonly number[] {
    const { duplicate, reorder, bandwidth } = this.#options;
    if (bandwidth !== Number.POSITIVE_INFINITY && this.#freeAt - now > LONGEST_QUEUE) return [];
    const sent = this.#transmit(now, bytes);
    if (this.isLost()) return [];
    const arrivals: number[] = [];
    const copies = duplicate > 0 && this.#random() < duplicate ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      let at = Math.round(now + sent + this.delay());
      if (copy > 0 || (reorder > 0 && this.#random() < reorder))
        at += Math.round(1 + this.#random() * Math.max(10, 2 * this.delay()));
      else {
        at = Math.max(at, this.#lastArrival);
        this.#lastArrival = at;
      }
      arrivals.push(at);
    }
    return arrivals;
  }
}
