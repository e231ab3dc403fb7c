/**
 * The latest requests of a peer that sends datagrams. A datagram may arrive twice, or be lost. When
 * a request arrives again, the server does not call the handler again, and sends the answer again
 * if it is still kept.
 */
import { Queue } from '../../../core/queue.js';
import { nextTurn, spend } from '../../../core/turn.js';
import { type Sequence, sequenceKey } from '../../wire/sequence.js';

/** The most requests that are kept per peer: 65 s of 1,000 calls a second. */
export const MAX_REQUESTS_PER_PEER = 65_536;
/** The most bytes of answers that are kept per peer, with ANSWER_OVERHEAD for each. */
const MAX_ANSWER_BYTES_PER_PEER = 1024 * 1024;
/** The most bytes of requests and answers that are kept for all peers together. */
const MAX_BYTES_IN_ALL = 128 * 1024 * 1024;
/** What each peer may have above MAX_BYTES_IN_ALL, because the other peers may be attackers. */
const GUARANTEED_REQUESTS_PER_PEER = 64;
const GUARANTEED_ANSWER_BYTES_PER_PEER = 8 * 1024;
/** Bytes of the memory of a request, and of an answer besides its content. */
const REQUEST_BYTES = 160;
const ANSWER_OVERHEAD = 160;
/** Milliseconds: the least time to keep a request without a timeout, besides ARRIVAL_MARGIN. */
const DEFAULT_RETENTION = 30_000;
/**
 * Milliseconds: the least time to keep a request with a longer timeout, besides ARRIVAL_MARGIN. It
 * is more than the maximum segment lifetime of RFC 9293, 3.4.1, two minutes, after which no copy of
 * a packet is left in the network.
 */
const MAX_RETENTION = 300_000;
/** Milliseconds after the deadline: a datagram that is sent at the deadline arrives later. */
const ARRIVAL_MARGIN = 1_000;
/** The number of requests of a peer at which the expired ones are removed for the first time. */
const FIRST_PURGE_SIZE = 1_024;
/** Milliseconds between two purges. At the limit, each request would otherwise cause a purge. */
const PURGE_PERIOD = 100;
/** Milliseconds between two purges of all peers, while they have MAX_BYTES_IN_ALL. */
const PURGE_ALL_PERIOD = 1_000;
/** A purge counts 64 kept requests as one unit of spend(). */
const UNIT_BITS = 6;

interface RecentRequest {
  /** Until when the request must be kept: a time of now() of flush-scheduler.ts. */
  readonly until: number;
  /**
   * Undefined: the handler is running, the call has no answer, or the answer was removed. If the
   * request arrives again then, it is dropped without an event.
   */
  answer: Uint8Array | undefined;
}

/** The peers with requests. `bytes`: of all their requests and answers. */
const noPeers = () => ({
  all: new Set<RecentRequests>(),
  bytes: 0,
  purgedAt: Number.NEGATIVE_INFINITY,
});
let peers = noPeers();

/** As exchangeState() of core/turn.ts. */
export function exchangeState(next = noPeers()): ReturnType<typeof noPeers> {
  const former = peers;
  peers = next;
  return former;
}

/**
 * Removes the expired requests of all peers, in several turns: peers that send nothing more keep
 * their sessions, and would take the room of the others until then.
 */
async function purgeAll(time: number): Promise<void> {
  if (time - peers.purgedAt < PURGE_ALL_PERIOD) return;
  peers.purgedAt = time;
  for (const peer of [...peers.all]) if (peer.purge(time)) await nextTurn();
}

/** The key of a whole sequence. In most requests the upper half is 0. */
function keyOf({ sequenceLow, sequenceHigh }: Sequence): number | string {
  return sequenceHigh === 0 ? sequenceKey(sequenceLow) : `${sequenceHigh} ${sequenceLow}`;
}

/**
 * The requests of one peer, and their answers. A request is kept at least for its timeout and
 * ARRIVAL_MARGIN, because it may arrive again until then. It is removed later, when add() finds
 * many requests of this peer or of all peers. A request without a timeout, or with one above
 * MAX_RETENTION, may arrive again after it was removed: it then counts as new. Above the limit, new
 * requests are refused.
 */
