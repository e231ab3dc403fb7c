/** Sends the answers to the requests of one session. */
import { codeOf, type GettyError, messageOf } from '../../core/errors.js';
import type { Logger } from '../../core/logger.js';
import { spend, unitsOf } from '../../core/turn.js';
import { ByteWriter } from '../../transport/buffers/byte-writer.js';
import { sentTooLargeError } from '../../transport/session/session-errors.js';
import type { Session } from '../../transport/types.js';
import { RpcError, rpcErrorOf } from '../errors.js';
import type { PeerSession } from '../peer/peer-session.js';
import type { CodecName, MessageCodec, Method } from '../types.js';
import { Answer } from '../wire/answer.js';
import {
  type Frame,
  MAX_HEADER_BYTES,
  MAX_PLAIN_BODY_BYTES,
  type OutgoingFrame,
} from '../wire/frame.js';
import { EXTENDED_ANSWER, EXTENDED_REQUEST } from '../wire/request.js';
import { CALL_TYPE } from '../wire/request-header.js';
import { isSizeError } from './call-errors.js';
import { RecentRequests } from './datagrams/recent-requests.js';
import type { ServerCall } from './server-call.js';

/** Characters that remain of the message of an error that is too large to send. */
const SHORTENED_MESSAGE_LENGTH = 1_000;

/** The part of Caller that AnswerSender uses. */
interface OwnRequests {
  /** How many calls and heartbeats of this side wait for their answers. */
  readonly pendingRequests: number;
}

export class AnswerSender {
  /** The latest requests of the peer. Undefined unless the session sends datagrams. */
  recentRequests: RecentRequests | undefined;
  readonly #peer: PeerSession;
  readonly #ownRequests: OwnRequests;
  readonly #logger: Logger;
  readonly #answer = new Answer();

  constructor(peer: PeerSession, ownRequests: OwnRequests, logger: Logger) {
    this.#peer = peer;
    this.#ownRequests = ownRequests;
    this.#logger = logger;
  }

  /** `isLossy`: the session sends datagrams, so requests arrive more than once. */
  open(isLossy: boolean): void {
    if (isLossy) this.recentRequests = new RecentRequests();
  }

  sendHeartbeatAnswer(frame: Frame): void {
    const answer = this.#answer;
    answer.setHeartbeatAnswer(frame, serviceIdFor(frame));
    this.#write(answer);
  }

  /** Sends a value as the answer. Returns the error of the call if the value cannot be sent. */
  sendValue(call: ServerCall, value: unknown): RpcError | undefined {
    const { codec, method, callType } = call;
    if (callType === CALL_TYPE.oneWay) return undefined;
    const answer = this.#answer;
    answer.setResponse(call, serviceIdFor(call), codec, callType === CALL_TYPE.twoWayNoReply);
    return this.#sendSuccess(call, method.output[codec], value);
  }

  /** Sends the end of a stream of replies. Returns the error that the end contains. */
  sendEnd(call: ServerCall, error: RpcError | undefined): RpcError | undefined {
    const answer = this.#answer;
    answer.setEnd(call, EXTENDED_ANSWER, call.codec);
    const failure = error ?? this.#sendSuccess(call, undefined, undefined);
    if (failure === undefined) return undefined;
    answer.setEnd(call, EXTENDED_ANSWER, call.codec);
    this.#sendFailure(failure);
    return failure;
  }

  /** Sends an error as the answer of a call, or of the frame of a call that was refused. */
  sendError(
    call: ServerCall | Frame,
    codec: CodecName,
    callType: number,
    error: RpcError,
    method?: Method,
  ): void {
    if (callType === CALL_TYPE.oneWay) return this.#logOneway(error, method);
    // An extended caller needs the code and the reason, to decide whether to call another node.
    const isHeaderOnly =
      callType === CALL_TYPE.twoWayNoReply && call.serviceId !== EXTENDED_REQUEST;
    this.#answer.setResponse(call, serviceIdFor(call), codec, isHeaderOnly);
    this.#sendFailure(error);
  }

  /** Answers a streaming call with an error while its streams are open. */
  sendStreamError(call: ServerCall, error: RpcError): void {
    const answer = this.#answer;
    if (call.stream?.writer === undefined)
      answer.setResponse(call, EXTENDED_ANSWER, call.codec, false);
    else answer.setEnd(call, EXTENDED_ANSWER, call.codec);
    this.#sendFailure(error);
  }

