/**
 * What calls need over datagrams, which may be lost or come twice: requests that are safe to repeat are sent again until their answer comes, and an
 * answer is sent again for a request that comes again, without another call of the handler.
 */
import { Queue } from '../../core/queue.js';
import type { Sequence } from '../wire/control-frames.js';
import type { Outgoing } from './outgoing.js';
import { sequenceKey } from './sequence-key.js';

/** Milliseconds until a request is first sent again; it doubles up to the longest. */
const FIRST_RESEND = 200;
const LONGEST_RESEND = 2_000;
/** Requests that are remembered for each peer, some 10 MiB: 65 s of 1,000 calls a second. */
export const REMEMBERED = 65_536;
/** Bytes of their answers. */
const REMEMBERED_BYTES = 1024 * 1024;
/** Milliseconds that a request is remembered when its caller does not say how long it waits, … */
const WITHOUT_TIMEOUT = 30_000;
/** … at most: a datagram lives for two minutes (RFC 9293, 3.4.1), … */
const LONGEST_MEMORY = 300_000;
/** … and longer than its caller waits, as a datagram that the caller sends at its deadline is under way for a while. */
const MARGIN = 1_000;
const FIRST_PURGE = 1_024;
/** Milliseconds: a peer that sends more than is remembered must not cost a look through all of it for each request. */
const PURGE_PERIOD = 100;

interface Resend {
  at: number;
  interval: number;
}

/** Requests to send again while they wait. */
export class Resends {
  readonly #waiting = new Map<Outgoing, Resend>();

  add(outgoing: Outgoing, now: number): void {
    this.#waiting.set(outgoing, { at: now + FIRST_RESEND, interval: FIRST_RESEND });
  }

  /** Send what is due; `isWaiting` says for what there is no answer yet. */
  sweep(now: number, isWaiting: (outgoing: Outgoing) => boolean, send: (outgoing: Outgoing) => void): void {
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
  readonly high: number;
  /** An instant of now(): until then it may come again. */
  readonly until: number;
  /** Undefined: it is being handled, has no answer, or the answer had to make room for newer ones. */
  answer: Uint8Array | undefined;
}

/**
 * The requests of a peer that may come again, until the deadlines of their calls have passed, and what they were answered. A request is never forgotten
 * before: where there are too many, new ones are refused.
 */
export class RecentRequests {
  /** By the sequenceKey() of the low half of the sequence. */
  readonly #requests = new Map<number, Remembered>();
  /** The keys of the requests with an answer, the oldest first. */
  #answered = new Queue<number>();
  #bytes = 0;
  /** So many requests are looked through for those whose time has passed. */
  #nextPurge = FIRST_PURGE;
  #purgedAt = Number.NEGATIVE_INFINITY;

  /** The request as it came before; undefined: it is new. */
  find({ sequenceLow, sequenceHigh }: Sequence): Remembered | undefined {
    const known = this.#requests.get(sequenceKey(sequenceLow));
    return known?.high === sequenceHigh ? known : undefined;
  }

  /** Remembers a new request. `timeout`: of its call, in ms. `time`: an instant of now(). False: there is no room, and the call must not run. */
  remember({ sequenceLow, sequenceHigh }: Sequence, timeout: number | undefined, time: number): boolean {
    if (this.#requests.size >= this.#nextPurge) this.#purge(time);
    if (this.#requests.size >= REMEMBERED) return false;
    const key = sequenceKey(sequenceLow);
    this.#forgetAnswer(this.#requests.get(key));
    const until = time + Math.min(timeout ?? WITHOUT_TIMEOUT, LONGEST_MEMORY) + MARGIN;
    this.#requests.set(key, { high: sequenceHigh, until, answer: undefined });
    return true;
  }

  answered(sequence: Sequence, answer: Uint8Array): void {
    const known = this.find(sequence);
    if (known === undefined) return;
    this.#forgetAnswer(known);
    known.answer = answer;
    this.#bytes += answer.length;
    this.#answered.push(sequenceKey(sequence.sequenceLow));
    while (this.#bytes > REMEMBERED_BYTES) {
      const oldest = this.#answered.shift();
      if (oldest === undefined) return;
      this.#forgetAnswer(this.#requests.get(oldest));
    }
  }

  #forgetAnswer(request: Remembered | undefined): void {
    if (request?.answer === undefined) return;
    this.#bytes -= request.answer.length;
    request.answer = undefined;
  }

  #purge(time: number): void {
    if (time - this.#purgedAt < PURGE_PERIOD) return;
    this.#purgedAt = time;
    for (const [key, request] of this.#requests) {
      if (request.until > time) continue;
      this.#forgetAnswer(request);
      this.#requests.delete(key);
    }
    this.#nextPurge = Math.min(REMEMBERED, Math.max(FIRST_PURGE, this.#requests.size * 2));
    const answered = new Queue<number>();
    for (let key = this.#answered.shift(); key !== undefined; key = this.#answered.shift())
      if (this.#requests.get(key)?.answer !== undefined) answered.push(key);
    this.#answered = answered;
  }
}
