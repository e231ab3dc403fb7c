/** The serving half of a channel: it turns requests into calls of handlers. */
import { callAsync, promiseOf } from '../../core/callbacks.js';
import { messageOf } from '../../core/errors.js';
import { countHandler, isTimeOver, runInTurn } from '../../core/turn.js';
import { copyError, type RpcCode, RpcError, rpcErrorOf } from '../errors.js';
import type { SessionCallCounter } from '../metrics/statistics.js';
import type { PeerSession } from '../peer/peer-session.js';
import { isIterable } from '../streams/item-iterator.js';
import type { ServerStream } from '../streams/server-stream.js';
import type { StreamWriter } from '../streams/stream-writer.js';
import type { Channel, Invoke } from '../types.js';
import { COMMAND, type Frame, readCredit } from '../wire/frame.js';
import { CALL_TYPE } from '../wire/request-header.js';
import { type AnswerSender, answerErrorOf } from './answer-sender.js';
import type { ChannelDrain } from './channel-drain.js';
import { runInCall } from './inherited-call.js';
import { RequestAcceptor, type RequestAcceptorSetup } from './request-acceptor.js';
import { RunningHandlers } from './running-handlers.js';
import type { ServerCall, ServerCallOwner } from './server-call.js';
import { UnansweredCalls } from './unanswered-calls.js';

export interface ResponderSetup extends RequestAcceptorSetup {
  /** Runs a handler through the interceptors. Undefined: there are none. */
  readonly handle: Invoke | undefined;
  /**
   * Aborts when close() is called. That aborts no call and refuses no request: handlers may watch
   * it to end early.
   */
  readonly draining: AbortSignal;
}

/** The codes of temporary refusals: another node, or a later attempt, may accept the call. */
const TRANSIENT_CODES: readonly RpcCode[] = ['UNAVAILABLE', 'RESOURCE_EXHAUSTED'];

export class Responder implements ServerCallOwner {
  readonly runningHandlers = new RunningHandlers();
  readonly channel: Channel;
  readonly #unanswered = new UnansweredCalls();
  readonly #acceptor: RequestAcceptor;
  readonly #setup: ResponderSetup;
  readonly #peer: PeerSession;
  readonly #answers: AnswerSender;
  readonly #callCounter: SessionCallCounter;
  readonly #drain: ChannelDrain;

  constructor(
    setup: ResponderSetup,
    channel: Channel,
    peer: PeerSession,
    answers: AnswerSender,
    callCounter: SessionCallCounter,
    drain: ChannelDrain,
  ) {
    this.#setup = setup;
    this.channel = channel;
    this.#peer = peer;
    this.#answers = answers;
    this.#callCounter = callCounter;
    this.#drain = drain;
    this.#acceptor = new RequestAcceptor(setup, this, peer, answers, this.#unanswered, callCounter);
  }

  /** How many calls of the peer wait for an answer: Channel.serving. */
  get serving(): number {
    return this.#unanswered.size;
  }

  callsInFlight(): ServerCall[] {
    return this.#unanswered.all();
  }

  get draining(): readonly AbortSignal[] {
    return [this.#setup.draining, this.#drain.ending];
  }

  /**
   * Makes the call of a request. Undefined: the request was refused, and the refusal is sent, or
   * logged for a oneway method; or it is a repeated datagram.
   */
  accept(frame: Frame): ServerCall | undefined {
    const call = this.#acceptor.accept(frame);
    if (call?.stream !== undefined) this.#watchMessages(call, call.stream);
    return call;
  }

  /** A separate method, because a closure in accept() would allocate in each call. */
  #watchMessages(call: ServerCall, stream: ServerStream): void {
    stream.onInvalidMessage = (thrown) => this.#refuseMessage(call, thrown);
  }

  /**
   * As handle(), and calls that the handler makes inherit from `call`. A separate method, because a
   * closure in handle() would allocate in each call.
   */
  handleInherited(call: ServerCall): void {
    runInCall(call, () => this.handle(call));
  }

  /** Calls the handler. Never throws. */
  handle(call: ServerCall): void {
    const { stream } = call;
    if (stream !== undefined) {
      // The access starts the timer of the deadline, which ends the streams.
      void call.signal;
      stream.reader?.open();
      if (stream.writer !== undefined) return this.#handleStream(call, stream.writer);
    }
    const { handle } = this.#setup;
    try {
      const outcome = handle === undefined ? call.handler(call.input, call) : handle(call);
      const promise = promiseOf(outcome);
      if (promise === undefined) this.#answer(call, outcome, undefined, true);
      else this.#await(call, promise);
    } catch (error) {
      this.#answer(call, undefined, this.#errorOf(call, error), true);
    }
  }

