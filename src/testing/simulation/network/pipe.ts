/** One direction of a stream: bytes in order, with retransmission and flow control as in TCP. */
import { Queue } from '../../../core/queue.js';
import type { ScheduledEvent } from '../clock.js';
import type { Payload } from '../trace.js';
import { retransmissionDelay } from './link.js';
import type { NetworkHost, OpenStream, SimulatedNetwork } from './network.js';

/** Bytes of one segment at most. */
const SEGMENT_BYTES = 64 * 1024;
/** Bytes that the system of the sender accepts before they are acknowledged. */
const SEND_BUFFER_BYTES = 64 * 1024;
/** Bytes that the system of the receiver keeps for a process that does not read. */
const RECEIVE_BUFFER_BYTES = 256 * 1024;
/** Retransmissions of a segment; then the connection fails. About 15 minutes, as in Linux. */
const MAX_RETRANSMISSIONS = 15;

const EMPTY = Buffer.alloc(0);

/** Bytes, or the end of the stream. */
interface Segment {
  readonly bytes: Buffer;
  readonly isEnd: boolean;
  /** The bytes of the write that contains the segment, and where it begins in them. */
  readonly written: Buffer;
  readonly start: number;
  arrival: number;
}

const payloadOf = ({ written, start, bytes }: Segment): Payload => ({
  written,
  start,
  end: start + bytes.length,
});

/** The side of a connection that receives from a pipe. */
export interface PipeReceiver {
  /** The connection is closed, or its process is dead. */
  readonly isGone: boolean;
  /** Bytes that have arrived and that the process has not read. */
  readonly unreadBytes: number;
  arrive(bytes: Buffer, isEnd: boolean): void;
}

/** The side of a connection that sends into a pipe. */
export interface PipeSender {
  /** bufferedBytes is smaller than before. */
  onTaken(): void;
  /** The stream is broken: `ECONNRESET` or `ETIMEDOUT`. */
  onBroken(code: string): void;
}

export class Pipe {
  readonly #network: SimulatedNetwork;
  readonly #stream: OpenStream;
  readonly #from: NetworkHost;
  readonly #to: NetworkHost;
  readonly #label: string;
  readonly #sender: PipeSender;
  readonly #receiver: PipeReceiver;
  /** Segments that were sent, in the order of their arrival. */
  readonly #sent = new Queue<Segment>();
  /** Segments that wait until the receiver has room. */
  #waiting: Segment[] = [];
  #sentBytes = 0;
  #waitingBytes = 0;
  /** Bytes that arrived while the acknowledgement could not return. */
  #unacknowledgedBytes = 0;
  #lastArrival = 0;
  #attempts = 0;
  /** The next arrival, or retransmission. */
  #event: ScheduledEvent | undefined;
  #isStalled = false;
  #ackAttempts = 0;
  /** The next retransmission of bytes that have arrived, for their acknowledgement. */
  #ackEvent: ScheduledEvent | undefined;
  #isEnded = false;
  #isOver = false;
  /** The process of the sender is dead: nothing is sent again. */
  #isAbandoned = false;

  constructor(
    network: SimulatedNetwork,
    stream: OpenStream,
    ends: { from: NetworkHost; to: NetworkHost; label: string },
    sender: PipeSender,
    receiver: PipeReceiver,
  ) {
    this.#network = network;
    this.#stream = stream;
    this.#from = ends.from;
    this.#to = ends.to;
    this.#label = ends.label;
    this.#sender = sender;
    this.#receiver = receiver;
  }

  /** Bytes that the system of the sender has not accepted. */
  get bufferedBytes(): number {
    const unacknowledged = this.#sentBytes + this.#waitingBytes + this.#unacknowledgedBytes;
    return Math.max(0, unacknowledged - SEND_BUFFER_BYTES);
  }

