/**
 * OutgoingRequest: a request that is sent and waits for its answer. OutgoingCall: the request of a
 * call.
 */
import { notifyOrWarn } from '../../core/callbacks.js';
import { messageOf } from '../../core/errors.js';
import type { ByteWriter } from '../../transport/buffers/byte-writer.js';
import { now } from '../../transport/session/flush-scheduler.js';
import { NO_METADATA } from '../codecs/metadata.js';
import { RpcError, withMethod } from '../errors.js';
import type { OutgoingCallCounter } from '../metrics/outgoing-call-counter.js';
import type { Call, CallOptions, CodecName, Metadata } from '../types.js';
import { CODE, CODEC_NUMBER, COMMAND, type Frame, MAX_PLAIN_BODY_BYTES } from '../wire/frame.js';
import { writeRequest } from '../wire/request.js';
import { isPlainSuccess, readResponseError } from '../wire/response-header.js';
import { PendingRequest, type PendingRequests } from './pending-requests.js';

export abstract class OutgoingRequest extends PendingRequest {
  abstract write(output: ByteWriter): void;
  /** Called once, with the response or the end of the stream. */
  abstract answer(frame: Frame, maxDecodedObjects: number): void;
  /** Called with a message of its stream, or a credit. Returns false when the call has ended. */
  onStream(_frame: Frame): boolean {
    return true;
  }
}

/**
 * Observes a call that does not stream: an attempt of a consumer. Its methods are called once,
 * before the promise of the call settles. They must not throw and not make calls.
 */
export interface CallObserver {
  /** The call was answered or, if its method is oneway, sent. `latency`: milliseconds. */
  onAnswered(latency: number): void;
  /**
   * The call has failed. Returns what its promise rejects with. `latency`: milliseconds; 0 for a
   * call that was not sent.
   */
  onFailed(error: RpcError, latency: number): unknown;
}

/** What the calls of a channel share. */
export interface OutgoingCallOwner {
  readonly counter: OutgoingCallCounter;
  /** Whether the peer is extended; undefined while that is unknown. */
  readonly extended: boolean | undefined;
}

let resolveNext: (value: unknown) => void;
let rejectNext: (error: unknown) => void;
/** One executor for all calls, to allocate no closure per call. */
const capture = (resolve: (value: unknown) => void, reject: (error: unknown) => void): void => {
  resolveNext = resolve;
  rejectNext = reject;
};

/**
 * Returns a function that calls `onMetadata` in the async context of the caller. A promise keeps
 * the context. `onMetadata` is called before the promise of the call settles.
 */
function metadataNotifier(
  onMetadata: NonNullable<CallOptions['onMetadata']>,
): (metadata: Metadata) => void {
  let notify!: (metadata: Metadata) => void;
  new Promise<Metadata>((resolve) => {
    notify = resolve;
  }).then((metadata) => notifyOrWarn('onMetadata of a call', () => onMetadata(metadata)));
  return notify;
}

/** A call with one answer, and the base class of calls with streams. */
export class OutgoingCall extends OutgoingRequest {
  readonly call: Call;
  readonly promise: Promise<unknown>;
  readonly resolve: (value: unknown) => void;
  protected readonly reject: (error: unknown) => void;
  readonly #owner: OutgoingCallOwner;
  /** Bytes that were sent: of the body, and of the frames of a stream. */
  bodyLength = 0;
  readonly #observer: CallObserver | undefined;
  /**
   * When the call began, by now(). It has no initializer: with a number V8 would box the double of
   * each call, while without one all calls of a tick share the box of now().
   */
  readonly #startedAt: number;
  /**
   * Calls onMetadata in the async context of the caller. Only calls with onMetadata have this
   * property.
   */
  declare private readonly notifyMetadata?: (metadata: Metadata) => void;

  constructor(call: Call, owner: OutgoingCallOwner, observer: CallObserver | undefined) {
    super();
    this.#owner = owner;
    this.#observer = observer;
    this.#startedAt = now();
    this.call = call;
    this.promise = new Promise(capture);
    this.resolve = resolveNext;
    this.reject = rejectNext;
    if (call.onMetadata !== undefined) this.notifyMetadata = metadataNotifier(call.onMetadata);
  }

