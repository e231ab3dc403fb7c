/** Turns the requests of a session into calls, or refuses them. */
import { messageOf } from '../../core/errors.js';
import { spinFor } from '../../transport/session/busy-poll.js';
import { now } from '../../transport/session/flush-scheduler.js';
import { decoded, UNKNOWN } from '../codecs/decoded.js';
import type { Router } from '../contract/router.js';
import { RpcError } from '../errors.js';
import { isStreaming, streamsInput } from '../method-kind.js';
import type { MethodCounters, SessionCallCounter } from '../metrics/statistics.js';
import type { PeerSession } from '../peer/peer-session.js';
import { ServerStream } from '../streams/server-stream.js';
import { StreamMemory } from '../streams/stream-memory.js';
import type { CodecName, Method } from '../types.js';
import { CODEC_NUMBER, type Frame } from '../wire/frame.js';
import { EXTENDED_REQUEST } from '../wire/request.js';
import { CALL_TYPE } from '../wire/request-header.js';
import type { AnswerSender } from './answer-sender.js';
import { instantFor } from './client-call.js';
import {
  headerBytesOf,
  REFUSED,
  RequestLimits,
  type RequestLimitsSetup,
} from './request-limits.js';
import { type AcceptedHeader, ServerCall, type ServerCallOwner } from './server-call.js';
import type { UnansweredCalls } from './unanswered-calls.js';

export interface RequestAcceptorSetup extends RequestLimitsSetup {
  readonly router: Router;
  /** Bytes. */
  readonly maxStreamBytes: number;
  /** Objects of one message. */
  readonly maxDecodedObjects: number;
  /** Milliseconds. */
  readonly busyPoll: number;
  readonly served: MethodCounters;
}

export class RequestAcceptor {
  readonly #setup: RequestAcceptorSetup;
  readonly #owner: ServerCallOwner;
  readonly #peer: PeerSession;
  readonly #answers: AnswerSender;
  readonly #unanswered: UnansweredCalls;
  readonly #callCounter: SessionCallCounter;
  readonly #limits: RequestLimits;
  readonly #streamMemory: StreamMemory;
  /** Finite, because decoders count down from it. */
  readonly #maxDecodedObjects: number;

  constructor(
    setup: RequestAcceptorSetup,
    owner: ServerCallOwner,
    peer: PeerSession,
    answers: AnswerSender,
    unanswered: UnansweredCalls,
    callCounter: SessionCallCounter,
  ) {
    this.#setup = setup;
    this.#owner = owner;
    this.#peer = peer;
    this.#answers = answers;
    this.#unanswered = unanswered;
    this.#callCounter = callCounter;
    this.#limits = new RequestLimits(setup, owner.runningHandlers);
    this.#streamMemory = new StreamMemory(setup.maxStreamBytes);
    this.#maxDecodedObjects = Math.min(setup.maxDecodedObjects, Number.MAX_SAFE_INTEGER);
  }