  write(bytes: Uint8Array): void {
    if (this.#isOver) return;
    const copy = Buffer.from(bytes);
    for (let at = 0; at < copy.length; at += SEGMENT_BYTES)
      this.#push(copy.subarray(at, at + SEGMENT_BYTES), false, copy, at);
    this.flush();
  }

  /** Ends the stream after the written bytes. */
  end(): void {
    if (this.#isOver || this.#isEnded) return;
    this.#isEnded = true;
    this.#push(EMPTY, true);
    this.flush();
  }

  /** Discards the bytes that the system has not accepted, and ends the stream. */
  close(): void {
    if (this.#isEnded) return;
    let excess = this.bufferedBytes;
    while (excess > 0 && this.#waiting.length > 0) {
      const { bytes, written, start } = this.#waiting.pop() as Segment;
      const kept = bytes.subarray(0, Math.max(0, bytes.length - excess));
      excess -= bytes.length - kept.length;
      this.#waitingBytes -= bytes.length;
      if (kept.length > 0) this.#push(kept, false, written, start);
    }
    this.end();
  }

  /** The process of the sender is dead. Segments on their way arrive; nothing is sent again. */
  abandon(): void {
    this.#isAbandoned = true;
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#ackEvent?.cancel();
    if (this.#isStalled) this.stop();
  }

  /** Drops everything. */
  stop(): void {
    this.#isOver = true;
    this.#event?.cancel();
    this.#event = undefined;
    this.#ackEvent?.cancel();
    this.#sent.clear();
    this.#waiting = [];
  }

  #push(bytes: Buffer, isEnd: boolean, written = bytes, start = 0): void {
    this.#waiting.push({ bytes, isEnd, written, start, arrival: 0 });
    this.#waitingBytes += bytes.length;
  }

  /** Sends segments for which the receiver has room. Called after each read of the receiver. */
  flush(): void {
    if (this.#isOver || this.#waiting.length === 0) return;
    let room = RECEIVE_BUFFER_BYTES - this.#receiver.unreadBytes - this.#sentBytes;
    let first = 0;
    for (; first < this.#waiting.length; first++) {
      const segment = this.#waiting[first] as Segment;
      if (segment.bytes.length > room) break;
      room -= segment.bytes.length;
      this.#waitingBytes -= segment.bytes.length;
      this.#sentBytes += segment.bytes.length;
      this.#transmit(segment);
      this.#sent.push(segment);
    }
    if (first > 0) this.#waiting = this.#waiting.slice(first);
    if (this.#event === undefined) this.#awaitArrival();
  }

  #transmit(segment: Segment): void {
    const { world } = this.#network;
    const link = this.#network.link(this.#from.name, this.#to.name);
    const { at, losses } = link.segmentArrival(world.now, segment.bytes.length);
    if (losses > 0)
      world.trace.addLinkEvent(this.#label, `loses a segment ${losses}x`, payloadOf(segment));
    this.#lastArrival = Math.max(this.#lastArrival, at);
    segment.arrival = this.#lastArrival;
  }

  #awaitArrival(): void {
    const segment = this.#sent.peek();
    this.#event = undefined;
    if (segment === undefined || this.#isOver) return;
    const { world } = this.#network;
    this.#event = world.schedule(segment.arrival - world.now, this.#onArrival);
  }

  #canReach(from: NetworkHost, to: NetworkHost): boolean {
    return !this.#stream.isForgotten && to.isUp && this.#network.isOpen(from.name, to.name);
  }

  readonly #onArrival = (): void => {
    this.#event = undefined;
    if (!this.#canReach(this.#from, this.#to)) return this.#stall();
    if (this.#receiver.isGone) return this.#resetSender();
    const { world } = this.#network;
    const buffered = this.bufferedBytes;
    const segment = this.#sent.shift() as Segment;
    this.#attempts = 0;
    this.#sentBytes -= segment.bytes.length;
    const { isEnd, bytes } = segment;
    world.trace.addLinkEvent(
      this.#label,
      isEnd ? 'end' : `${bytes.length} bytes`,
      payloadOf(segment),
    );
    if (!this.#canReach(this.#to, this.#from)) this.#missAck(segment.bytes.length);
    this.#receiver.arrive(segment.bytes, segment.isEnd);
    if (this.#isOver) return;
    if (buffered > this.bufferedBytes) this.#sender.onTaken();
    this.flush();
    if (this.#event === undefined) this.#awaitArrival();
  };

  /** The acknowledgement of `bytes` bytes is lost. The sender sends them again until it returns. */
  #missAck(bytes: number): void {
    if (this.#isAbandoned) return;
    this.#unacknowledgedBytes += bytes;
    if (this.#ackEvent !== undefined) return;
    this.#ackAttempts = 0;
    this.#retryAck();
  }

  #retryAck(): void {
    this.#ackAttempts++;
    if (this.#ackAttempts > MAX_RETRANSMISSIONS) return this.#timeOut();
    this.#ackEvent = this.#network.world.schedule(retransmissionDelay(this.#ackAttempts), () => {
      this.#ackEvent = undefined;
      const isReachable = this.#canReach(this.#from, this.#to);
      if (!isReachable || !this.#canReach(this.#to, this.#from)) return this.#retryAck();
      if (this.#receiver.isGone) return this.#resetSender();
      const buffered = this.bufferedBytes;
      this.#unacknowledgedBytes = 0;
      if (buffered > 0) this.#sender.onTaken();
      this.flush();
    });
  }

  #timeOut(): void {
    this.stop();
    this.#network.world.trace.addLinkEvent(this.#label, 'timed out');
    this.#sender.onBroken('ETIMEDOUT');
  }

  /** The receiver's system closes a connection with bytes that its process has not read. */
  reset(): void {
    if (!this.#isOver) this.#resetSender();
  }

  /** The receiver's system does not know the connection: it answers with a reset. */
  #resetSender(): void {
    const { world } = this.#network;
    this.stop();
    const back = this.#network.link(this.#to.name, this.#from.name);
    world.trace.addLinkEvent(this.#label, 'reset by the receiver');
    world.schedule(Math.round(back.delay()), () => {
      if (this.#canReach(this.#to, this.#from)) this.#sender.onBroken('ECONNRESET');
    });
  }

  /** Nothing arrives. Sends again later. */
  #stall(): void {
    if (this.#isAbandoned) return this.stop();
    this.#attempts++;
    if (this.#attempts > MAX_RETRANSMISSIONS) return this.#timeOut();
    this.#isStalled = true;
    this.#event = this.#network.world.schedule(retransmissionDelay(this.#attempts), this.#retry);
  }

  readonly #retry = (): void => {
    this.#event = undefined;
    this.#isStalled = false;
    if (!this.#canReach(this.#from, this.#to)) return this.#stall();
    const { world } = this.#network;
    world.trace.addLinkEvent(this.#label, 'sends again');
    this.#lastArrival = world.now;
    for (let left = this.#sent.length; left > 0; left--) {
      const segment = this.#sent.shift() as Segment;
      this.#transmit(segment);
      this.#sent.push(segment);
    }
    this.#awaitArrival();
  };
}
