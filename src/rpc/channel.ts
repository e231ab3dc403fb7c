/**
 * One session as rpc sees it: both sides may call and serve. It is the session's listener; calls wait in PendingCalls,
 * requests go to the Router's handlers.
 */
import { GettyError, gettyError, messageOf } from '../errors.js';
import type { Logger } from '../logger.js';
import { atMost, within } from '../timing.js';
import type { ByteReader } from '../transport/byte-reader.js';
import type { ByteWriter } from '../transport/byte-writer.js';
import { every, now } from '../transport/ticker.js';
import type { Codec, EventListener, Session } from '../transport/types.js';
import { cancelled, unlessCancelled, withTimeLeft } from './call.js';
import { type ContextOwner, ServerCall } from './context.js';
import { RpcError } from './errors.js';
import { beginFrame, CODE, CODEC_NUMBER, COMMAND, Frame, LARGEST_PLAIN_BODY, readFrame } from './frame.js';
import { CALL_TYPE } from './head.js';
import { Heartbeat, type Outgoing, OutgoingCall } from './outgoing.js';
import { PendingCalls } from './pending.js';
import { Reply } from './reply.js';
import { EXTENDED_ANSWER, EXTENDED_REQUEST } from './request.js';
import type { Router } from './router.js';
import { makeStub } from './stub.js';
import type { Call, CodecName, Contract, Invoke, Method, MethodSpecs, Stub, StubOptions } from './types.js';

/** What all channels of a client or server share. Milliseconds. */
export interface ChannelSetup {
  readonly side: 'client' | 'server';
  readonly router: Router;
  readonly timeout: number;
  readonly heartbeatTimeout: number;
  readonly maxPendingCalls: number;
  readonly logger: Logger;
  /** Runs a handler; undefined where no interceptor stands before it. */
  readonly handle: Invoke | undefined;
  /** Wraps the calls of context.channel.stub() as the client's own. */
  readonly wrap: (invoke: Invoke) => Invoke;
  /** The channel opened, is going away, or closed. */
  changed(channel: RpcChannel): void;
}

/** What a channel writes. */
export type Packet = Outgoing | Reply | Goaway;

type RpcSession = Session<Frame, Packet>;

/** How often deadlines are looked at: what a timeout may be late. */
const SWEEP_PERIOD = 20;
/** Below it a timeout is measured from the very instant; that costs more than the rest of its bookkeeping. */
const SHORT_TIMEOUT = 2_000;
/** How long a peer that has just connected may take to say its first word, when we want it to go. */
const FIRST_WORD = 200;
/** What is kept of the message of an error that is too large to send. */
const SHORT_MESSAGE = 1_000;

export class RpcChannel implements EventListener<Frame, Packet>, Codec<Frame, Packet>, ContextOwner {
  extended: boolean | undefined;
  readonly aborting = new Set<ServerCall>();
  readonly invoke: Invoke;
  /** Only while the setup says so is it called at all; see EventListener. */
  readonly onCron: (() => void) | undefined;
  readonly #setup: ChannelSetup;
  readonly #frame = new Frame();
  readonly #reply = new Reply();
  readonly #pending: PendingCalls<Outgoing>;
  #session: RpcSession | undefined;
  #peer = '';
  /** Requests whose handlers have not answered. */
  #serving = 0;
  #goingAway = false;
  /** We want the peer to go, and have told it so if we know that it understands. */
  #dismissed = false;
  #stopSweep: (() => void) | undefined;
  /** Calls that wait to learn whether the peer is extended, and whoever waits for idleness. */
  readonly #whenKnown = new Set<() => void>();
  #whenIdle: (() => void)[] = [];