  /** Sets the sequence of a call without an answer. */
  assignSequence(pending: PendingRequests<OutgoingRequest>): void {
    pending.add(this);
    pending.take(this.sequenceLow, this.sequenceHigh);
  }

  write(output: ByteWriter): void {
    const { extended } = this.#owner;
    this.bodyLength = writeRequest(
      output,
      this.call,
      this.sequenceLow,
      this.sequenceHigh,
      extended,
    );
    if (this.bodyLength > MAX_PLAIN_BODY_BYTES && !extended)
      throw new RangeError('the body is too large for the plain Go protocol');
  }

  answer(frame: Frame, maxDecodedObjects: number): void {
    const codec = frame.codec === CODEC_NUMBER.json ? 'json' : 'protobuf';
    const { method } = this.call;
    const received = frame.bodyEnd - frame.bodyStart;
    try {
      if (frame.command !== COMMAND.response && frame.command !== COMMAND.end)
        throw new TypeError('it is a heartbeat answer');
      if (frame.code !== CODE.ok || !isPlainSuccess(codec, frame.headerEnd - frame.headerStart)) {
        const error = readResponseError(codec, frame.bytes, frame.headerStart, frame.headerEnd);
        if (error.metadata !== NO_METADATA) this.notifyMetadata?.(error.metadata);
        if (frame.code !== CODE.ok || error.message !== '') return this.fail(error, received);
      }
      this.succeed(frame, codec, maxDecodedObjects);
      this.count(undefined, received);
    } catch (error) {
      this.fail(
        new RpcError(
          'INTERNAL',
          `the reply of ${method.service}.${method.name} does not parse: ${messageOf(error)}`,
          { cause: error },
        ),
        received,
      );
    }
  }

  /** Resolves the call with the reply. Throws what decoding throws. */
  protected succeed(frame: Frame, codec: CodecName, maxDecodedObjects: number): void {
    const { method } = this.call;
    if (frame.command !== COMMAND.response) throw new TypeError('it is the end of a stream');
    if (method.kind === 'noReply') return this.resolve(undefined);
    const bodyCodec = method.output[codec];
    if (bodyCodec === undefined)
      throw new TypeError(
        `it is in ${codec}, which ${method.service}.${method.name} does not have`,
      );
    this.resolve(bodyCodec.decode(frame.bytes, frame.bodyStart, frame.bodyEnd, maxDecodedObjects));
  }

  /** Fails a unary call: the peer has another contract. */
  override onStream(frame: Frame): boolean {
    if (frame.command === COMMAND.credit) return true;
    const { service, name } = this.call.method;
    this.fail(
      new RpcError(
        'INTERNAL',
        `the peer answers ${service}.${name} with a stream; the contract has a single reply`,
      ),
    );
    return false;
  }

  /** `received`: bytes of the body of the answer. */
  fail(error: RpcError, received = 0): void {
    this.count(error, received);
    const failure = withMethod(error, this.call.method);
    const observer = this.#observer;
    this.reject(observer === undefined ? failure : observer.onFailed(failure, this.#latency));
  }

  /** Milliseconds since the call began. */
  get #latency(): number {
    return now() - this.#startedAt;
  }

  /** Counts the call, once, at its end. `received`: bytes of the body of the answer. */
  count(error?: RpcError, received = 0): void {
    // The number of a latency would be an allocation per call.
    this.#owner.counter.onCallEnd(this.call, error, this.#startedAt, this.bodyLength, received);
    if (error === undefined) this.#observer?.onAnswered(this.#latency);
  }

  expire(): void {
    const { method } = this.call;
    // `call.timeout` may be what was left of the timeout when the call was sent.
    this.fail(
      new RpcError(
        'DEADLINE_EXCEEDED',
        `${method.service}.${method.name} was not answered within its timeout`,
      ),
    );
  }
}
