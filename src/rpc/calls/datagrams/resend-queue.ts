/**
 * The idempotent requests of a caller that are not answered. A datagram may be lost, so each
 * request is sent again until its answer arrives.
 */
import { copy } from '../../../core/bytes.js';
import { spend } from '../../../core/turn.js';
import type { ByteWriter } from '../../../transport/buffers/byte-writer.js';
import type { PeerSession } from '../../peer/peer-session.js';
import type { OutgoingFrame } from '../../wire/frame.js';
import type { OutgoingRequest } from '../outgoing-request.js';
import type { PendingRequests } from '../pending-requests.js';

/** Milliseconds until a request is sent again. The delay doubles up to MAX_DELAY. */
const INITIAL_DELAY = 200;
const MAX_DELAY = 2_000;
/** Units of core/turn.ts for one datagram, which is one system call. */
const SEND_UNITS = 4;

/**
 * A request that is encoded once. Its argument is an object of the program, which may change it
 * before the request is sent again.
 */
class EncodedRequest implements OutgoingFrame {
  readonly #request: OutgoingFrame;
  #bytes: Uint8Array | undefined;

  constructor(request: OutgoingFrame) {
    this.#request = request;
  }

  write(output: ByteWriter): void {
    if (this.#bytes !== undefined) return output.append(this.#bytes);
    const start = output.length;
    this.#request.write(output);
    this.#bytes = copy(output.bytes.subarray(start, output.length));
  }
}

interface Schedule {
  readonly frame: EncodedRequest;
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

  /** Adds a request that is sent at `now`, a time of now(). */
  add(request: OutgoingRequest, now: number): void {
    const frame = new EncodedRequest(request);
    this.#schedules.set(request, { frame, nextAt: now + INITIAL_DELAY, delay: INITIAL_DELAY });
  }

  /** The frame to send for `request`. */
  frameOf(request: OutgoingRequest): OutgoingFrame {
    return this.#schedules.get(request)?.frame ?? request;
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
        this.#send(schedule.frame);
      }
    }
  }

  #isPending(request: OutgoingRequest): boolean {
    return this.#pending.find(request.sequenceLow, request.sequenceHigh) === request;
  }

  #send(frame: OutgoingFrame): void {
    try {
      this.#peer.session?.write(frame);
    } catch {
      // The datagram may be lost anyway.
    }
  }
}