  constructor(setup: ChannelSetup, heartbeats: boolean) {
    this.#setup = setup;
    this.#pending = new PendingCalls(setup.side === 'client' ? 1 : 0, setup.maxPendingCalls);
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
    this.#peer = session.remoteAddress;
    this.#setup.changed(this);
    // Its answer tells early whether the peer is extended.
    if (this.#setup.side === 'client') this.#sendHeartbeat();
  }

  onMessage(_session: RpcSession, frame: Frame): void {
    if (frame.command === COMMAND.response) this.#onResponse(frame);
    else if (frame.command === COMMAND.request) this.#onRequest(frame);
    else if (frame.command === COMMAND.heartbeatReply) this.#onResponse(frame);
    else if (frame.command === COMMAND.heartbeat) this.#onHeartbeat(frame);
    else this.#onGoaway();
  }

  onError(session: RpcSession, error: Error): void {
    this.#warn({ peer: session.remoteAddress, code: error instanceof GettyError ? error.code : undefined, error }, error.message);
  }

  onClose(): void {
    this.#stopSweep?.();
    this.#stopSweep = undefined;
    this.#pending.failAll(new RpcError('UNAVAILABLE', `the session with ${this.#peer} was lost before the answer came`));
    const lost = new RpcError('CANCELLED', `the session with ${this.#peer} is lost`);
    for (const context of this.aborting) context.abort(lost);
    this.#settleKnown();
    this.#settleIdle();
    this.#setup.changed(this);
  }

  // ---- calling ----

  /** Send one call, past all interceptors, and wait for its answer. Rejects with an RpcError. */
  send(call: Call): Promise<unknown> {
    const session = this.#session;
    if (session === undefined || !this.usable) {
      return Promise.reject(
        new RpcError('UNAVAILABLE', `the session with ${this.#peer} ${this.#goingAway ? 'is going away' : 'is closed'}`, { unsent: true }),
      );
    }
    if (call.signal?.aborted) return Promise.reject(cancelled(call, true));
    if (this.#setup.side === 'server' && this.extended !== true) return this.#sendWhenKnown(call, 'calls from a server to its client');
    const outgoing = new OutgoingCall(call, this.extended === true);
    try {
      if (call.method.kind === 'oneway') outgoing.number(this.#pending);
      else {
        if (call.timeout !== undefined) outgoing.deadline = begin(call.timeout) + call.timeout;
        this.#pending.add(outgoing);
        this.#stopSweep ??= every(SWEEP_PERIOD, () => this.#sweep());
      }
      session.write(outgoing);
    } catch (error) {
      this.#pending.take(outgoing.sequenceLow, outgoing.sequenceHigh);
      if (outgoing.bodyLength > LARGEST_PLAIN_BODY && this.extended !== true) {
        return this.#sendWhenKnown(call, `bodies over ${LARGEST_PLAIN_BODY} bytes (this one has ${outgoing.bodyLength})`);
      }
      return Promise.reject(notSent(error, call));
    }
    if (call.method.kind === 'oneway') outgoing.resolve(undefined);
    else if (call.signal !== undefined) this.#followSignal(outgoing, call.signal);
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
    const abort = (): void => this.#pending.take(outgoing.sequenceLow, outgoing.sequenceHigh)?.fail(cancelled(outgoing.call, false));
    signal.addEventListener('abort', abort, { once: true });
    const forget = (): void => signal.removeEventListener('abort', abort);
    outgoing.promise.then(forget, forget);
  }

  #sweep(): void {
    this.#pending.sweep(now());
    this.#oneLess();
    if (this.#pending.size > 0) return;
    this.#stopSweep?.();
    this.#stopSweep = undefined;
  }

  #onResponse(frame: Frame): void {
    if (this.extended === undefined) {
      this.extended = frame.serviceId === EXTENDED_ANSWER;
      this.#settleKnown();
    }
    // Nothing waits for the answer of a call that timed out or was cancelled.
    this.#pending.take(frame.sequenceLow, frame.sequenceHigh)?.answer(frame);
    this.#oneLess();
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

  // ---- serving ----

  #onHeartbeat(frame: Frame): void {
    this.#learnPeer(frame);
    const reply = this.#reply;
    reply.heartbeat(frame, this.#answerId(frame));
    this.#send(reply);
  }

  #onRequest(frame: Frame): void {
    this.#learnPeer(frame);
    const codec: CodecName = frame.codec === CODEC_NUMBER.json ? 'json' : 'protobuf';
    let context: ServerCall;
    let callType: number = CALL_TYPE.twoWay;
    try {
      const head = this.#setup.router.find(codec, frame.bytes, frame.headStart, frame.headEnd);
      const { route } = head;
      callType = head.callType;
      if (route instanceof RpcError) throw route;
      if (this.#serving >= this.#setup.maxPendingCalls) {
        throw new RpcError(
          'RESOURCE_EXHAUSTED',
          `${this.#serving} calls of this session are being handled; maxPendingCalls is ${this.#setup.maxPendingCalls}`,
        );
      }
      context = new ServerCall(this, head, route, decodeInput(route.method, codec, frame), codec, frame, begin(head.timeout));
    } catch (error) {
      this.#refuse(frame, codec, callType, RpcError.from(error));
      return;
    }
    const { handle } = this.#setup;
    try {
      const outcome = handle === undefined ? context.handler(context.input, context) : handle(context);
      if (outcome instanceof Promise) this.#await(context, outcome);
      else if (isThenable(outcome)) this.#await(context, Promise.resolve(outcome));
      else this.#answer(context, outcome);
    } catch (error) {
      this.#answer(context, undefined, RpcError.from(error));
    }
  }

  #await(context: ServerCall, outcome: Promise<unknown>): void {
    this.#serving++;
    outcome.then(
      (value) => {
        this.#serving--;
        this.#answer(context, value);
        this.#oneLess();
      },
      (error) => {
        this.#serving--;
        this.#answer(context, undefined, RpcError.from(error));
        this.#oneLess();
      },
    );
  }

  #answer(context: ServerCall, value: unknown, error?: RpcError): void {
    context.settled();
    const { codec, method } = context;
    if (context.callType === CALL_TYPE.oneWay) {
      if (error !== undefined) this.#logOneway(error, method);
      return;
    }
    const reply = this.#reply;
    reply.call(context, this.#answerId(context), codec, context.callType === CALL_TYPE.twoWayNoReply);
    if (error !== undefined) return this.#sendFailure(reply, error);
    try {
      reply.success(method.output[codec], value, this.extended === true ? Number.POSITIVE_INFINITY : LARGEST_PLAIN_BODY);
      this.#send(reply);
    } catch (failure) {
      // The handler's value cannot be sent; that is an answer too.
      const tooLarge = failure instanceof GettyError && failure.code === 'MESSAGE_TOO_LARGE';
      this.#sendFailure(reply, tooLarge ? new RpcError('RESOURCE_EXHAUSTED', failure.message) : RpcError.from(failure));
    }
  }

  /** Never throws: an error that cannot be sent as it is keeps its code and the beginning of its message. */
  #sendFailure(reply: Reply, error: RpcError): void {
    let attempt = error;
    for (const length of [SHORT_MESSAGE, 0, 0]) {
      try {
        reply.failure(attempt);
        this.#send(reply);
        return;
      } catch {
        attempt = new RpcError(error.code, messageOf(error).slice(0, length));
      }
    }
    this.#warn({ peer: this.#peer, code: error.code, error }, 'an answer could not be sent');
  }