  /** Returns the error of the call if the value cannot be sent. */
  #sendSuccess(
    call: ServerCall,
    body: MessageCodec | undefined,
    value: unknown,
  ): RpcError | undefined {
    try {
      const answer = this.#answer;
      answer.setSuccess(
        body,
        value,
        this.#peer.extended === true ? Number.POSITIVE_INFINITY : MAX_PLAIN_BODY_BYTES,
        call.trailer,
      );
      this.#write(answer);
      call.sent += answer.bodyLength;
      return undefined;
    } catch (error) {
      const { service, name } = call.method;
      return answerErrorOf(error, `the answer of ${service}.${name} was not sent: `);
    }
  }

  /** Never throws: an error that is too large keeps its code and the beginning of its message. */
  #sendFailure(error: RpcError): void {
    const answer = this.#answer;
    const { code, message, reason } = error;
    const shortened = (length: number): RpcError =>
      new RpcError(code, message.slice(0, length), { reason });
    // A message of that length does not fit in any case, and its encoding would take long.
    let attempt = message.length > MAX_HEADER_BYTES ? shortened(SHORTENED_MESSAGE_LENGTH) : error;
    for (const length of [SHORTENED_MESSAGE_LENGTH, 0, 0]) {
      try {
        answer.setError(attempt);
        this.#write(answer);
        return;
      } catch {
        attempt = shortened(length);
      } finally {
        answer.releaseError();
      }
    }
    this.#logger.warn(
      { peer: this.#peer.address, code: error.code, error },
      'an answer could not be sent',
    );
  }

  #logOneway(error: RpcError, method: Method | undefined): void {
    this.#logger.warn(
      {
        peer: this.#peer.address,
        service: method?.service,
        method: method?.name,
        code: error.code,
        error,
      },
      `a oneway call failed: ${error.message}`,
    );
  }

  /** Throws what encoding throws. Writes nothing when the session is closed. */
  #write(answer: Answer): void {
    const { session } = this.#peer;
    if (session === undefined || session.closed) return;
    let hasRoom: boolean;
    try {
      hasRoom =
        this.recentRequests === undefined
          ? session.write(answer)
          : this.#writeAndKeep(session, this.recentRequests, answer);
    } catch (error) {
      if (codeOf(error) !== 'SESSION_BLOCKED') throw error;
      // The peer sends requests and does not read the answers, which fill the queue.
      session.destroy(error as GettyError);
      return;
    }
    // Stop reading requests while the queue is full. Do not stop while this side waits for answers:
    // two sides that both have stopped would wait for each other.
    if (!hasRoom && this.#ownRequests.pendingRequests === 0) {
      session.pause();
      session.drained().then(
        () => session.resume(),
        () => {},
      );
    }
  }

  /** Writes the answer, and keeps a copy, because its datagram may be lost. */
  #writeAndKeep(
    session: Session<Frame, OutgoingFrame>,
    recent: RecentRequests,
    answer: Answer,
  ): boolean {
    const output = ByteWriter.borrow();
    try {
      answer.write(output);
      // writeBytes() checks no size; a session measures the messages of its codec only.
      if (output.length > session.maxMessageBytes) {
        // A small request may cause it. Its encoding is work too.
        spend(unitsOf(output.length));
        throw sentTooLargeError(this.#peer.address, output.length, session.maxMessageBytes);
      }
      const hasRoom = session.writeBytes(output.written);
      // A copy, because the buffer of the writer is reused.
      recent.setAnswer(answer.ids, new Uint8Array(output.written));
      return hasRoom;
    } finally {
      ByteWriter.release(output);
    }
  }

  /** Sends an answer once more. */
  resend(answer: Uint8Array): void {
    try {
      this.#peer.session?.writeBytes(answer);
    } catch {
      // The datagram may be lost anyway; the peer sends its request again.
    }
  }
}

/** Extended peers get EXTENDED_ANSWER. A Go peer gets the serviceId of its request. */
function serviceIdFor({ serviceId }: { serviceId: number }): number {
  return serviceId === EXTENDED_REQUEST ? EXTENDED_ANSWER : serviceId;
}

/**
 * The error of a call. `error`: what its handler has thrown, or why its reply cannot be sent.
 * `prefix`: the beginning of the message, unless `error` is an RpcError.
 */
export function answerErrorOf(error: unknown, prefix = ''): RpcError {
  const known = rpcErrorOf(error);
  if (known !== undefined) return known;
  const code = isSizeError(error) ? 'RESOURCE_EXHAUSTED' : 'UNKNOWN';
  return new RpcError(code, `${prefix}${messageOf(error)}`, { cause: error });
}
