/**
 * What calls need over datagrams, which may be lost or come twice: requests that are safe to repeat
 * are sent again until their answer comes, and an answer is sent again for a request that comes
 * again, without another call of the handler.
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
/** Requests that are remembered for all peers together, some 60 MiB, … */
const REMEMBERED_IN_ALL = 524_288;
/** … but so many of each peer always: the others may be strangers. */
const REMEMBERED_ALWAYS = 256;
/** Bytes of the answers to a peer, with the overhead for each. */
const REMEMBERED_BYTES = 1024 * 1024;
const ANSWER_OVERHEAD = 64;
/** Milliseconds that a request is remembered when its caller does not say how long it waits, … */
const WITHOUT_TIMEOUT = 30_000;
/** … at most: a datagram lives for two minutes (RFC 9293, 3.4.1), … */
const LONGEST_MEMORY = 300_000;
/**
 * … and longer than its caller waits, as a datagram that the caller sends at its deadline is under
 * way for a while.
 */
const MARGIN = 1_000;
const FIRST_PURGE = 1_024;
/**
 * Milliseconds: a peer that sends more than is remembered must not cost a look through all of it
 * for each request.
 */
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
  sweep(
    now: number,
    isWaiting: (outgoing: Outgoing) => boolean,
    send: (outgoing: Outgoing) => void,
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
  /** An instant of now(): until then it may come again. */
  readonly until: number;
  /**
   * Undefined: it is being handled, has no answer, or the answer had to make room for newer ones.
   */
  answer: Uint8Array | undefined;
}

/** Requests that are remembered for all peers. */
let total = 0;

/** All 64 bits of a sequence count. The upper half of our own callers is 0. */
function keyOf({ sequenceLow, sequenceHigh }: Sequence): number | string {
  return sequenceHigh === 0 ? sequenceKey(sequenceLow) : `${sequenceHigh} ${sequenceLow}`;
}

/**
 * The requests of a peer that may come again, until the deadlines of their calls have passed, and
 * what they were answered. A request is never forgotten before: where there are too many, new ones
 * are refused.
 */
export class RecentRequests {
  readonly #requests = new Map<number | string, Remembered>();
  /** Those with an answer, the oldest first, and some whose answer is forgotten. */
  #answered = new Queue<Remembered>();
  /** Bytes of the answers, with ANSWER_OVERHEAD for each. */
  #bytes = 0;
  /** So many requests are looked through for those whose time has passed. */
  #nextPurge = FIRST_PURGE;
  #purgedAt = Number.NEGATIVE_INFINITY;

  get size(): number {
    return this.#requests.size;
  }

  /** The request as it came before; undefined: it is new. */
  find(sequence: Sequence): Remembered | undefined {
    return this.#requests.get(keyOf(sequence));
  }

  /**
   * Remembers a new request. `timeout`: of its call, in ms. `time`: an instant of now(). False:
   * there is no room, and the call must not run.
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

  answered(sequence: Sequence, answer: Uint8Array): void {
    const known = this.find(sequence);
    if (known === undefined || known.answer !== undefined) return;
    known.answer = answer;
    this.#bytes += answer.length + ANSWER_OVERHEAD;
    this.#answered.push(known);
    while (this.#bytes > REMEMBERED_BYTES) this.#forgetAnswer(this.#answered.shift());
  }

  /** The session is over. */
  forgetAll(): void {
    total -= this.#requests.size;
    this.#requests.clear();
    this.#answered.clear();
    this.#bytes = 0;
  }

  #forgetAnswer(request: Remembered | undefined): void {
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
      this.#forgetAnswer(request);
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
