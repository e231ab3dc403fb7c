/** The calling half of a channel: it sends calls and settles each of them once. */
import { followSignal } from '../../core/signals.js';
import { spinFor } from '../../transport/session/busy-poll.js';
import { now } from '../../transport/session/flush-scheduler.js';
import { every } from '../../transport/session/timer-wheel.js';
import { RpcError, withMethod } from '../errors.js';
import { isStreaming } from '../method-kind.js';
import { OutgoingCallCounter } from '../metrics/outgoing-call-counter.js';
import type { MethodCounters, SessionCallCounter } from '../metrics/statistics.js';
import { type HeartbeatSetup, Heartbeats } from '../peer/heartbeats.js';
import type { PeerSession, PeerSessionSetup } from '../peer/peer-session.js';
import { checkStreamInput, OutgoingStream } from '../streams/outgoing-stream.js';
import { followReader, signalInUse } from '../streams/reply-stream-call.js';
import type { Call } from '../types.js';
import { ControlFrame } from '../wire/control-frames.js';
import { COMMAND, type Frame, MAX_PLAIN_BODY_BYTES } from '../wire/frame.js';
import { cancelledError, unsentTimeoutError, writeErrorOf } from './call-errors.js';
import type { ChannelDrain } from './channel-drain.js';
import { instantFor, timeLeft } from './client-call.js';
import { ResendQueue } from './datagrams/resend-queue.js';
import { NoReplyCalls } from './no-reply-calls.js';
import {
  type CallObserver,
  OutgoingCall,
  type OutgoingCallOwner,
  type OutgoingRequest,
} from './outgoing-request.js';
import { PendingRequests } from './pending-requests.js';

/**
 * Milliseconds between two checks of deadlines, heartbeats and resends. A call may expire this much
 * later than its deadline.
 */
const SWEEP_PERIOD = 20;

/** Times are in milliseconds. */
export interface CallerSetup extends PeerSessionSetup, HeartbeatSetup {
  readonly side: 'client' | 'server';
  /** Whether the session compresses its stream with DEFLATE. */
  readonly isCompressed: boolean;
  readonly busyPoll: number;
  /** Counts the calls of this side. */
  readonly calls: MethodCounters;
}

export class Caller implements OutgoingCallOwner {
  readonly heartbeats: Heartbeats;
  readonly noReplyCalls = new NoReplyCalls();
  readonly #setup: CallerSetup;
  readonly #peer: PeerSession;
  readonly #drain: ChannelDrain;
  readonly counter: OutgoingCallCounter;
  readonly #onResponsiveChange: () => void;
  readonly #pendingRequests: PendingRequests<OutgoingRequest>;
  /** Undefined unless the session sends datagrams. */
  #resendQueue: ResendQueue | undefined;
  #stopSweep: (() => void) | undefined;

  /** `onResponsiveChange` is called when Heartbeats.isResponsive has changed. */
  constructor(
    setup: CallerSetup,
    peer: PeerSession,
    drain: ChannelDrain,
    callCounter: SessionCallCounter,
    onResponsiveChange: () => void,
  ) {
    this.#setup = setup;
    this.#peer = peer;
    this.#drain = drain;
    this.#onResponsiveChange = onResponsiveChange;
    this.counter = new OutgoingCallCounter(callCounter, setup.calls);
    this.#pendingRequests = new PendingRequests(this.parity, setup.maxPendingCalls);
    this.heartbeats = new Heartbeats(setup, peer, callCounter, (heartbeat) =>
      this.#addRequest(heartbeat, true),
    );
  }

  get extended(): boolean | undefined {
    return this.#peer.extended;
  }

  /** The lowest bit of the sequences of this side: 1 for a client, 0 for a server. */
  get parity(): 0 | 1 {
    return this.#setup.side === 'client' ? 1 : 0;
  }

  /** How many calls wait for their answers: Channel.pending. Heartbeats do not count. */
  get pendingCalls(): number {
    return this.#pendingRequests.callCount;
  }

  callsInFlight(): OutgoingCall[] {
    return this.#pendingRequests.all().filter((request) => request instanceof OutgoingCall);
  }

  /** How many calls and heartbeats wait for their answers. */
  get pendingRequests(): number {
    return this.#pendingRequests.size;
  }

  /** The session is open. `isLossy`: it sends datagrams. */
  open(isLossy: boolean): void {
    if (isLossy) this.#resendQueue = new ResendQueue(this.#pendingRequests, this.#peer);
  }

  /** The session is closed. */
  close(): void {
    this.#stopSweep?.();
    this.#stopSweep = undefined;
    this.#resendQueue = undefined;
    this.#pendingRequests.failAll(() => this.#peer.lostError());
  }

