/**
 * One session as rpc sees it: both sides may call and serve. It is the session's listener; calls wait in PendingCalls,
 * requests go to its Responder.
 */
import { GettyError, messageOf } from '../errors.js';
import { atMost, within } from '../timing.js';
import type { ByteReader } from '../transport/byte-reader.js';
import { ByteWriter } from '../transport/byte-writer.js';
import { every, now } from '../transport/ticker.js';
import type { Codec, EventListener, Peer, PeerCertificate, Session, WebSocketRequest } from '../transport/types.js';
import { cancelled, streamsInput, streamsReplies, unlessCancelled, withTimeLeft } from './call.js';
import { RecentRequests, Resends } from './datagrams.js';
import { RpcError } from './errors.js';
import { COMMAND, Frame, LARGEST_PLAIN_BODY, readFrame } from './frame.js';
import { Heartbeat, type Outgoing, OutgoingCall } from './outgoing.js';
import { checkStreamInput, OutgoingStream, type OutgoingStreamOwner } from './outgoing-stream.js';
import { PendingCalls } from './pending.js';
import type { Reply } from './reply.js';
import { EXTENDED_ANSWER, EXTENDED_REQUEST } from './request.js';
import { begin, Responder, type ResponderOwner, type ResponderSetup, warn } from './responder.js';
import { tell } from './server-stream.js';
import { countsOf, type Meters, Tally } from './statistics.js';
import { ControlPacket, type ItemPacket } from './stream-packets.js';
import { makeStub } from './stub.js';
import type { Call, Contract, Invoke, MethodSpecs, PeerStatistics, Stub, StubOptions } from './types.js';

/** What all channels of a client or server share. Milliseconds. */
export interface ChannelSetup extends ResponderSetup {
  readonly side: 'client' | 'server';
  readonly timeout: number;
  readonly heartbeatTimeout: number;
  readonly streamWindow: number;
  /** Of the calls that are made. */
  readonly calls: Meters;
  /** Wraps the calls of context.channel.stub() as the client's own. */
  readonly wrap: (invoke: Invoke) => Invoke;
  /** The channel opened, is going away, or closed. */
  changed(channel: RpcChannel): void;
}

/** What a channel writes. */
export type Packet = Outgoing | Reply | ItemPacket | ControlPacket;

type RpcSession = Session<Frame, Packet>;

/** How often deadlines are looked at: what a timeout may be late. */
const SWEEP_PERIOD = 20;
/** How long a peer that has just connected may take to say its first word, when we want it to go. */
const FIRST_WORD = 200;
export class RpcChannel implements EventListener<Frame, Packet>, Codec<Frame, Packet>, ResponderOwner, OutgoingStreamOwner {
  extended: boolean | undefined;
  readonly certificate: PeerCertificate | undefined;
  readonly request: WebSocketRequest | undefined;
  readonly invoke: Invoke;
  recent: RecentRequests | undefined;
  #resends: Resends | undefined;
  /** Only while the setup says so is it called at all; see EventListener. */
  readonly onCron: (() => void) | undefined;
  readonly #setup: ChannelSetup;
  readonly #frame = new Frame();
  readonly #responder: Responder;
  readonly #pending: PendingCalls<Outgoing>;
  /** Of our own sequences: a client's are odd. */
  readonly #parity: 0 | 1;
  readonly #made = new Tally();
  readonly #served = new Tally();
  #session: RpcSession | undefined;
  #peer = '';
  #goingAway = false;
  /** We want the peer to go, and have told it so if we know that it understands. */
  #dismissed = false;
  #stopSweep: (() => void) | undefined;
  /** Calls that wait to learn whether the peer is extended, and whoever waits for idleness. */
  readonly #whenKnown = new Set<() => void>();
  #whenIdle: (() => void)[] = [];
  /** The session is past its high-water mark: what streams wait for. */
  #room: Promise<void> | undefined;

