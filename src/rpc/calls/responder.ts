/**
 * The serving half of a channel: requests become calls of handlers, and what handlers answer
 * becomes replies.
 */
import { readUint32 } from '../../core/bytes.js';
import { promiseOf } from '../../core/callbacks.js';
import { codeOf, messageOf } from '../../core/errors.js';
import type { Logger } from '../../core/logger.js';
import { inTurns } from '../../core/turn.js';
import { spinFor } from '../../transport/session/busy-poll.js';
import { now } from '../../transport/session/flush-scheduler.js';
import { decoded, UNKNOWN } from '../codecs/decoded.js';
import type { Router } from '../contract/router.js';
import { type RpcCode, RpcError, type RpcErrorDetail, rpcErrorOf } from '../errors.js';
import { isStreaming } from '../method-kind.js';
import type { Meters, Tally } from '../metrics/statistics.js';
import { isIterable, StreamMemory, type StreamWriter } from '../streams/flow-control.js';
import { ServerStream, type StreamOwner } from '../streams/server-stream.js';
import type { Channel, CodecName, Invoke, MessageCodec, Method } from '../types.js';
import { CODEC_NUMBER, COMMAND, type Frame, LARGEST_PLAIN_BODY } from '../wire/frame.js';
import { CALL_TYPE } from '../wire/header.js';
import { EXTENDED_ANSWER, EXTENDED_REQUEST } from '../wire/request.js';
import { Reply } from '../wire/response.js';
import { CallPlaces } from './call-places.js';
import { instantFor } from './client-call.js';
import type { RecentRequests } from './datagram-retries.js';
import { handling } from './inherited-call.js';
import { headerBytesOf, objectBytesOf } from './pending-bytes.js';
import { sequenceKey } from './sequence-key.js';
import { ServerCall } from './server-call.js';

export interface ResponderSetup {
  readonly router: Router;
  readonly maxPendingCalls: number;
  /** Bytes. */
  readonly maxPendingBytes: number;
  readonly maxStreams: number;
  /** Bytes. */
  readonly maxStreamBytes: number;
  readonly maxDecodedObjects: number;
  readonly busyPoll: number;
  readonly logger: Logger;
  readonly served: Meters;
  /** Runs a handler; undefined where no interceptor stands before it. */
  readonly handle: Invoke | undefined;
}

/** The channel, as its responder sees it. */
export interface ResponderOwner extends Channel, StreamOwner {
  /** Throws what encoding throws. */
  sendReply(reply: Reply): void;
  /** Over datagrams: the requests that came lately. */
  readonly recent: RecentRequests | undefined;
  sendAgain(answer: Uint8Array): void;
  /** A handler has answered. */
  oneLess(): void;
  /** Aborts when this side begins to close. */
  readonly draining: AbortSignal;
  /** Those of the responder. */
  readonly places: CallPlaces;
}

/** What is kept of the message of an error that is too large to send. */
const SHORT_MESSAGE = 1_000;
const REFUSED: RpcErrorDetail = { reason: 'refused', unsent: true };
/** The codes of a refusal that another node, or a later attempt, may not meet. */
const PASSING: readonly RpcCode[] = ['UNAVAILABLE', 'RESOURCE_EXHAUSTED'];

export class Responder {
  /** Calls that have not been answered. */
  serving = 0;
  /** The same by the sequenceKey() of the low half of their sequence. */
  readonly #underWay = new Map<number, ServerCall>();
  /**
   * Those whose peer has used their sequence for an earlier call that is under way: it cannot
   * cancel them.
   */
  readonly #sameSequence = new Set<ServerCall>();
  /**
   * Of calls that have not been answered, and of answered calls whose handlers have not settled.
   */
  readonly places = new CallPlaces();
  readonly #streamMemory: StreamMemory;
  readonly #setup: ResponderSetup;
  /** Finite, so that decoders can count what they have made. */
  readonly #maxDecodedObjects: number;
  /** Half of maxPendingBytes; an integer, because a double that is passed on costs an object. */
  readonly #halfPendingBytes: number;
  readonly #channel: ResponderOwner;
  readonly #reply = new Reply();
  readonly #tally: Tally;

