/** The calling half of a channel: calls go out, wait for their answers, and settle once. */

import { followSignal } from '../../core/signals.js';
import { within } from '../../core/timers.js';
import { spinFor } from '../../transport/session/busy-poll.js';
import { now } from '../../transport/session/flush-scheduler.js';
import { every } from '../../transport/session/timer-wheel.js';
import type { Session } from '../../transport/types.js';
import { RpcError } from '../errors.js';
import { isStreaming } from '../method-kind.js';
import type { Meters, Tally } from '../metrics/statistics.js';
import {
  checkStreamInput,
  OutgoingStream,
  type OutgoingStreamOwner,
} from '../streams/client-stream.js';
import { signalInUse } from '../streams/reply-stream-call.js';
import { tell } from '../streams/server-stream.js';
import type { Call } from '../types.js';
import { ControlPacket } from '../wire/control-frames.js';
import { COMMAND, type Frame, type HeaderOnlyAnswers, LARGEST_PLAIN_BODY } from '../wire/frame.js';
import { EXTENDED_ANSWER } from '../wire/request.js';
import { cancelled, outOfTime, unlessCancelled, unsendable } from './call-errors.js';
import { instantFor, timeLeft } from './client-call.js';
import { Resends } from './datagram-retries.js';
import { Liveness } from './liveness.js';
import { Heartbeat, type Outgoing, OutgoingCall } from './outgoing.js';
import type { Dialect } from './peer-capabilities.js';
import { PendingCalls } from './pending-calls.js';

/** How often deadlines are looked at: what a timeout may be late. Milliseconds. */
const SWEEP_PERIOD = 20;
/** The longest silence where there are no periodic heartbeats. Milliseconds. */
const NO_HEARTBEATS = 15_000;

/**
 * Of so many calls without a reply is remembered that a Go server answers them with a header alone.
 */
const MAX_NO_REPLIES = 10_000;

/** Milliseconds. */
export interface CallerSetup {
  readonly side: 'client' | 'server';
  readonly timeout: number;
  readonly heartbeatPeriod: number;
  readonly heartbeatTimeout: number;
  readonly maxPendingCalls: number;
  readonly maxDecodedObjects: number;
  /** The session compresses its stream with DEFLATE. */
  readonly isCompressed: boolean;
  readonly busyPoll: number;
  /** Of the calls that are made. */
  readonly calls: Meters;
}

/** The channel, as its caller sees it. */
export interface CallerOwner extends Omit<OutgoingStreamOwner, 'drop'> {
  readonly peer: string;
  readonly closed: boolean;
  /** False from goaway on, or when the session is closed. */
  readonly usable: boolean;
  /** The peer has said that it goes. */
  readonly isGoingAway: boolean;
  readonly session: Session<never, Outgoing> | undefined;
  readonly dialect: Dialect;
  /** A call is over. */
  oneLess(): void;
  /** The peer has begun to owe a sign of life, or has given it. */
  onResponsive(): void;
  /** The peer has given no sign of life within heartbeatTimeout. */
  heartbeatMissed(): void;
}

export class Caller implements HeaderOnlyAnswers {
  readonly #setup: CallerSetup;
  readonly #owner: CallerOwner;
  readonly #tally: Tally;
  readonly #pending: PendingCalls<Outgoing>;
  /** For the streams that are called. */
  readonly #streams: OutgoingStreamOwner;
  #resends: Resends | undefined;
  #stopSweep: (() => void) | undefined;
  readonly #liveness: Liveness;
  /** The sequences of calls without a reply that a Go server may still answer. */
  #noReplies: Set<number> | undefined;