  // ---- calls ----

  /** Counts the call, which is not sent, as failed. Returns a promise that rejects. */
  #rejectUnsent(call: Call, error: RpcError, observer: CallObserver | undefined): Promise<never> {
    this.counter.onCallStart(call);
    this.counter.onCallEnd(call, error, now(), 0, 0);
    const failure = withMethod(error, call.method);
    return Promise.reject(observer === undefined ? failure : observer.onFailed(failure, 0));
  }

  /**
   * Sends one call without interceptors. The promise of its answer rejects with an RpcError, or
   * with the result of `observer`. `observer`: only for a call that does not stream.
   */
  send(call: Call, observer?: CallObserver): Promise<unknown> {
    const peer = this.#peer;
    const { session } = peer;
    if (session === undefined || !peer.isUsable)
      return this.#rejectUnsent(call, peer.notUsableError(), observer);
    const signal = signalInUse(call);
    if (signal?.aborted === true)
      return this.#rejectUnsent(call, cancelledError(call, true), observer);
    if (peer.extended !== true) {
      const later = this.#sendWhenCapabilitiesKnown(call, session.lossy, observer);
      if (later !== undefined) return later;
    }
    // A call that was made at least 1 ms ago is sent with the time that is left of its timeout.
    // Most calls are made in this tick, and are sent with their whole timeout.
    const { deadline } = call;
    if (deadline !== undefined && deadline - now() <= (call.timeout ?? 0) - 1)
      return this.#sendWithTimeLeft(call, observer);
    const { kind } = call.method;
    const isStream = isStreaming(kind);
    if (isStream && session.lossy) return this.#rejectUnsent(call, peer.noStreamsError(), observer);
    const outgoing = isStream
      ? new OutgoingStream(call, peer, this.#remove, this)
      : new OutgoingCall(call, this, observer);
    try {
      if (kind === 'unary') this.#addCall(outgoing);
      else this.#addNonUnary(outgoing);
      session.write(this.#resendQueue?.frameOf(outgoing) ?? outgoing);
    } catch (error) {
      return this.#onWriteError(outgoing, error, observer);
    }
    this.counter.onCallStart(call);
    if (this.#setup.busyPoll > 0) spinFor(this.#setup.busyPoll);
    if (isStream) {
      (outgoing as OutgoingStream).begin();
      followReader(call, outgoing as OutgoingStream);
    }
    if (kind === 'oneway') {
      outgoing.count();
      outgoing.resolve(undefined);
    } else if (signal !== undefined) this.#followSignal(outgoing, signal);
    return outgoing.promise;
  }

  /**
   * Sends the call when the capabilities of the peer are known. Undefined: the call need not wait
   * for them.
   */
  #sendWhenCapabilitiesKnown(
    call: Call,
    isLossy: boolean,
    observer: CallObserver | undefined,
  ): Promise<unknown> | undefined {
    const peer = this.#peer;
    // A Go server of version 1.3 or later does not compress frames that it writes together, which
    // ends a compressed session.
    if (this.#setup.isCompressed && peer.extended === undefined)
      return this.#sendAfter(peer.untilOpeningHeartbeatAnswered(call), call, observer);
    if (this.#setup.side === 'server')
      return this.#sendAfter(
        peer.untilExtended(call, 'calls from a server to its client'),
        call,
        observer,
      );
    if (isStreaming(call.method.kind) && !isLossy)
      return this.#sendAfter(peer.untilExtended(call, 'streams'), call, observer);
    return undefined;
  }

  async #sendAfter(
    wait: Promise<void>,
    call: Call,
    observer: CallObserver | undefined,
  ): Promise<unknown> {
    try {
      await wait;
    } catch (error) {
      return this.#rejectUnsent(call, RpcError.from(error), observer);
    }
    return this.send(call, observer);
  }

  /** Sends a call that was made earlier, with the time that is left of its timeout. */
  #sendWithTimeLeft(call: Call, observer: CallObserver | undefined): Promise<unknown> {
    const left = Math.floor(timeLeft(call));
    return left < 1
      ? this.#rejectUnsent(call, unsentTimeoutError(call), observer)
      : this.send(call.with({ timeout: left }), observer);
  }

  /** Adds a unary call or a stream to the pending calls, which sets its sequence. */
  #addCall(outgoing: OutgoingCall): void {
    const { call } = outgoing;
    if (call.timeout !== undefined)
      outgoing.deadline = call.deadline ?? instantFor(call.timeout) + call.timeout;
    this.#addRequest(outgoing, call.method.idempotent);
  }

  /** Sets the sequence of a call that is not unary. Throws INVALID_ARGUMENT for its input. */
  #addNonUnary(outgoing: OutgoingCall): void {
    const { call } = outgoing;
    const { kind } = call.method;
    if (kind === 'oneway') return outgoing.assignSequence(this.#pendingRequests);
    if (kind !== 'noReply') checkStreamInput(call);
    this.#addCall(outgoing);
    if (kind === 'noReply' && this.#peer.extended !== true)
      this.noReplyCalls.add(outgoing.sequenceLow);
  }

  #onWriteError(
    outgoing: OutgoingCall,
    error: unknown,
    observer: CallObserver | undefined,
  ): Promise<unknown> {
    const { call, bodyLength } = outgoing;
    this.#pendingRequests.take(outgoing.sequenceLow, outgoing.sequenceHigh);
    if (bodyLength > MAX_PLAIN_BODY_BYTES && this.#peer.extended !== true) {
      const what = `bodies over ${MAX_PLAIN_BODY_BYTES} bytes (this one has ${bodyLength})`;
      return this.#sendAfter(this.#peer.untilExtended(call, what), call, observer);
    }
    return this.#rejectUnsent(
      call,
      writeErrorOf(error, `${call.method.service}.${call.method.name}`, true),
      observer,
    );
  }

  /** Keeps a request until its answer. `isRepeatable`: a lost datagram of it is sent again. */
  #addRequest(request: OutgoingRequest, isRepeatable: boolean): void {
    this.#pendingRequests.add(request);
    if (this.#stopSweep === undefined) this.#startSweep();
    if (isRepeatable) this.#resendQueue?.add(request, now());
  }

  /** A separate method, because a closure in #addRequest() would allocate in each call. */
  #startSweep(): void {
    // The sweep keeps the process running. Some connections do not, such as memory connections.
    this.#stopSweep = every(SWEEP_PERIOD, () => this.#sweep(), true);
  }

  #followSignal(outgoing: OutgoingCall, signal: AbortSignal): void {
    const abort = (): void => {
      if (!this.#remove(outgoing)) return;
      this.#sendCancel(outgoing);
      outgoing.fail(cancelledError(outgoing.call, false));
    };
    const release = followSignal(signal, abort);
    // The program may have aborted it while the argument was encoded.
    if (signal.aborted) abort();
    (outgoing instanceof OutgoingStream ? outgoing.ended : outgoing.promise).then(release, release);
  }

  /** Sends a cancel frame as soon as the peer is known to be extended. */
  #sendCancel(outgoing: OutgoingCall): void {
    const peer = this.#peer;
    const { capabilities } = peer;
    // The number of waiting frames is limited. Without its cancel the handler runs to its end.
    if (capabilities.extended === undefined && capabilities.waiting >= this.#setup.maxPendingCalls)
      return;
    const frame = ControlFrame.cancel(outgoing);
    capabilities.whenKnown(() => capabilities.extended === true && peer.trySend(frame));
  }

  /** Removes a call whose answer is not needed. Returns false if it had settled before. */
  readonly #remove = ({ sequenceLow, sequenceHigh }: OutgoingRequest): boolean => {
    const isRemoved = this.#pendingRequests.take(sequenceLow, sequenceHigh) !== undefined;
    if (isRemoved) this.#drain.onCallSettled();
    return isRemoved;
  };

  // ---- answers ----

  /** Settles the call of an answer. Ignores the answer of a call that has settled. */
  onAnswer(frame: Frame): void {
    this.#pendingRequests
      .take(frame.sequenceLow, frame.sequenceHigh)
      ?.answer(frame, this.#setup.maxDecodedObjects);
    this.#drain.onCallSettled();
  }

  /** Fails the call of a frame that is too large to be read. */
  onTooLargeFrame({ sequenceLow, sequenceHigh }: Frame, error: RpcError): void {
    this.#pendingRequests.take(sequenceLow, sequenceHigh)?.fail(error);
  }

  /** Handles a message, an end or a credit of a stream that this side has called. */
  onStream(frame: Frame): void {
    const { command, sequenceLow, sequenceHigh } = frame;
    if (command === COMMAND.end) return this.onAnswer(frame);
    const request = this.#pendingRequests.find(sequenceLow, sequenceHigh);
    if (request?.onStream(frame) === false) this.#remove(request);
  }

  #sweep(): void {
    if (this.heartbeats.check(this.#pendingRequests.callCount > 0)) this.#onResponsiveChange();
    this.#pendingRequests.sweep(now());
    this.#resendQueue?.sweep(now());
    this.#drain.onCallSettled();
    if (this.#pendingRequests.size > 0) return;
    this.#stopSweep?.();
    this.#stopSweep = undefined;
    this.heartbeats.stopChecks();
  }
}
