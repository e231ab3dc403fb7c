/**
 * Calls over datagrams, which may be lost or arrive twice. The caller sends an idempotent request
 * again until its answer arrives. The server sends the answer again when the request arrives again,
 * and does not call the handler again.
 */
import { Queue } from '../../core/queue.js';
import { type Sequence, sequenceKey } from '../wire/sequence.js';
import type { OutgoingRequest } from './outgoing-request.js';

/** Milliseconds until a request is sent again. The delay doubles up to LONGEST_RESEND. */
const FIRST_RESEND = 200;
const LONGEST_RESEND = 2_000;
/** The most requests that are kept per peer, about 10 MiB: 65 s of 1,000 calls a second. */
export const REMEMBERED = 65_536;
/** The most requests that are kept for all peers together, about 60 MiB. */
const REMEMBERED_IN_ALL = 524_288;
/** Requests that are kept per peer in any case, because other peers may be attackers. */
const REMEMBERED_ALWAYS = 256;
/** The most bytes of answers that are kept per peer, with ANSWER_OVERHEAD for each. */
const REMEMBERED_BYTES = 1024 * 1024;
const ANSWER_OVERHEAD = 64;
/** Milliseconds for which a request without a timeout is kept. */
const WITHOUT_TIMEOUT = 30_000;
/**
 * The most milliseconds for which a request is kept. It is more than the maximum segment lifetime
 * of RFC 9293, 3.4.1, two minutes, after which no copy of a packet is left in the network.
 */
const LONGEST_MEMORY = 300_000;
/** Milliseconds after the deadline: a datagram that is sent at the deadline arrives later. */
const MARGIN = 1_000;
const FIRST_PURGE = 1_024;
/**
 * Milliseconds between two purges: a peer that sends more than is kept must not cause a purge for
 * each request.
 */
const PURGE_PERIOD = 100;

interface Resend {
  at: number;
  interval: number;
}

/** The requests to send again until they are answered. */
export class ResendQueue {
  readonly #waiting = new Map<OutgoingRequest, Resend>();

  add(outgoing: OutgoingRequest, now: number): void {
    this.#waiting.set(outgoing, { at: now + FIRST_RESEND, interval: FIRST_RESEND });
  }

  /** Sends the requests that are due. `isWaiting`: whether a request has no answer. */
  sweep(
    now: number,
    isWaiting: (outgoing: OutgoingRequest) => boolean,
    send: (outgoing: OutgoingRequest) => void,
  ): void {
    for (const [outgoing, resend] of this.#waiting) {
      if (!isWaiting(outgoing)) this.#waiting.delete(outgoing);
      else if (resend.at <= now) {
        resend.interval = Math.min(LONGEST_RESEND, resend.interval * 2);
        resend.at = now + resend.interval;
        send(outgoing);
      }
    }
  }
}

interface Remembered {
  /** Until when the request may arrive again: a time of now(). */
  readonly until: number;
  /**
   * Undefined: the handler is running, the call has no answer, or newer answers have evicted it. If
   * the request arrives again then, it is dropped without an event.
   */
  answer: Uint8Array | undefined;
}

/** The number of requests that are kept for all peers. */
let total = 0;

/** The key of a whole sequence. In most requests the upper half is 0. */
function keyOf({ sequenceLow, sequenceHigh }: Sequence): number | string {
  return sequenceHigh === 0 ? sequenceKey(sequenceLow) : `${sequenceHigh} ${sequenceLow}`;
}

/**
 * The requests of a peer that may arrive again until their deadlines have passed, and their
 * answers. A request is never removed earlier: above the limit, new requests are refused.
 */
export class RecentRequests {
  readonly #requests = new Map<number | string, Remembered>();
  /** Requests in the order of their answers. The answers of some have been removed. */
  #answered = new Queue<Remembered>();
  /** Bytes of the answers, with ANSWER_OVERHEAD for each. */
  #bytes = 0;
  /** The number of requests at which the expired ones are removed. */
  #nextPurge = FIRST_PURGE;
  #purgedAt = Number.NEGATIVE_INFINITY;

  get size(): number {
    return this.#requests.size;
  }

  /** The request with this sequence. Undefined: the request is new. */
  find(sequence: Sequence): Remembered | undefined {
    return this.#requests.get(keyOf(sequence));
  }

  /**
   * Keeps a new request. `timeout`: that of its call, in ms. `time`: a time of now(). Returns false
   * above the limit: the call must not run.
   */
  remember(sequence: Sequence, timeout: number | undefined, time: number): boolean {
    if (this.#requests.size >= this.#nextPurge) this.#purge(time);
    const { size } = this.#requests;
    if (size >= REMEMBERED || (total >= REMEMBERED_IN_ALL && size >= REMEMBERED_ALWAYS))
      return false;
    const until = time + Math.min(timeout ?? WITHOUT_TIMEOUT, LONGEST_MEMORY) + MARGIN;
    this.#requests.set(keyOf(sequence), { until, answer: undefined });
    total += this.#requests.size - size;
    return true;
  }

  /** Keeps the answer of a request, and removes the oldest answers above REMEMBERED_BYTES. */
  answered(sequence: Sequence, answer: Uint8Array): void {
    const known = this.find(sequence);
    if (known === undefined || known.answer !== undefined) return;
    known.answer = answer;
    this.#bytes += answer.length + ANSWER_OVERHEAD;
    this.#answered.push(known);
    while (this.#bytes > REMEMBERED_BYTES) this.#removeAnswer(this.#answered.shift());
  }

  /** Removes all requests, because the session is closed. */
  clear(): void {
    total -= this.#requests.size;
    this.#requests.clear();
    this.#answered.clear();
    this.#bytes = 0;
  }

  #removeAnswer(request: Remembered | undefined): void {
    if (request?.answer === undefined) return;
    this.#bytes -= request.answer.length + ANSWER_OVERHEAD;
    request.answer = undefined;
  }

  #purge(time: number): void {
    if (time - this.#purgedAt < PURGE_PERIOD) return;
    this.#purgedAt = time;
    const { size } = this.#requests;
    for (const [key, request] of this.#requests) {
      if (request.until > time) continue;
      this.#removeAnswer(request);
      this.#requests.delete(key);
    }
    total -= size - this.#requests.size;
    this.#nextPurge = Math.min(REMEMBERED, Math.max(FIRST_PURGE, this.#requests.size * 2));
    const answered = new Queue<Remembered>();
    for (
      let request = this.#answered.shift();
      request !== undefined;
      request = this.#answered.shift()
    )
      if (request.answer !== undefined) answered.push(request);
    this.#answered = answered;
  }
}
