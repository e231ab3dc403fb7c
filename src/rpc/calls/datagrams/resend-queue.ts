/**
 * The idempotent requests of a caller that are not answered. A datagram may be lost, so each
 * request is sent again until its answer arrives.
 */
import { spend } from '../../../core/turn.js';
import type { PeerSession } from '../../peer/peer-session.js';
import type { OutgoingRequest } from '../outgoing-request.js';
import type { PendingRequests } from '../pending-requests.js';

/** Milliseconds until a request is sent again. The delay doubles up to MAX_DELAY. */
const INITIAL_DELAY = 200;
const MAX_DELAY = 2_000;
/** Units of core/turn.ts for one datagram, which is one system call. */
const SEND_UNITS = 4;

interface Schedule {
  /** When the request is sent again: a time of now() of flush-scheduler.ts. */
  nextAt: number;
  /** Milliseconds. */
  delay: number;
}

export class ResendQueue {
  readonly #pending: PendingRequests<OutgoingRequest>;
  readonly #peer: PeerSession;
  readonly #schedules = new Map<OutgoingRequest, Schedule>();

  /** `pending`: all requests of the session that are not answered. */
  constructor(pending: PendingRequests<OutgoingRequest>, peer: PeerSession) {
    this.#pending = pending;
    this.#peer = peer;
  }

  /** Adds a request that was sent at `now`, a time of now(). */
  add(request: OutgoingRequest, now: number): void {
    this.#schedules.set(request, { nextAt: now + INITIAL_DELAY, delay: INITIAL_DELAY });
  }

  /** Sends the requests that are due at `now`. Removes the requests that are not pending. */
  sweep(now: number): void {
    for (const [request, schedule] of this.#schedules) {
      if (!this.#isPending(request)) this.#schedules.delete(request);
      else if (schedule.nextAt <= now) {
        // The other requests are sent by the next sweeps.
        if (spend(SEND_UNITS)) return;
        schedule.delay = Math.min(MAX_DELAY, schedule.delay * 2);
        schedule.nextAt = now + schedule.delay;
        this.#send(request);
      }
    }
  }

  #isPending(request: OutgoingRequest): boolean {
    return this.#pending.find(request.sequenceLow, request.sequenceHigh) === request;
  }

  #send(request: OutgoingRequest): void {
    try {
      this.#peer.session?.write(request);
    } catch {
      // The datagram may be lost anyway.
    }
  }
}
