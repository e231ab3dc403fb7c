/** The serving half of a channel: requests become calls of handlers, and what handlers answer becomes replies. */
import { GettyError, gettyError, messageOf } from '../errors.js';
import type { Logger } from '../logger.js';
import { now } from '../transport/ticker.js';
import { type ContextOwner, ServerCall } from './context.js';
import { RpcError } from './errors.js';
import { CODEC_NUMBER, type Frame, LARGEST_PLAIN_BODY } from './frame.js';
import { CALL_TYPE } from './head.js';
import { Reply } from './reply.js';
import { EXTENDED_ANSWER, EXTENDED_REQUEST } from './request.js';
import type { Router } from './router.js';
import type { CodecName, Invoke, Method } from './types.js';

export interface ResponderSetup {
  readonly router: Router;
  readonly maxPendingCalls: number;
  readonly logger: Logger;
  /** Runs a handler; undefined where no interceptor stands before it. */
  readonly handle: Invoke | undefined;
}

/** The channel, as its responder sees it. */
export interface ResponderOwner extends ContextOwner {
  /** Throws what encoding throws. */
  sendReply(reply: Reply): void;
  /** A handler has answered. */
  oneLess(): void;
}

/** Below it a timeout is measured from the very instant; that costs more than the rest of its bookkeeping. */
const SHORT_TIMEOUT = 2_000;
/** What is kept of the message of an error that is too large to send. */
const SHORT_MESSAGE = 1_000;

export class Responder {
  /** Requests whose handlers have not answered. */
  serving = 0;
  readonly #setup: ResponderSetup;
  readonly #channel: ResponderOwner;
  readonly #reply = new Reply();

  constructor(setup: ResponderSetup, channel: ResponderOwner) {
    this.#setup = setup;
    this.#channel = channel;
  }

  onHeartbeat(frame: Frame): void {
    const reply = this.#reply;
    reply.heartbeat(frame, answerId(frame));
    this.#channel.sendReply(reply);
  }

  onRequest(frame: Frame): void {
    const codec: CodecName = frame.codec === CODEC_NUMBER.json ? 'json' : 'protobuf';
    let context: ServerCall;
    let callType: number = CALL_TYPE.twoWay;
    try {
      const head = this.#setup.router.find(codec, frame.bytes, frame.headStart, frame.headEnd);
      const { route } = head;
      callType = head.callType;
      if (route instanceof RpcError) throw route;
      if (this.serving >= this.#setup.maxPendingCalls) {
        throw new RpcError(
          'RESOURCE_EXHAUSTED',
          `${this.serving} calls of this session are being handled; maxPendingCalls is ${this.#setup.maxPendingCalls}`,
        );
      }
      context = new ServerCall(this.#channel, head, route, decodeInput(route.method, codec, frame), codec, frame, begin(head.timeout));
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
    this.serving++;
    outcome.then(
      (value) => {
        this.serving--;
        this.#answer(context, value);
        this.#channel.oneLess();
      },
      (error) => {
        this.serving--;
        this.#answer(context, undefined, RpcError.from(error));
        this.#channel.oneLess();
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
    reply.call(context, answerId(context), codec, context.callType === CALL_TYPE.twoWayNoReply);
    if (error !== undefined) return this.#sendFailure(reply, error);
    try {
      reply.success(method.output[codec], value, this.#channel.extended === true ? Number.POSITIVE_INFINITY : LARGEST_PLAIN_BODY);
      this.#channel.sendReply(reply);
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
        this.#channel.sendReply(reply);
        return;
      } catch {
        attempt = new RpcError(error.code, messageOf(error).slice(0, length));
      }
    }
    warn(this.#setup.logger, { peer: this.#channel.peer, code: error.code, error }, 'an answer could not be sent');
  }

  /** A request that never became a context. */
  #refuse(frame: Frame, codec: CodecName, callType: number, error: RpcError): void {
    if (callType === CALL_TYPE.oneWay) return this.#logOneway(error);
    const reply = this.#reply;
    reply.call(frame, answerId(frame), codec, callType === CALL_TYPE.twoWayNoReply);
    this.#sendFailure(reply, error);
  }

  #logOneway(error: RpcError, method?: Method): void {
    warn(
      this.#setup.logger,
      { peer: this.#channel.peer, service: method?.service, method: method?.name, code: error.code, error },
      `a oneway call failed: ${error.message}`,
    );
  }
}

/** What the answer's serviceId says: that we are extended too, or what the request said. */
function answerId({ serviceId }: { serviceId: number }): number {
  return serviceId === EXTENDED_REQUEST ? EXTENDED_ANSWER : serviceId;
}

/**
 * The instant when a timeout begins. now() is as old as this turn of the event loop, which a long timeout does not notice
 * and a short one must not lose.
 */
export function begin(timeout = Number.POSITIVE_INFINITY): number {
  return timeout < SHORT_TIMEOUT ? performance.now() : now();
}

function decodeInput(method: Method, codec: CodecName, frame: Frame): unknown {
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

/** Tell the logger; one that fails must not harm the session. */
export function warn(logger: Logger, details: object, message: string): void {
  try {
    logger.warn(details, message);
  } catch (failure) {
    process.emitWarning(gettyError('HANDLER_FAILED', `the logger failed: ${messageOf(failure)}`, failure));
  }
}