  constructor(setup: ResponderSetup, channel: ResponderOwner, tally: Tally) {
    this.#tally = tally;
    this.#setup = setup;
    this.#maxDecodedObjects = Math.min(setup.maxDecodedObjects, Number.MAX_SAFE_INTEGER);
    this.#halfPendingBytes = Math.floor(
      Math.min(setup.maxPendingBytes, Number.MAX_SAFE_INTEGER) / 2,
    );
    this.#channel = channel;
    this.#streamMemory = new StreamMemory(setup.maxStreamBytes);
  }

  onHeartbeat(frame: Frame): void {
    const reply = this.#reply;
    reply.heartbeat(frame, answerId(frame));
    this.#channel.sendReply(reply);
  }

  /** The call of a request; undefined when it has been refused, or was answered before. */
  accept(frame: Frame): ServerCall | undefined {
    if (this.#setup.busyPoll > 0) spinFor(this.#setup.busyPoll);
    const { recent } = this.#channel;
    if (recent !== undefined) {
      const before = recent.find(frame);
      if (before?.answer !== undefined) this.#channel.sendAgain(before.answer);
      if (before !== undefined) return undefined;
    }
    const codec: CodecName = frame.codec === CODEC_NUMBER.json ? 'json' : 'protobuf';
    let context: ServerCall;
    let callType: number = CALL_TYPE.twoWay;
    let method: Method | undefined;
    try {
      const head = this.#setup.router.find(codec, frame.bytes, frame.headStart, frame.headEnd);
      const { route } = head;
      callType = head.callType;
      if (route instanceof RpcError) throw route;
      if (recent?.remember(frame, head.timeout, now()) === false)
        throw new RpcError(
          'RESOURCE_EXHAUSTED',
          `too many requests may still come twice over UDP: ${recent.size} of this peer`,
          REFUSED,
        );
      method = route.method;
      let bytes = headerBytesOf(frame, head.metadata);
      this.#checkPlaces(bytes);
      const stream = isStreaming(method.kind) ? this.#makeStream(method, codec, frame) : undefined;
      let input: unknown = stream?.reader;
      if (input === undefined) {
        decoded.objects = UNKNOWN;
        input = decodeInput(method, codec, frame, this.#maxDecodedObjects);
        bytes += objectBytesOf(frame, codec, this.#halfPendingBytes - this.places.bytes);
        this.#checkBytes(bytes);
      }
      context = new ServerCall(
        this.#channel,
        head,
        route,
        input,
        codec,
        frame,
        bytes,
        instantFor(head.timeout),
        this.#setup.served.of(method),
      );
      if (stream !== undefined) this.#setStream(context, stream);
    } catch (error) {
      const refusal = RpcError.from(error);
      this.#countRefusal(method, refusal, frame);
      this.#refuse(frame, codec, callType, refusal);
      return undefined;
    }
    this.#tally.started++;
    return context;
  }

  /**
   * Throws RESOURCE_EXHAUSTED when there is no place for another request of `bytes`. One has a
   * place however large it is.
   */
  #checkPlaces(bytes: number): void {
    const places = this.places;
    const { maxPendingCalls } = this.#setup;
    if (places.calls >= maxPendingCalls) {
      throw noPlace(`${places.calls} calls`, `maxPendingCalls is ${maxPendingCalls}`);
    }
    this.#checkBytes(bytes);
  }

  #checkBytes(bytes: number): void {
    const { places } = this;
    const { maxPendingBytes } = this.#setup;
    if (places.bytes + bytes > maxPendingBytes && places.bytes > 0)
      throw noPlace(`${places.bytes} bytes of requests`, `maxPendingBytes is ${maxPendingBytes}`);
  }

  /**
   * As handle(), where calls of the handler inherit from `context`. Not in handle(): a parameter
   * that a closure uses costs an object in each call.
   */
  handleInherited(context: ServerCall): void {
    handling(context, () => this.handle(context));
  }

  /** Calls the handler. Never throws. */
  handle(context: ServerCall): void {
    if (context.stream?.writer !== undefined)
      return this.#serveReplies(context, context.stream.writer);
    const { handle } = this.#setup;
    context.stream?.reader?.open();
    try {
      const outcome =
        handle === undefined ? context.handler(context.input, context) : handle(context);
      const promise = promiseOf(outcome);
      if (promise === undefined) this.#answer(context, outcome, undefined, true);
      else this.#await(context, promise);
    } catch (error) {
      this.#answer(context, undefined, this.#errorOf(context, error), true);
    }
  }

  /**
   * What could not be handled counts too, where the method is known: what a peer makes up must not
   * take memory.
   */
  #countRefusal(method: Method | undefined, error: RpcError, frame: Frame): void {
    this.#tally.started++;
    this.#tally.failed++;
    if (method === undefined) return;
    const meter = this.#setup.served.of(method);
    meter.begin();
    meter.end(error, 0, 0, frame.bodyEnd - frame.bodyStart);
  }

  /** Count a call that is over. `atOnce`: its handler answered no promise. */
  #count(
    { meter, began, sent, received }: ServerCall,
    error: RpcError | undefined,
    atOnce: boolean,
  ): void {
    if (error === undefined) this.#tally.succeeded++;
    else this.#tally.failed++;
    meter.endHandler(error, began, atOnce, sent, received);
  }

  /**
   * What the caller is told of `thrown`. Only a call that no interceptor let through to its handler
   * was refused: the reason of a handler's own error may be that of a call which the handler has
   * made.
   */
  #errorOf(context: ServerCall, thrown: unknown): RpcError {
    const error = RpcError.from(thrown);
    const { code, message, metadata, details, unsent } = error;
    const hasBegun = this.#setup.handle === undefined || context.hasBegun;
    let { reason } = error;
    if (!hasBegun && unsent && PASSING.includes(code)) reason ??= 'refused';
    else if (hasBegun && reason !== 'moving') reason = undefined;
    return reason === error.reason
      ? error
      : new RpcError(code, message, { metadata, details, cause: error, unsent, reason });
  }

  #await(context: ServerCall, outcome: Promise<unknown>): void {
    this.#begin(context);
    outcome.then(
      (value) => {
        this.#answer(context, value);
        this.#end(context);
      },
      (error) => {
        this.#answer(context, undefined, this.#errorOf(context, error));
        this.#end(context);
      },
    );
  }

  #begin(context: ServerCall): void {
    this.serving++;
    this.places.take(context);
    const key = sequenceKey(context.sequenceLow);
    if (this.#underWay.has(key)) this.#sameSequence.add(context);
    else this.#underWay.set(key, context);
  }

  #end(context: ServerCall): void {
    this.serving--;
    this.places.answered(context);
    const key = sequenceKey(context.sequenceLow);
    if (this.#underWay.get(key) === context) this.#underWay.delete(key);
    else this.#sameSequence.delete(context);
    this.#channel.oneLess();
  }

  // ---- streams ----

  /** Throws when the peer, or the codec, has none. */
  #makeStream(method: Method, codec: CodecName, frame: Frame): ServerStream {
    const name = `${method.service}.${method.name}`;
    if (this.#channel.extended !== true)
      throw new RpcError(
        'FAILED_PRECONDITION',
        `${name} streams, which the plain Go protocol cannot`,
      );
    if (this.#underWay.has(sequenceKey(frame.sequenceLow)))
      throw new RpcError('INVALID_ARGUMENT', `the sequence of ${name} is that of a call under way`);
    const { maxStreams } = this.#setup;
    if (this.places.streams >= maxStreams)
      throw new RpcError(
        'RESOURCE_EXHAUSTED',
        `${this.places.streams} streams of this session are under way; maxStreams is ${maxStreams}`,
        REFUSED,
      );
    return new ServerStream(this.#channel, method, codec, frame, this.#streamMemory);
  }

  #setStream(context: ServerCall, stream: ServerStream): void {
    context.stream = stream;
    stream.onRefusal = (thrown) => this.#refuseItem(context, thrown);
  }

  /** The handler's iterable goes out item by item, then its end. */
  #serveReplies(context: ServerCall, writer: StreamWriter): void {
    const { handle } = this.#setup;
    this.#begin(context);
    // Its deadline ends the stream, whether the handler looks at the signal or not.
    void context.signal;
    context.stream?.reader?.open();
    const pump = async (): Promise<boolean> => {
      const replies = await (handle === undefined
        ? context.handler(context.input, context)
        : handle(context));
      if (!isIterable(replies))
        throw new RpcError(
          'INTERNAL',
          `${context.method.service}.${context.method.name} answered nothing that can be iterated`,
        );
      return writer.pump(replies);
    };
    pump().then(
      () => this.#endReplies(context),
      (error) => this.#endReplies(context, this.#errorOf(context, answerable(error))),
    );
  }

  #endReplies(context: ServerCall, error?: RpcError): void {
    let outcome = context.aborted ?? (this.#channel.closed ? this.#lost() : error);
    if (context.aborted === undefined && !this.#channel.closed) {
      const reply = this.#reply;
      reply.end(context, EXTENDED_ANSWER, context.codec);
      outcome ??= this.#sendSuccess(reply, context, undefined);
      if (outcome !== undefined) {
        reply.end(context, EXTENDED_ANSWER, context.codec);
        this.#sendFailure(reply, outcome);
      }
    }
    this.#count(context, outcome, false);
    this.#finish(context);
    this.#end(context);
  }

  /** The call is over: what it has not read, nobody reads. */
  #finish(context: ServerCall): void {
    context.settled();
    const { stream } = context;
    if (stream !== undefined) stream.stop(new RpcError('CANCELLED', 'the call is over'));
  }

  #find(frame: Frame): ServerCall | undefined {
    const context = this.#underWay.get(sequenceKey(frame.sequenceLow));
    return context?.sequenceHigh === frame.sequenceHigh ? context : undefined;
  }

  /**
   * A message of the caller's stream, its end, a credit for ours, or its cancellation. What is over
   * already is none of ours.
   */
  onStream(frame: Frame): void {
    const context = this.#find(frame);
    if (context === undefined) return;
    const { stream } = context;
    if (frame.command === COMMAND.cancel)
      context.abort(new RpcError('CANCELLED', 'the caller gave up'));
    else if (frame.command === COMMAND.credit) stream?.writer?.credit(readCredit(frame));
    else if (frame.command === COMMAND.end) stream?.reader?.end();
    else if (stream?.reader !== undefined) {
      context.received += frame.size;
      try {
        stream.reader.push(frame.bytes, frame.bodyStart, frame.bodyEnd, frame.size);
      } catch (error) {
        this.#refuseItem(context, error);
      }
    }
  }

  /** Answers the call, and returns its error. */
  #refuseItem(context: ServerCall, thrown: unknown): RpcError {
    const { service, name } = context.method;
    const parse = `a message of ${service}.${name} does not parse: ${messageOf(thrown)}`;
    const error = rpcErrorOf(thrown) ?? new RpcError('INVALID_ARGUMENT', parse, { cause: thrown });
    const reply = this.#reply;
    if (context.stream?.writer === undefined)
      reply.call(context, EXTENDED_ANSWER, context.codec, false);
    else reply.end(context, EXTENDED_ANSWER, context.codec);
    this.#sendFailure(reply, error);
    context.abort(error);
    return error;
  }

  #lost(): RpcError {
    return new RpcError('CANCELLED', `the session with ${this.#channel.peer} is lost`);
  }

  /**
   * The session is lost. A peer may have made so many calls that to abort them all takes long:
   * calls may end meanwhile.
   */
  abortAll(): void {
    const reason = this.#lost();
    inTurns([...this.#underWay.values(), ...this.#sameSequence], (context) =>
      context.abort(reason),
    );
  }

  #answer(context: ServerCall, value: unknown, error?: RpcError, atOnce = false): void {
    if (context.stream !== undefined) this.#finish(context);
    else context.settled();
    let failure = context.aborted ?? error ?? this.#send(context, value);
    if (failure !== undefined && context.aborted === undefined) {
      if (this.#channel.closed) failure = this.#lost();
      else this.#fail(context, failure);
    }
    this.#count(context, failure, atOnce);
  }

  /** Send a value as the answer; or answer why it cannot be sent. */
  #send(context: ServerCall, value: unknown): RpcError | undefined {
    const { codec, method, callType } = context;
    if (callType === CALL_TYPE.oneWay) return undefined;
    const reply = this.#reply;
    reply.call(context, answerId(context), codec, callType === CALL_TYPE.twoWayNoReply);
    return this.#sendSuccess(reply, context, method.output[codec], value);
  }

  #fail(context: ServerCall, error: RpcError): void {
    const { codec, method } = context;
    if (context.callType === CALL_TYPE.oneWay) return this.#logOneway(error, method);
    const reply = this.#reply;
    reply.call(context, answerId(context), codec, context.callType === CALL_TYPE.twoWayNoReply);
    this.#sendFailure(reply, error);
  }

  /** Answers why it cannot be sent, if so. */
  #sendSuccess(
    reply: Reply,
    context: ServerCall,
    body: MessageCodec | undefined,
    value?: unknown,
  ): RpcError | undefined {
    try {
      reply.success(
        body,
        value,
        this.#channel.extended === true ? Number.POSITIVE_INFINITY : LARGEST_PLAIN_BODY,
        context.trailer,
      );
      this.#channel.sendReply(reply);
      context.sent += reply.bodyLength;
      return undefined;
    } catch (failure) {
      return answerable(failure);
    }
  }

  /**
   * Never throws: an error that cannot be sent as it is keeps its code and the beginning of its
   * message.
   */
  #sendFailure(reply: Reply, error: RpcError): void {
    let attempt = error;
    for (const length of [SHORT_MESSAGE, 0, 0]) {
      try {
        reply.failure(attempt);
        this.#channel.sendReply(reply);
        return;
      } catch {
        attempt = new RpcError(error.code, messageOf(error).slice(0, length), {
          reason: error.reason,
        });
      }
    }
    this.#setup.logger.warn(
      { peer: this.#channel.peer, code: error.code, error },
      'an answer could not be sent',
    );
  }

  /** A request that never became a context. */
  #refuse(frame: Frame, codec: CodecName, callType: number, error: RpcError): void {
    if (callType === CALL_TYPE.oneWay) return this.#logOneway(error);
    const reply = this.#reply;
    reply.call(frame, answerId(frame), codec, callType === CALL_TYPE.twoWayNoReply);
    this.#sendFailure(reply, error);
  }

  #logOneway(error: RpcError, method?: Method): void {
    this.#setup.logger.warn(
      {
        peer: this.#channel.peer,
        service: method?.service,
        method: method?.name,
        code: error.code,
        error,
      },
      `a oneway call failed: ${error.message}`,
    );
  }
}