  constructor(setup: ChannelSetup, heartbeats: boolean, { certificate, request }: Peer) {
    this.certificate = certificate;
    this.request = request;
    this.#setup = setup;
    this.#parity = setup.side === 'client' ? 1 : 0;
    this.#pending = new PendingCalls(this.#parity, setup.maxPendingCalls);
    this.#responder = new Responder(setup, this, this.#served);
    this.invoke = setup.wrap((call) => this.send(call));
    this.onCron = heartbeats ? () => this.#sendHeartbeat() : undefined;
  }

  get peer(): string {
    return this.#peer;
  }

  get closed(): boolean {
    return this.#session === undefined || this.#session.closed;
  }

  /** False from goaway on, or when the session is closed. */
  get usable(): boolean {
    return !this.#goingAway && !this.closed;
  }

  get pending(): number {
    return this.#pending.calls;
  }

  get serving(): number {
    return this.#responder.serving;
  }

  stub<Specs extends MethodSpecs>(contract: Contract<Specs>, options?: StubOptions): Stub<Specs> {
    return makeStub(contract, this.invoke, this.#setup.timeout, options);
  }

  // ---- codec ----

  read(input: ByteReader, session: RpcSession): Frame | undefined {
    return readFrame(input, this.#frame, session.maxMessageBytes) ? this.#frame : undefined;
  }

  write(output: ByteWriter, message: Packet): void {
    message.write(output);
  }

  // ---- session events ----

  onOpen(session: RpcSession): void {
    this.#session = session;
    if (session.lossy) {
      this.recent = new RecentRequests();
      this.#resends = new Resends();
    }
    this.#peer = session.remoteAddress;
    this.#setup.changed(this);
    // Its answer tells early whether the peer is extended.
    if (this.#setup.side === 'client') this.#sendHeartbeat();
  }

  onMessage(_session: RpcSession, frame: Frame): void {
    const { command } = frame;
    if (command === COMMAND.response || command === COMMAND.heartbeatReply) this.#onResponse(frame);
    else if (command >= COMMAND.item) this.#onExtension(frame);
    else {
      this.#learnPeer(frame);
      if (command === COMMAND.request) this.#responder.onRequest(frame);
      else this.#responder.onHeartbeat(frame);
    }
  }

  onError(session: RpcSession, error: Error): void {
    const code = error instanceof GettyError ? error.code : undefined;
    warn(this.#setup.logger, { peer: session.remoteAddress, code, error }, error.message);
  }

  onClose(): void {
    this.#stopSweep?.();
    this.#stopSweep = undefined;
    this.#pending.failAll(new RpcError('UNAVAILABLE', `the session with ${this.#peer} was lost before the answer came`));
    this.#responder.abortAll(new RpcError('CANCELLED', `the session with ${this.#peer} is lost`));
    this.#settleKnown();
    this.#settleIdle();
    this.#setup.changed(this);
  }

  // ---- calling ----

  get statistics(): PeerStatistics {
    return { peer: this.#peer, calls: countsOf(this.#made), served: countsOf(this.#served) };
  }

  readonly #count = (call: Call, error: RpcError | undefined, latency: number, sent: number, received: number): void => {
    if (error === undefined) this.#made.succeeded++;
    else this.#made.failed++;
    this.#setup.calls.of(call.method).end(error, latency, sent, received);
  };

  resetStatistics(): void {
    this.#made.reset();
    this.#served.reset();
  }

  #begin(call: Call): void {
    this.#made.started++;
    this.#setup.calls.of(call.method).begin();
  }

  /** It was not sent: that is a failed call too. */
  #refuse(call: Call, error: RpcError): Promise<never> {
    this.#begin(call);
    this.#count(call, error, 0, 0, 0);
    return Promise.reject(error);
  }

  /** Send one call, past all interceptors, and wait for its answer. Rejects with an RpcError. */
  send(call: Call): Promise<unknown> {
    const session = this.#session;
    if (session === undefined || !this.usable) {
      const why = `the session with ${this.#peer} ${this.#goingAway ? 'is going away' : 'is closed'}`;
      return this.#refuse(call, new RpcError('UNAVAILABLE', why, { unsent: true }));
    }
    if (call.signal?.aborted) return this.#refuse(call, cancelled(call, true));
    if (this.#setup.side === 'server' && this.extended !== true) return this.#sendWhenKnown(call, 'calls from a server to its client');
    const { kind } = call.method;
    const streams = kind !== 'unary' && (streamsInput(kind) || streamsReplies(kind));
    if (streams && session.lossy) {
      return this.#refuse(
        call,
        new RpcError('FAILED_PRECONDITION', `${this.#peer} is reached over datagrams, which streams cannot`, { unsent: true }),
      );
    }
    if (streams && this.extended !== true) return this.#sendWhenKnown(call, 'streams');
    const outgoing = streams ? new OutgoingStream(call, this, this.#count) : new OutgoingCall(call, this.extended === true, this.#count);
    try {
      if (streams) checkStreamInput(call);
      if (kind === 'oneway') outgoing.number(this.#pending);
      else {
        if (call.timeout !== undefined) outgoing.deadline = begin(call.timeout) + call.timeout;
        this.#pending.add(outgoing);
        this.#stopSweep ??= every(SWEEP_PERIOD, () => this.#sweep());
      }
      session.write(outgoing);
      if (call.method.idempotent) this.#resends?.add(outgoing, now());
    } catch (error) {
      this.#pending.take(outgoing.sequenceLow, outgoing.sequenceHigh);
      if (outgoing.bodyLength > LARGEST_PLAIN_BODY && this.extended !== true) {
        return this.#sendWhenKnown(call, `bodies over ${LARGEST_PLAIN_BODY} bytes (this one has ${outgoing.bodyLength})`);
      }
      return this.#refuse(call, notSent(error, call));
    }
    this.#begin(call);
    if (kind === 'oneway') {
      outgoing.count();
      outgoing.resolve(undefined);
    }
    if (kind !== 'oneway' && call.signal !== undefined) this.#followSignal(outgoing, call.signal);
    if (outgoing instanceof OutgoingStream) outgoing.begin();
    return outgoing.promise;
  }

  /** Wait for the peer's first word, then send if it speaks the extensions. */
  async #sendWhenKnown(call: Call, what: string): Promise<unknown> {
    const began = performance.now();
    if (this.extended === undefined) {
      if (this.#whenKnown.size >= this.#setup.maxPendingCalls)
        throw new RpcError('RESOURCE_EXHAUSTED', `too many calls wait to know ${this.#peer}`, { unsent: true });
      const limit = call.timeout ?? this.#setup.timeout;
      let settle!: () => void;
      const known = new Promise<void>((resolve) => {
        settle = resolve;
      });
      this.#whenKnown.add(settle);
      const late = (): Error =>
        new RpcError('DEADLINE_EXCEEDED', `${this.#peer} did not say within ${limit} ms whether it takes ${what}`, { unsent: true });
      await within(limit, unlessCancelled(call, known), late).finally(() => {
        this.#whenKnown.delete(settle);
        // So that what waits for it lets go of the signal.
        settle();
      });
    }
    if (this.closed) throw new RpcError('UNAVAILABLE', `the session with ${this.#peer} is closed`, { unsent: true });
    if (this.extended !== true)
      throw new RpcError('FAILED_PRECONDITION', `${this.#peer} does not take ${what}: it speaks the plain Go protocol`, { unsent: true });
    return this.send(withTimeLeft(call, began));
  }

  #followSignal(outgoing: OutgoingCall, signal: AbortSignal): void {
    const abort = (): void => {
      if (!this.drop(outgoing)) return;
      this.#tellWhenKnown(ControlPacket.cancel(outgoing));
      outgoing.fail(cancelled(outgoing.call, false));
    };
    signal.addEventListener('abort', abort, { once: true });
    const forget = (): void => signal.removeEventListener('abort', abort);
    (outgoing instanceof OutgoingStream ? outgoing.over : outgoing.promise).then(forget, forget);
  }

  /** A word for an extended peer; for another there is none. */
  #tellWhenKnown(packet: ControlPacket): void {
    const tellNow = (): void => {
      if (this.extended === true) tell(this, packet);
    };
    if (this.extended === undefined && this.#whenKnown.size < this.#setup.maxPendingCalls) this.#whenKnown.add(tellNow);
    else tellNow();
  }

  // ---- for streams ----

  get streamWindow(): number {
    return this.#setup.streamWindow;
  }

  get maxMessageBytes(): number {
    return this.#session?.maxMessageBytes ?? 0;
  }

  sendPacket(packet: ItemPacket | ControlPacket): void {
    const session = this.#session;
    if (session === undefined) throw new RpcError('UNAVAILABLE', 'there is no session');
    if (session.write(packet) || this.#room !== undefined) return;
    const forget = (): void => {
      this.#room = undefined;
    };
    this.#room = session.drained().then(forget, forget);
  }

  room(): Promise<void> | undefined {
    return this.#room;
  }

  drop({ sequenceLow, sequenceHigh }: OutgoingCall): boolean {
    const dropped = this.#pending.take(sequenceLow, sequenceHigh) !== undefined;
    if (dropped) this.oneLess();
    return dropped;
  }

  /** What only extended peers say. */
  #onExtension(frame: Frame): void {
    if (this.extended === undefined) {
      this.extended = true;
      this.#settleKnown();
    }
    const { command, sequenceLow, sequenceHigh } = frame;
    if (command === COMMAND.goaway) this.#onGoaway();
    else if ((sequenceLow & 1) !== this.#parity) this.#responder.onStream(frame);
    else if (command === COMMAND.end) this.#onResponse(frame);
    else if (this.#pending.find(sequenceLow, sequenceHigh)?.onStream(frame) === false) {
      this.#pending.take(sequenceLow, sequenceHigh);
      this.oneLess();
    }
  }

  #sweep(): void {
    this.#pending.sweep(now());
    this.#resends?.sweep(
      now(),
      (outgoing) => this.#pending.find(outgoing.sequenceLow, outgoing.sequenceHigh) === outgoing,
      (outgoing) => this.#resend(outgoing),
    );
    this.oneLess();
    if (this.#pending.size > 0) return;
    this.#stopSweep?.();
    this.#stopSweep = undefined;
  }

  #resend(outgoing: Outgoing): void {
    try {
      this.#session?.write(outgoing);
    } catch {
      // The first try was taken; this one is as good as lost.
    }
  }

  #onResponse(frame: Frame): void {
    if (this.extended === undefined) {
      this.extended = frame.serviceId === EXTENDED_ANSWER;
      this.#settleKnown();
    }
    // Nothing waits for the answer of a call that timed out or was cancelled.
    this.#pending.take(frame.sequenceLow, frame.sequenceHigh)?.answer(frame);
    this.oneLess();
  }

  #settleKnown(): void {
    for (const settle of this.#whenKnown) settle();
    this.#whenKnown.clear();
  }

  #sendHeartbeat(): void {
    const session = this.#session;
    if (session === undefined || session.closed) return;
    const heartbeat = new Heartbeat(session.active, (sentAt) => this.#heartbeatMissed(sentAt));
    heartbeat.deadline = now() + this.#setup.heartbeatTimeout;
    this.#pending.add(heartbeat);
    this.#stopSweep ??= every(SWEEP_PERIOD, () => this.#sweep());
    this.#resends?.add(heartbeat, now());
    try {
      session.write(heartbeat);
    } catch {
      // Too much is queued. It waits all the same: a peer that takes nothing and says nothing is given up.
    }
  }

  #heartbeatMissed(activeBefore: number): void {
    const session = this.#session;
    // With heartbeats off there is only the first one, which asks what the peer speaks.
    if (session === undefined || session.active > activeBefore || this.onCron === undefined) return;
    session.destroy(new RpcError('UNAVAILABLE', `${this.#peer} did not answer a heartbeat within ${this.#setup.heartbeatTimeout} ms`));
  }