export class RecentRequests {
  readonly #requests = new Map<number | string, RecentRequest>();
  /** Requests in the order of their answers. The answers of some have been removed. */
  #answered = new Queue<RecentRequest>();
  /** Bytes of the answers, with ANSWER_OVERHEAD for each. */
  #answerBytes = 0;
  /** The number of requests at which the expired ones are removed next. */
  #nextPurgeSize = FIRST_PURGE_SIZE;
  #purgedAt = Number.NEGATIVE_INFINITY;

  get size(): number {
    return this.#requests.size;
  }

  /** The request with this sequence. Undefined: the request is new. */
  find(sequence: Sequence): RecentRequest | undefined {
    return this.#requests.get(keyOf(sequence));
  }

  /**
   * Keeps a new request. `timeout`: the timeout of its call, in ms. `time`: now() of
   * flush-scheduler.ts. Returns false above the limit: the call must not run.
   */
  add(sequence: Sequence, timeout: number | undefined, time: number): boolean {
    if (peers.bytes >= MAX_BYTES_IN_ALL) void purgeAll(time);
    if (this.#requests.size >= this.#nextPurgeSize || this.#isRefused()) this.purge(time);
    if (this.#isRefused()) return false;
    const { size } = this.#requests;
    if (size === 0) peers.all.add(this);
    const until = time + Math.min(timeout ?? DEFAULT_RETENTION, MAX_RETENTION) + ARRIVAL_MARGIN;
    this.#requests.set(keyOf(sequence), { until, answer: undefined });
    peers.bytes += (this.#requests.size - size) * REQUEST_BYTES;
    return true;
  }

  /** Whether there are as many requests as a limit allows. */
  #isRefused(): boolean {
    const { size } = this.#requests;
    return (
      size >= MAX_REQUESTS_PER_PEER ||
      (peers.bytes >= MAX_BYTES_IN_ALL && size >= GUARANTEED_REQUESTS_PER_PEER)
    );
  }

  /** Keeps the answer of a request, and removes the oldest answers above the limit of bytes. */
  setAnswer(sequence: Sequence, answer: Uint8Array): void {
    const request = this.find(sequence);
    if (request === undefined || request.answer !== undefined) return;
    request.answer = answer;
    this.#addBytes(answer.length + ANSWER_OVERHEAD);
    this.#answered.push(request);
    while (this.#hasTooManyBytes()) this.#removeAnswer(this.#answered.shift());
  }

  /** Removes all requests, because the session is closed. */
  clear(): void {
    peers.all.delete(this);
    peers.bytes -= this.#requests.size * REQUEST_BYTES;
    this.#addBytes(-this.#answerBytes);
    this.#requests.clear();
    this.#answered.clear();
  }

  #removeAnswer(request: RecentRequest | undefined): void {
    if (request?.answer === undefined) return;
    this.#addBytes(-request.answer.length - ANSWER_OVERHEAD);
    request.answer = undefined;
  }

  /** Adds to the bytes of the answers. */
  #addBytes(change: number): void {
    this.#answerBytes += change;
    peers.bytes += change;
  }

  #hasTooManyBytes(): boolean {
    const limit =
      peers.bytes > MAX_BYTES_IN_ALL ? GUARANTEED_ANSWER_BYTES_PER_PEER : MAX_ANSWER_BYTES_PER_PEER;
    return this.#answerBytes > limit;
  }

  /** Removes the expired requests. Returns the result of spend(). */
  purge(time: number): boolean {
    if (time - this.#purgedAt < PURGE_PERIOD) return false;
    this.#purgedAt = time;
    const { size } = this.#requests;
    // Before: the turn is timed from here on. After: later datagrams wait if it is over.
    const units = size >>> UNIT_BITS;
    spend(units);
    for (const [key, request] of this.#requests) {
      if (request.until > time) continue;
      this.#removeAnswer(request);
      this.#requests.delete(key);
    }
    peers.bytes -= (size - this.#requests.size) * REQUEST_BYTES;
    this.#nextPurgeSize = Math.min(
      MAX_REQUESTS_PER_PEER,
      Math.max(FIRST_PURGE_SIZE, this.#requests.size * 2),
    );
    const answered = new Queue<RecentRequest>();
    for (
      let request = this.#answered.shift();
      request !== undefined;
      request = this.#answered.shift()
    )
      if (request.answer !== undefined) answered.push(request);
    this.#answered = answered;
    return spend(units);
  }
}
