/**
 * What calls need over datagrams, which may be lost or come twice: requests that are safe to repeat are sent again until their answer comes, and an
 * answer is sent again for a request that comes again, without another call of the handler.
 */
import type { Outgoing } from './outgoing.js';
import type { Sequence } from './stream-packets.js';

/** Milliseconds until a request is first sent again; it doubles up to the longest. */
const FIRST_RESEND = 200;
const LONGEST_RESEND = 2_000;
/** Requests that are remembered, and bytes of their answers, for each peer. */
const REMEMBERED = 512;
const REMEMBERED_BYTES = 64 * 1024;

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
  /** Undefined: it is being handled, or has no answer. */
  answer: Uint8Array | undefined;
}

/** The latest requests of a peer, and what they were answered. */
export class RecentRequests {
  /** By the low half of the sequence, the oldest first. */
  readonly #requests = new Map<number, Remembered>();
  #bytes = 0;

  /** The request as it came before; undefined: it is new, and remembered from now on. */
  meet({ sequenceLow, sequenceHigh }: Sequence): Remembered | undefined {
    const known = this.#requests.get(sequenceLow);
    if (known?.high === sequenceHigh) return known;
    this.#forget(sequenceLow);
    this.#requests.set(sequenceLow, { high: sequenceHigh, answer: undefined });
    this.#shrink();
    return undefined;
  }

  answered({ sequenceLow, sequenceHigh }: Sequence, answer: Uint8Array): void {
    const known = this.#requests.get(sequenceLow);
    if (known?.high !== sequenceHigh) return;
    known.answer = answer;
    this.#bytes += answer.length;
    this.#shrink();
  }

  #shrink(): void {
    for (const low of this.#requests.keys()) {
      if (this.#requests.size <= REMEMBERED && this.#bytes <= REMEMBERED_BYTES) return;
      this.#forget(low);
    }
  }

  #forget(low: number): void {
    this.#bytes -= this.#requests.get(low)?.answer?.length ?? 0;
    this.#requests.delete(low);
  }
}