  // ---- answering ----

  /** For the responder. Throws what encoding throws; a peer that is gone misses its answer. */
  sendReply(reply: Reply): void {
    const session = this.#session;
    if (session === undefined || session.closed) return;
    let room: boolean;
    try {
      room = this.recent === undefined ? session.write(reply) : this.#sendRemembered(session, this.recent, reply);
    } catch (error) {
      if (!(error instanceof GettyError) || error.code !== 'SESSION_BLOCKED') throw error;
      // It asks and does not read the answers; they cannot be kept for ever.
      session.destroy(error);
      return;
    }
    // Read no more requests than answers leave, unless answers to our own calls would wait behind them.
    if (!room && this.#pending.size === 0) {
      session.pause();
      session.drained().then(
        () => session.resume(),
        () => {},
      );
    }
  }

  /** Over datagrams an answer may have to be given again. */
  #sendRemembered(session: RpcSession, recent: RecentRequests, reply: Reply): boolean {
    const output = ByteWriter.borrow();
    try {
      reply.write(output);
      const room = session.writeBytes(output.bytes.subarray(0, output.length));
      // A copy: the buffer is used again.
      recent.answered(reply, new Uint8Array(output.bytes.subarray(0, output.length)));
      return room;
    } finally {
      ByteWriter.giveBack(output);
    }
  }

  sendAgain(answer: Uint8Array): void {
    try {
      this.#session?.writeBytes(answer);
    } catch {
      // It may be lost; the request will come again.
    }
  }

  #learnPeer(frame: Frame): void {
    if (this.extended !== undefined) return;
    this.extended = frame.serviceId === EXTENDED_REQUEST;
    this.#settleKnown();
    if (this.#dismissed) this.sendGoaway();
  }

  // ---- the end ----

  /** Tell an extended peer to send no new calls; one that has not said a word yet is told when it has. */
  sendGoaway(): void {
    this.#dismissed = true;
    const session = this.#session;
    if (session === undefined || session.closed || this.extended !== true) return;
    try {
      session.write(ControlPacket.goaway());
    } catch {
      // It is blocked; it will see the end of the session.
    }
  }

  #onGoaway(): void {
    this.#goingAway = true;
    this.#setup.changed(this);
    this.#closeWhenIdle();
  }

  /** Something that was under way has ended. */
  oneLess(): void {
    if (this.#whenIdle.length > 0) this.#settleIdle();
    if (this.#goingAway) this.#closeWhenIdle();
  }

  #closeWhenIdle(): void {
    if (this.#pending.calls === 0 && this.#responder.serving === 0) void this.#session?.close();
  }

  /** Settles when nothing is under way in either direction, or the session is lost. */
  async idle(): Promise<void> {
    while (!this.closed && (this.#responder.serving > 0 || this.#pending.calls > 0)) {
      await new Promise<void>((resolve) => this.#whenIdle.push(resolve));
    }
  }

  /** Settles when nothing is under way and a peer that was told to go has gone. */
  async drain(): Promise<void> {
    if (this.extended === undefined && !this.closed) await atMost(FIRST_WORD, new Promise<void>((resolve) => this.#whenKnown.add(resolve)));
    await this.idle();
    while (!this.closed && this.extended === true) await new Promise<void>((resolve) => this.#whenIdle.push(resolve));
  }

  #settleIdle(): void {
    const waiting = this.#whenIdle;
    this.#whenIdle = [];
    for (const settle of waiting) settle();
  }
}

/** Why a call could not be written, in the terms of a caller. */
function notSent(error: unknown, { method }: Call): RpcError {
  if (error instanceof RpcError) return error;
  const code = error instanceof GettyError ? error.code : '';
  const what = `${method.service}.${method.name} was not sent: ${messageOf(error)}`;
  if (code === 'SESSION_CLOSED') return new RpcError('UNAVAILABLE', what, { cause: error, unsent: true });
  if (code === 'SESSION_BLOCKED' || code === 'MESSAGE_TOO_LARGE') return new RpcError('RESOURCE_EXHAUSTED', what, { cause: error, unsent: true });
  return new RpcError('INVALID_ARGUMENT', what, { cause: error, unsent: true });
}