  /**
   * Makes the call of a request: finds the route, checks the limits and decodes the input.
   * Undefined: the request was refused, and the refusal is counted and sent, or logged for a oneway
   * method; or it is a repeated datagram, whose answer is sent again if there is one. A draining
   * server accepts requests, too.
   */
  accept(frame: Frame): ServerCall | undefined {
    if (this.#setup.busyPoll > 0) spinFor(this.#setup.busyPoll);
    const { recentRequests: recent } = this.#answers;
    if (recent !== undefined) {
      const known = recent.find(frame);
      if (known?.answer !== undefined) this.#answers.resend(known.answer);
      if (known !== undefined) return undefined;
    }
    const codec: CodecName = frame.codec === CODEC_NUMBER.json ? 'json' : 'protobuf';
    let call: ServerCall;
    let callType: number = CALL_TYPE.twoWay;
    let method: Method | undefined;
    try {
      const header = this.#setup.router.find(codec, frame);
      const { route } = header;
      callType = header.callType;
      if (route instanceof RpcError) throw route;
      method = route.method;
      if (recent?.add(frame, header.timeout, now()) === false)
        throw new RpcError(
          'RESOURCE_EXHAUSTED',
          `${recent.size} requests of this peer are remembered because UDP may repeat them`,
          REFUSED,
        );
      let bytes = headerBytesOf(frame, header.metadata);
      this.#limits.check(bytes);
      if (method.kind !== 'unary') this.#checkKind(method, frame, callType);
      const stream = isStreaming(method.kind) ? this.#openStream(method, codec, frame) : undefined;
      let input: unknown = stream?.reader;
      if (input === undefined) {
        // decode() sets it, if the codec counts the objects.
        decoded.objects = UNKNOWN;
        input = decodeInput(method, codec, frame, this.#maxDecodedObjects);
        bytes += this.#limits.objectBytesOf(frame, codec);
        this.#limits.checkBytes(bytes);
      }
      call = new ServerCall(
        this.#owner,
        header as AcceptedHeader,
        input,
        frame,
        bytes,
        instantFor(header.timeout),
        this.#setup.served.of(method),
      );
      call.stream = stream;
    } catch (error) {
      const refusal = RpcError.from(error);
      this.#countRefusal(method, refusal, frame);
      this.#answers.sendError(frame, codec, callType, refusal);
      return undefined;
    }
    this.#callCounter.started++;
    return call;
  }

  /** Refuses a request that is too large to be read. It may be oneway: its caller ignores this. */
  refuseTooLarge(frame: Frame, error: RpcError): void {
    this.#callCounter.started++;
    this.#callCounter.failed++;
    if (frame.serviceId !== EXTENDED_REQUEST) return;
    const codec = frame.codec === CODEC_NUMBER.json ? 'json' : 'protobuf';
    this.#answers.sendError(frame, codec, CALL_TYPE.twoWay, error);
  }

  /**
   * Counts a refusal per method only if the method is known. A peer could invent names and fill the
   * memory.
   */
  #countRefusal(method: Method | undefined, error: RpcError, frame: Frame): void {
    this.#callCounter.started++;
    this.#callCounter.failed++;
    if (method === undefined) return;
    const counter = this.#setup.served.of(method);
    counter.onCallStart();
    counter.onCallEnd(error, now(), 0, frame.bodyEnd - frame.bodyStart);
  }

  /**
   * Throws if the request shows that its caller has the method as another kind: an extended caller
   * would wait for an answer, or get one, that its kind does not have.
   */
  #checkKind({ service, name, kind }: Method, frame: Frame, callType: number): void {
    const expectsReply = callType !== CALL_TYPE.oneWay && callType !== CALL_TYPE.twoWayNoReply;
    let caller: string | undefined;
    if (isStreaming(kind)) {
      // The client would send no messages and no end, so the call would never end.
      if (!expectsReply) caller = 'has it as oneway or noReply';
      // The request of a call that streams its messages has an empty body.
      else if (streamsInput(kind) && frame.bodyEnd > frame.bodyStart)
        caller = 'sends a single argument';
    } else if (expectsReply && this.#peer.extended === true) caller = 'expects a reply';
    if (caller !== undefined)
      throw new RpcError(
        'INVALID_ARGUMENT',
        `${service}.${name} is a ${kind} method, and the caller ${caller}: their contracts differ`,
      );
  }

  /** Throws if the peer is not extended, or if the codec or a limit does not permit the stream. */
  #openStream(method: Method, codec: CodecName, frame: Frame): ServerStream {
    const name = `${method.service}.${method.name}`;
    if (this.#peer.extended !== true)
      throw new RpcError(
        'FAILED_PRECONDITION',
        `${name} is a streaming method, and the plain Go protocol has no streams`,
      );
    if (this.#unanswered.has(frame))
      throw new RpcError('INVALID_ARGUMENT', `the sequence of ${name} is that of a call in flight`);
    this.#limits.checkStreams();
    return new ServerStream(this.#peer, method, codec, frame, this.#streamMemory);
  }
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