  /** A request that never became a context. */
  #refuse(frame: Frame, codec: CodecName, callType: number, error: RpcError): void {
    if (callType === CALL_TYPE.oneWay) return this.#logOneway(error);
    const reply = this.#reply;
    reply.call(frame, this.#answerId(frame), codec, callType === CALL_TYPE.twoWayNoReply);
    this.#sendFailure(reply, error);
  }

  #logOneway(error: RpcError, method?: Method): void {
    this.#warn(
      { peer: this.#peer, service: method?.service, method: method?.name, code: error.code, error },
      `a oneway call failed: ${error.message}`,
    );
  }

  #warn(details: object, message: string): void {
    try {
      this.#setup.logger.warn(details, message);
    } catch (failure) {
      process.emitWarning(gettyError('HANDLER_FAILED', `the logger failed: ${messageOf(failure)}`, failure));
    }
  }

  /** Throws what encoding throws. A peer that is gone misses its answer. */
  #send(reply: Reply): void {
    const session = this.#session;
    if (session === undefined || session.closed) return;
    let room: boolean;
    try {
      room = session.write(reply);
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

  #learnPeer(frame: Frame): void {
    if (this.extended !== undefined) return;
    this.extended = frame.serviceId === EXTENDED_REQUEST;
    this.#settleKnown();
    if (this.#dismissed) this.sendGoaway();
  }

  /** What the answer's serviceId says: that we are extended too, or what the request said. */
  #answerId({ serviceId }: { serviceId: number }): number {
    return serviceId === EXTENDED_REQUEST ? EXTENDED_ANSWER : serviceId;
  }

  // ---- the end ----

  /** Tell an extended peer to send no new calls; one that has not said a word yet is told when it has. */
  sendGoaway(): void {
    this.#dismissed = true;
    const session = this.#session;
    if (session === undefined || session.closed || this.extended !== true) return;
    try {
      session.write(new Goaway());
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
  #oneLess(): void {
    if (this.#whenIdle.length > 0) this.#settleIdle();
    if (this.#goingAway) this.#closeWhenIdle();
  }

  #closeWhenIdle(): void {
    if (this.#pending.calls === 0 && this.#serving === 0) void this.#session?.close();
  }

  /** Settles when nothing is under way in either direction, or the session is lost. */
  async idle(): Promise<void> {
    while (!this.closed && (this.#serving > 0 || this.#pending.calls > 0)) {
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

class Goaway {
  write(output: ByteWriter): void {
    beginFrame(output, COMMAND.goaway, CODE.ok, CODEC_NUMBER.json, {
      serviceId: EXTENDED_REQUEST,
      sequenceLow: 0,
      sequenceHigh: 0,
      logIdLow: 0,
      logIdHigh: 0,
    });
  }
}

/**
 * The instant when a timeout begins. now() is as old as this turn of the event loop, which a long timeout does not notice
 * and a short one must not lose.
 */
function begin(timeout = Number.POSITIVE_INFINITY): number {
  return timeout < SHORT_TIMEOUT ? performance.now() : now();
}

function decodeInput(method: Call['method'], codec: CodecName, frame: Frame): unknown {
  const bodyCodec = method.input[codec];
  if (bodyCodec === undefined) throw new RpcError('UNIMPLEMENTED', `${method.service}.${method.name} has no ${codec} form`);
  try {
    return bodyCodec.decode(frame.bytes, frame.bodyStart, frame.bodyEnd);
  } catch (error) {
    throw new RpcError('INVALID_ARGUMENT', `the argument of ${method.service}.${method.name} does not parse: ${messageOf(error)}`, { cause: error });
  }
}

/** A promise of another library than ours. */
function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
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