function noPlace(what: string, limit: string): RpcError {
  return new RpcError(
    'RESOURCE_EXHAUSTED',
    `${what} of this session are being handled; ${limit}`,
    REFUSED,
  );
}

/** The number of a credit. */
export function readCredit({ bytes, bodyStart }: Frame): number {
  return readUint32(bytes, bodyStart);
}

/** What the answer's serviceId says: that we are extended too, or what the request said. */
function answerId({ serviceId }: { serviceId: number }): number {
  return serviceId === EXTENDED_REQUEST ? EXTENDED_ANSWER : serviceId;
}

function decodeInput(method: Method, codec: CodecName, frame: Frame, maxObjects: number): unknown {
  const bodyCodec = method.input[codec];
  if (bodyCodec === undefined)
    throw new RpcError('UNIMPLEMENTED', `${method.service}.${method.name} has no ${codec} form`, {
      reason: 'not-served',
      unsent: true,
    });
  try {
    return bodyCodec.decode(frame.bytes, frame.bodyStart, frame.bodyEnd, maxObjects);
  } catch (error) {
    throw new RpcError(
      'INVALID_ARGUMENT',
      `the argument of ${method.service}.${method.name} does not parse: ${messageOf(error)}`,
      { cause: error },
    );
  }
}

/** What went wrong with a value that was to be sent, or before it. */
function answerable(failure: unknown): RpcError {
  const code = codeOf(failure);
  const tooLarge = code === 'MESSAGE_TOO_LARGE' || code === 'PEER_NOT_TRUSTED';
  return tooLarge
    ? new RpcError('RESOURCE_EXHAUSTED', messageOf(failure), { cause: failure })
    : RpcError.from(failure);
}