  /** Counts a settled call. `isSync`: its handler returned no promise. */
  #count(
    { methodCounter, startedAt, sent, received }: ServerCall,
    error: RpcError | undefined,
    isSync: boolean,
  ): void {
    if (error === undefined) this.#callCounter.succeeded++;
    else this.#callCounter.failed++;
    methodCounter.onHandlerEnd(error, startedAt, isSync, sent, received);
  }

  /**
   * The error that the caller receives for `thrown`. If the handler was not called, an interceptor
   * has thrown it, and a transient code has the reason `refused`. A handler may throw the error of
   * a call that it made: the reason of that error is removed, except `moving`.
   */
  #errorOf(call: ServerCall, thrown: unknown): RpcError {
    const error = RpcError.from(thrown);
    const hasStarted = this.#setup.handle === undefined || call.hasHandlerStarted;
    let { reason } = error;
    if (!hasStarted && TRANSIENT_CODES.includes(error.code)) reason ??= 'refused';
    else if (hasStarted && reason !== 'moving') reason = undefined;
    return reason === error.reason ? error : copyError(error, { reason });
  }

  #await(call: ServerCall, outcome: Promise<unknown>): void {
    this.#add(call);
    countHandler();
    // The answers of the requests of one chunk may come together, and be large.
    outcome.then(
      (value) => {
        if (isTimeOver()) runInTurn(() => this.#answerAndRemove(call, value));
        else this.#answerAndRemove(call, value);
      },
      (error) => {
        const rpcError = this.#errorOf(call, error);
        if (isTimeOver()) runInTurn(() => this.#answerAndRemove(call, undefined, rpcError));
        else this.#answerAndRemove(call, undefined, rpcError);
      },
    );
  }

  #answerAndRemove(call: ServerCall, value: unknown, error?: RpcError): void {
    this.#answer(call, value, error);
    this.#remove(call);
  }

  #add(call: ServerCall): void {
    this.runningHandlers.add(call);
    this.#unanswered.add(call);
  }

  #remove(call: ServerCall): void {
    this.runningHandlers.onAnswered(call);
    this.#unanswered.remove(call);
    this.#drain.onCallSettled();
  }

  #answer(call: ServerCall, value: unknown, error?: RpcError, isSync = false): void {
    if (!isSync) call.checkDeadline();
    this.#settle(call);
    // The handler may end after the session is lost and before close() aborts its call.
    const isLost = this.#peer.closed && call.callType !== CALL_TYPE.oneWay;
    let failure =
      call.aborted ??
      error ??
      (isLost ? this.#sessionLostError() : this.#answers.sendValue(call, value));
    if (failure !== undefined && call.aborted === undefined) {
      if (this.#peer.closed) failure = this.#sessionLostError();
      else this.#answers.sendError(call, call.codec, call.callType, failure, call.method);
    }
    this.#count(call, failure, isSync);
  }

  /** The call has ended, so its streams end too. */
  #settle(call: ServerCall): void {
    call.onAnswered();
    const { stream } = call;
    if (stream !== undefined) stream.stop(new RpcError('CANCELLED', 'the call has ended'));
  }

  #sessionLostError(): RpcError {
    return new RpcError('CANCELLED', `the session with ${this.#peer.address} is lost`);
  }

  /** The session is closed: aborts all calls. */
  close(): void {
    this.#unanswered.abortAll(this.#sessionLostError());
    this.#answers.recentRequests?.clear();
  }

  // ---- streams ----

  /** Sends the items of the handler's iterable, then the end of the stream. */
  #handleStream(call: ServerCall, writer: StreamWriter): void {
    const { handle } = this.#setup;
    this.#add(call);
    countHandler();
    const sendReplies = async (): Promise<boolean> => {
      const replies = await callAsync(() =>
        handle === undefined ? call.handler(call.input, call) : handle(call),
      );
      if (!isIterable(replies))
        throw new RpcError(
          'INTERNAL',
          `${call.method.service}.${call.method.name} returned a value that is not iterable`,
        );
      return writer.sendAll(replies);
    };
    sendReplies().then(
      () => this.#endStream(call),
      (error) => this.#endStream(call, this.#errorOf(call, answerErrorOf(error))),
    );
  }

  #endStream(call: ServerCall, error?: RpcError): void {
    let failure = call.aborted;
    if (failure === undefined)
      failure = this.#peer.closed ? this.#sessionLostError() : this.#answers.sendEnd(call, error);
    call.sent += call.stream?.bytesSent ?? 0;
    this.#count(call, failure, false);
    this.#settle(call);
    this.#remove(call);
  }

  /** Handles a frame of the caller's stream. Ignores frames of calls that have ended. */
  onStream(frame: Frame): void {
    const call = this.#unanswered.find(frame);
    if (call === undefined) return;
    const { stream } = call;
    if (frame.command === COMMAND.cancel)
      call.abort(new RpcError('CANCELLED', 'the caller cancelled the call'));
    else if (frame.command === COMMAND.credit) stream?.writer?.addCredit(readCredit(frame));
    else if (stream?.reader === undefined) this.#refuseMessage(call, otherKindError(call));
    else if (frame.command === COMMAND.end) stream.reader.end();
    else {
      call.received += frame.size;
      try {
        stream.reader.push(frame.bytes, frame.bodyStart, frame.bodyEnd, frame.size);
      } catch (error) {
        this.#refuseMessage(call, error);
      }
    }
  }

  /** Answers the call of a frame that is too large to be read. */
  onTooLargeFrame(frame: Frame, error: RpcError): void {
    if (frame.command === COMMAND.request) return this.#acceptor.refuseTooLarge(frame, error);
    const call = this.#unanswered.find(frame);
    if (call !== undefined) this.#refuseMessage(call, error);
  }

  /**
   * Answers the call with an error, and returns the error. A call that was aborted gets no other
   * answer: its caller may send many such messages.
   */
  #refuseMessage(call: ServerCall, thrown: unknown): RpcError {
    if (call.aborted !== undefined) return call.aborted;
    const { service, name } = call.method;
    const parse = `a message of ${service}.${name} does not parse: ${messageOf(thrown)}`;
    const error = rpcErrorOf(thrown) ?? new RpcError('INVALID_ARGUMENT', parse, { cause: thrown });
    this.#answers.sendStreamError(call, error);
    call.abort(error);
    return error;
  }
}

/** The error of a call that has a single argument, and whose caller sends a stream. */
function otherKindError({ method: { service, name, kind } }: ServerCall): RpcError {
  return new RpcError(
    'INVALID_ARGUMENT',
    `${service}.${name} is a ${kind} method, and the caller sends a stream of messages: their contracts differ`,
  );
}