  constructor(setup: CallerSetup, owner: CallerOwner, tally: Tally) {
    this.#setup = setup;
    this.#owner = owner;
    this.#tally = tally;
    this.#liveness = new Liveness(setup.heartbeatPeriod || NO_HEARTBEATS);
    this.#pending = new PendingCalls(this.parity, setup.maxPendingCalls);
    this.#streams = {
      get streamWindow() {
        return owner.streamWindow;
      },
      maxDecodedObjects: owner.maxDecodedObjects,
      sendPacket: (packet) => owner.sendPacket(packet),
      room: () => owner.room(),
      drop: (stream) => this.#drop(stream),
    };
  }

  /** Of our sequences: a client's are odd. */
  get parity(): 0 | 1 {
    return this.#setup.side === 'client' ? 1 : 0;
  }

  /** Calls that wait for their answers. */
  get calls(): number {
    return this.#pending.calls;
  }

  /** The same, and heartbeats. */
  get waiting(): number {
    return this.#pending.size;
  }

  /** False while the peer owes a sign of life: calls have better prospects elsewhere. */
  get isResponsive(): boolean {
    return !this.#liveness.isOverdue;
  }

  /** The session is open. */
  open(lossy: boolean): void {
    if (lossy) this.#resends = new Resends();
  }

  /** The session is lost. */
  close(): void {
    this.#stopSweep?.();
    this.#stopSweep = undefined;
    this.#resends = undefined;
    const { peer, isGoingAway } = this.#owner;
    const why = isGoingAway
      ? `${peer} has closed before the answer came`
      : `the session with ${peer} was lost before the answer came`;
    this.#pending.failAll(
      new RpcError('UNAVAILABLE', why, { reason: isGoingAway ? 'moving' : undefined }),
    );
  }

  // ---- calls ----

  readonly #count = (
    call: Call,
    error: RpcError | undefined,
    latency: number,
    sent: number,
    received: number,
  ): void => {
    if (error === undefined) this.#tally.succeeded++;
    else this.#tally.failed++;
    this.#setup.calls.of(call.method).end(error, latency, sent, received);
  };

  #begin(call: Call): void {
    this.#tally.started++;
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
    const owner = this.#owner;
    const { session } = owner;
    if (session === undefined || !owner.usable) return this.#refuse(call, this.#unusable());
    const signal = signalInUse(call);
    if (signal?.aborted === true) return this.#refuse(call, cancelled(call, true));
    const { extended } = owner.dialect;
    if (extended !== true) {
      const later = this.#sendOnceKnown(call, session.lossy);
      if (later !== undefined) return later;
    }
    // A call that took its time to get here; most are made in this very turn.
    const { deadline } = call;
    if (deadline !== undefined && deadline - now() <= (call.timeout ?? 0) - 1)
      return this.#sendInTime(call);
    const { kind } = call.method;
    const isStream = isStreaming(kind);
    if (isStream && session.lossy) return this.#refuse(call, this.#noStreams());
    const outgoing = isStream
      ? new OutgoingStream(call, this.#streams, this.#count)
      : new OutgoingCall(call, extended, this.#count);
    try {
      if (kind === 'unary') this.#await(outgoing);
      else this.#number(outgoing);
      session.write(outgoing);
    } catch (error) {
      return this.#notSent(outgoing, error);
    }
    this.#begin(call);
    if (this.#setup.busyPoll > 0) spinFor(this.#setup.busyPoll);
    if (kind === 'oneway') {
      outgoing.count();
      outgoing.resolve(undefined);
    } else if (signal !== undefined) this.#followSignal(outgoing, signal);
    if (isStream) (outgoing as OutgoingStream).begin();
    return outgoing.promise;
  }

  #unusable(): RpcError {
    const { peer, closed } = this.#owner;
    return new RpcError(
      'UNAVAILABLE',
      `the session with ${peer} is ${closed ? 'closed' : 'going away'}`,
      { unsent: true },
    );
  }

  #noStreams(): RpcError {
    return new RpcError(
      'FAILED_PRECONDITION',
      `${this.#owner.peer} is reached over datagrams, which streams cannot`,
      { unsent: true },
    );
  }

  /**
   * Where the peer's extensions are unknown or missing: sends calls that need them later, or
   * rejects. Undefined: the call needs none.
   */
  #sendOnceKnown(call: Call, isLossy: boolean): Promise<unknown> | undefined {
    if (this.#setup.isCompressed && this.#owner.dialect.extended === undefined)
      return this.#sendAfterFirstAnswer(call);
    if (this.#setup.side === 'server')
      return this.#sendWhenKnown(call, 'calls from a server to its client');
    if (isStreaming(call.method.kind) && !isLossy) return this.#sendWhenKnown(call, 'streams');
    return undefined;
  }

  /** Gives a sequence to a unary call or a stream, and keeps it until its answer comes. */
  #await(outgoing: OutgoingCall): void {
    const { call } = outgoing;
    if (call.timeout !== undefined)
      outgoing.deadline = call.deadline ?? instantFor(call.timeout) + call.timeout;
    this.#wait(outgoing, call.method.idempotent);
  }

  /** Gives a sequence to a call that is not unary. Throws what is wrong with its input. */
  #number(outgoing: OutgoingCall): void {
    const { call } = outgoing;
    const { kind } = call.method;
    if (kind === 'oneway') return outgoing.number(this.#pending);
    if (kind !== 'noReply') checkStreamInput(call);
    this.#await(outgoing);
    if (kind === 'noReply' && this.#owner.dialect.extended !== true)
      this.#rememberNoReply(outgoing.sequenceLow);
  }

  #notSent(outgoing: OutgoingCall, error: unknown): Promise<unknown> {
    const { call, bodyLength } = outgoing;
    this.#pending.take(outgoing.sequenceLow, outgoing.sequenceHigh);
    if (bodyLength > LARGEST_PLAIN_BODY && this.#owner.dialect.extended !== true)
      return this.#sendWhenKnown(
        call,
        `bodies over ${LARGEST_PLAIN_BODY} bytes (this one has ${bodyLength})`,
      );
    return this.#refuse(
      call,
      unsendable(error, `${call.method.service}.${call.method.name}`, true),
    );
  }

  #sendInTime(call: Call): Promise<unknown> {
    const left = Math.floor(timeLeft(call));
    return left < 1 ? this.#refuse(call, outOfTime(call)) : this.send(call.with({ timeout: left }));
  }

  /** Keep it until its answer comes. `again`: over datagrams it may be sent again. */
  #wait(outgoing: Outgoing, again: boolean): void {
    this.#pending.add(outgoing);
    this.#stopSweep ??= every(SWEEP_PERIOD, () => this.#sweep());
    if (again) this.#resends?.add(outgoing, now());
  }

  /**
   * Waits for the peer's first answer. `late`: the message of DEADLINE_EXCEEDED when none comes
   * within `limit` ms.
   */
  async #untilKnown(call: Call, late: (limit: number) => string): Promise<void> {
    const { dialect, peer } = this.#owner;
    if (dialect.extended === undefined) {
      if (dialect.waiting >= this.#setup.maxPendingCalls) {
        throw new RpcError('RESOURCE_EXHAUSTED', `too many calls wait to know ${peer}`, {
          unsent: true,
        });
      }
      const limit = call.timeout === undefined ? this.#setup.timeout : timeLeft(call);
      let settle!: () => void;
      const known = new Promise<void>((resolve) => {
        settle = resolve;
      });
      const forget = dialect.whenKnown(settle);
      await within(
        limit,
        unlessCancelled(call, known),
        () => new RpcError('DEADLINE_EXCEEDED', late(Math.ceil(limit)), { unsent: true }),
      ).finally(() => {
        forget();
        // So that what waits for it lets go of the signal.
        settle();
      });
    }
    if (this.#owner.closed)
      throw new RpcError('UNAVAILABLE', `the session with ${peer} is closed`, { unsent: true });
  }

  /**
   * With compression. A Go server of version 1.3 or later writes packages that leave together past
   * its compressor, and the session is lost. So the answer to the opening heartbeat comes before
   * the first call is sent.
   */
  async #sendAfterFirstAnswer(call: Call): Promise<unknown> {
    await this.#untilKnown(
      call,
      (limit) => `${this.#owner.peer} did not answer the opening heartbeat within ${limit} ms`,
    );
    return this.send(call);
  }

  /** Wait for the peer's first word, then send if it speaks the extensions. */
  async #sendWhenKnown(call: Call, what: string): Promise<unknown> {
    const { dialect, peer } = this.#owner;
    await this.#untilKnown(
      call,
      (limit) => `${peer} did not say within ${limit} ms whether it takes ${what}`,
    );
    if (dialect.extended !== true)
      throw new RpcError(
        'FAILED_PRECONDITION',
        `${peer} does not take ${what}: it speaks the plain Go protocol`,
        { unsent: true },
      );
    return this.send(call);
  }

  #followSignal(outgoing: OutgoingCall, signal: AbortSignal): void {
    const abort = (): void => {
      if (!this.#drop(outgoing)) return;
      this.#tellCancelled(outgoing);
      outgoing.fail(cancelled(outgoing.call, false));
    };
    const release = followSignal(signal, abort);
    (outgoing instanceof OutgoingStream ? outgoing.over : outgoing.promise).then(release, release);
  }

  /**
   * A word for an extended peer, also one of whom that is not known yet; for another there is none.
   */
  #tellCancelled(outgoing: OutgoingCall): void {
    const { dialect } = this.#owner;
    if (dialect.extended === undefined && dialect.waiting >= this.#setup.maxPendingCalls) return;
    const packet = ControlPacket.cancel(outgoing);
    dialect.whenKnown(() => dialect.extended === true && tell(this.#owner, packet));
  }

  /** Forget the call: no answer is wanted. False: it is over already. */
  #drop({ sequenceLow, sequenceHigh }: Outgoing): boolean {
    const dropped = this.#pending.take(sequenceLow, sequenceHigh) !== undefined;
    if (dropped) this.#owner.oneLess();
    return dropped;
  }

  // ---- answers ----

  #rememberNoReply(sequenceLow: number): void {
    this.#noReplies ??= new Set();
    if (this.#noReplies.size >= MAX_NO_REPLIES)
      for (const oldest of this.#noReplies) if (this.#noReplies.delete(oldest)) break;
    this.#noReplies.add(sequenceLow);
  }

  /** Part of HeaderOnlyAnswers. */
  get mayBeHeaderOnly(): boolean {
    return this.#noReplies !== undefined;
  }

  /** Part of HeaderOnlyAnswers. The call may have timed out meanwhile. */
  isHeaderOnly(serviceId: number, sequenceLow: number): boolean {
    if (this.#noReplies === undefined) return false;
    if (serviceId !== EXTENDED_ANSWER) return this.#noReplies.delete(sequenceLow);
    this.#noReplies = undefined;
    return false;
  }

  /** Nothing waits for the answer of a call that timed out or was cancelled. */
  onAnswer(frame: Frame): void {
    this.#pending
      .take(frame.sequenceLow, frame.sequenceHigh)
      ?.answer(frame, this.#setup.maxDecodedObjects);
    this.#owner.oneLess();
  }

  /** A message of a stream that we called, its end, or a credit. */
  onStream(frame: Frame): void {
    const { command, sequenceLow, sequenceHigh } = frame;
    if (command === COMMAND.end) return this.onAnswer(frame);
    const outgoing = this.#pending.find(sequenceLow, sequenceHigh);
    if (outgoing?.onStream(frame) === false) this.#drop(outgoing);
  }

  #sweep(): void {
    this.#look();
    this.#pending.sweep(now());
    this.#resends?.sweep(
      now(),
      (outgoing) => this.#pending.find(outgoing.sequenceLow, outgoing.sequenceHigh) === outgoing,
      (outgoing) => this.#resend(outgoing),
    );
    this.#owner.oneLess();
    if (this.#pending.size > 0) return;
    this.#stopSweep?.();
    this.#stopSweep = undefined;
    this.#liveness.rest();
  }

  /**
   * Asks a peer that has long been silent for a sign of life, so that calls do not wait for their
   * deadlines to find out that it is frozen.
   */
  #look(): void {
    const { session } = this.#owner;
    if (session === undefined || session.closed) return;
    const { succeeded, failed } = this.#tally;
    const wasOverdue = this.#liveness.isOverdue;
    const isSilent = this.#liveness.look({
      active: session.active,
      settled: succeeded + failed,
      time: now(),
    });
    if (isSilent && this.#pending.calls > 0) this.askForLife();
    if (this.#liveness.isOverdue !== wasOverdue) this.#owner.onResponsive();
  }

  #resend(outgoing: Outgoing): void {
    try {
      this.#owner.session?.write(outgoing);
    } catch {
      // The first try was taken; this one is as good as lost.
    }
  }

  // ---- heartbeats ----

  /** Sends a heartbeat to an extended peer, unless one is under way already. */
  askForLife(): void {
    const { dialect } = this.#owner;
    if (dialect.extended !== true || this.#setup.heartbeatPeriod === 0 || this.#liveness.isAsked)
      return;
    this.sendHeartbeat(() => this.#owner.heartbeatMissed());
  }

  /**
   * Ask for a sign of life. `missed` is called when there was none of any kind within
   * heartbeatTimeout.
   */
  sendHeartbeat(missed: () => void): void {
    const { session } = this.#owner;
    if (session === undefined || session.closed) return;
    const sentAt = now();
    const queued = session.queuedBytes;
    const taken = takenBytes(session);
    const heartbeat = new Heartbeat(session.active, (activeBefore) => {
      if (session.active > activeBefore) return;
      // It waits behind bytes that the system goes on taking: the line is slow.
      if (queued > 0 && takenBytes(session) > taken) return this.sendHeartbeat(missed);
      // While this process stood still (a suspended machine), the peer had no chance.
      if (this.#liveness.stoodStillSince(sentAt)) this.sendHeartbeat(missed);
      else missed();
    });
    heartbeat.deadline = sentAt + this.#setup.heartbeatTimeout;
    this.#liveness.asked(session.active, sentAt);
    this.#wait(heartbeat, true);
    try {
      session.write(heartbeat);
    } catch {
      // Too much is queued. It waits all the same: a peer that takes nothing and says nothing is
      // given up.
    }
  }
}

/** Bytes that were written to the session and that the system has taken. */
function takenBytes(session: Pick<Session<never, Outgoing>, 'stats' | 'queuedBytes'>): number {
  return session.stats.bytesWritten - session.queuedBytes;
}
