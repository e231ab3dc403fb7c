/**
 * The idempotent requests of a caller that are not answered. A datagram may be lost, so each request
 * is sent again until its answer arrives.
 */
import type { OutgoingRequest } from '../outgoing-request.js';

/** Milliseconds until a request is sent again. The delay doubles up to MAX_DELAY. */
const INITIAL_DELAY = 200;
const MAX_DELAY = 2_000;

interface Schedule {
  /** When the request is sent again: a time of now(). */
  nextAt: number;
  /** Milliseconds. */
  delay: number;
}

export class ResendQueue {
  readonly #schedules = new Map<OutgoingRequest, Schedule>();

  /** Adds a request that was sent at `now`, a time of now(). */
  add(request: OutgoingRequest, now: number): void {
    this.#schedules.set(request, { nextAt: now + INITIAL_DELAY, delay: INITIAL_DELAY });
  }

  /**
   * Sends the requests that are due. `isPending`: whether a request is not answered. Requests that
   * are not pending are removed.
   */
  sweep(
    now: number,
    isPending: (request: OutgoingRequest) => boolean,
    send: (request: OutgoingRequest) => void,
  ): void {
    for (const [request, schedule] of this.#schedules) {
      if (!isPending(request)) this.#schedules.delete(request);
      else if (schedule.nextAt <= now) {
        schedule.delay = Math.min(MAX_DELAY, schedule.delay * 2);
        schedule.nextAt = now + schedule.delay;
        send(request);
      }
    }
  }
}
