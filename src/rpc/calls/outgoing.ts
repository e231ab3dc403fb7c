/** What a channel sends and waits for: a call, or a heartbeat. */
import { notifyOrWarn } from '../../core/callbacks.js';
import { messageOf } from '../../core/errors.js';
import type { ByteWriter } from '../../transport/buffers/byte-writer.js';
import { now } from '../../transport/session/flush-scheduler.js';
import { NO_METADATA } from '../codecs/metadata.js';
import { RpcError } from '../errors.js';
import type { Call, CallOptions, CodecName, Metadata } from '../types.js';
import {
  beginFrame,
  CODE,
  CODEC_NUMBER,
  COMMAND,
  type Frame,
  LARGEST_PLAIN_BODY,
} from '../wire/frame.js';
import { isPlainSuccess, readResponseError } from '../wire/header.js';
import { EXTENDED_REQUEST, writeRequest } from '../wire/request.js';
import { type PendingCalls, Waiting } from './pending-calls.js';

export abstract class Outgoing extends Waiting {
  abstract write(output: ByteWriter): void;
  /** A response has come, or the end of a stream; nothing waits for more. */
  abstract answer(frame: Frame, maxDecodedObjects: number): void;
  /** A message of its stream, or a credit for it. True: the call goes on. */
  onStream(_frame: Frame): boolean {
    return true;
  }
}

/** Told once of each call that is over: `latency` in ms, bytes of bodies. */
export type CallCounter = (
  call: Call,
  error: RpcError | undefined,
  latency: number,
  sent: number,
  received: number,
) => void;

let resolveNext: (value: unknown) => void;
let rejectNext: (error: unknown) => void;
/** One executor for all calls: a closure per call is garbage per call. */
const capture = (resolve: (value: unknown) => void, reject: (error: unknown) => void): void => {
  resolveNext = resolve;
  rejectNext = reject;
};

/**
 * A promise calls back in the context in which it was asked; and before the call's own, which is
 * settled later.
 */
function tellerOf(
  onMetadata: NonNullable<CallOptions['onMetadata']>,
): (metadata: Metadata) => void {
  let tell!: (metadata: Metadata) => void;
  new Promise<Metadata>((resolve) => {
    tell = resolve;
  }).then((metadata) => notifyOrWarn('onMetadata of a call', () => onMetadata(metadata)));
  return tell;
}

/** A call with one answer; the base of those with streams. */
export class OutgoingCall extends Outgoing {
  readonly call: Call;
  readonly promise: Promise<unknown>;
  readonly resolve: (value: unknown) => void;
  protected readonly reject: (error: unknown) => void;
  readonly #extended: boolean | undefined;
  /** Known once it is written; of a stream, what was sent so far. */
  bodyLength = 0;
  /** Bytes that came for it. */
  protected received = 0;
  readonly #count: CallCounter;
  /**
   * Of a call without a timeout; of another its deadline tells, and a number that is no integer
   * costs an object.
   */
  readonly #startedAt: number | undefined;
  /** Tells onMetadata, in the async context of the caller. */
  readonly #tellMetadata: ((metadata: Metadata) => void) | undefined;
  #counted = false;

  /** `extended`: whether the peer is; undefined while that is not known. */
  constructor(call: Call, extended: boolean | undefined, count: CallCounter) {
    super();
    this.#count = count;
    this.#startedAt = call.timeout === undefined ? now() : undefined;
    this.call = call;
    this.#extended = extended;
    this.promise = new Promise(capture);
    this.resolve = resolveNext;
    this.#tellMetadata = call.onMetadata && tellerOf(call.onMetadata);
    this.reject = rejectNext;
  }

  /** A sequence for a call that nobody answers. */
  number(pending: PendingCalls<Outgoing>): void {
    pending.add(this);
    pending.take(this.sequenceLow, this.sequenceHigh);
  }

  write(output: ByteWriter): void {
    this.bodyLength = writeRequest(
      output,
      this.call,
      this.sequenceLow,
      this.sequenceHigh,
      this.#extended,
    );
    if (this.bodyLength > LARGEST_PLAIN_BODY && !this.#extended)
      throw new RangeError('the body is too large for a plain peer');
  }

  answer(frame: Frame, maxDecodedObjects: number): void {
    const codec = frame.codec === CODEC_NUMBER.json ? 'json' : 'protobuf';
    const { method } = this.call;
    this.received += frame.bodyEnd - frame.bodyStart;
    try {
      if (frame.command !== COMMAND.response && frame.command !== COMMAND.end)
        throw new TypeError('it came as the answer to a heartbeat');
      if (frame.code !== CODE.ok || !isPlainSuccess(codec, frame.headEnd - frame.headStart)) {
        const error = readResponseError(codec, frame.bytes, frame.headStart, frame.headEnd);
        if (error.metadata !== NO_METADATA) this.#tellMetadata?.(error.metadata);
        if (frame.code !== CODE.ok || error.message !== '') return this.fail(error);
      }
      this.succeed(frame, codec, maxDecodedObjects);
      this.count();
    } catch (error) {
      this.fail(
        new RpcError(
          'INTERNAL',
          `the reply of ${method.service}.${method.name} does not parse: ${messageOf(error)}`,
          { cause: error },
        ),
      );
    }
  }

  /** The response says that all went well. Throws what decoding throws. */
  protected succeed(frame: Frame, codec: CodecName, maxDecodedObjects: number): void {
    const { method } = this.call;
    if (frame.command !== COMMAND.response) throw new TypeError('it came as the end of a stream');
    if (method.kind === 'noReply') return this.resolve(undefined);
    const bodyCodec = method.output[codec];
    if (bodyCodec === undefined)
      throw new TypeError(
        `it came in ${codec}, which ${method.service}.${method.name} does not have`,
      );
    this.resolve(bodyCodec.decode(frame.bytes, frame.bodyStart, frame.bodyEnd, maxDecodedObjects));
  }

  /** A unary call has no stream: its peer has another contract. */
  override onStream(frame: Frame): boolean {
    if (frame.command === COMMAND.credit) return true;
    const { service, name } = this.call.method;
    this.fail(
      new RpcError(
        'INTERNAL',
        `the peer answers ${service}.${name} with a stream, which is none by the contract here`,
      ),
    );
    return false;
  }

  fail(error: RpcError): void {
    this.count(error);
    this.reject(error);
  }

  /** It is over. */
  count(error?: RpcError): void {
    if (this.#counted) return;
    this.#counted = true;
    const { call } = this;
    const startedAt = this.#startedAt ?? this.deadline - (call.timeout as number);
    this.#count(call, error, Math.max(0, now() - startedAt), this.bodyLength, this.received);
  }

  expire(): void {
    const { method, timeout } = this.call;
    this.fail(
      new RpcError(
        'DEADLINE_EXCEEDED',
        `${method.service}.${method.name} was not answered within ${timeout} ms`,
      ),
    );
  }
}

export class Heartbeat extends Outgoing {
  readonly #activeBefore: number;
  readonly #missed: (activeBefore: number) => void;

  /** `missed` is called with `activeBefore` when no answer has come in time. */
  constructor(activeBefore: number, missed: (activeBefore: number) => void) {
    super();
    this.#activeBefore = activeBefore;
    this.#missed = missed;
  }

  override get isCall(): boolean {
    return false;
  }

  write(output: ByteWriter): void {
    const { sequenceLow, sequenceHigh } = this;
    beginFrame(output, COMMAND.heartbeat, CODE.ok, CODEC_NUMBER.json, {
      serviceId: EXTENDED_REQUEST,
      sequenceLow,
      sequenceHigh,
      logIdLow: 0,
      logIdHigh: 0,
    });
  }

  answer(): void {}

  fail(): void {}

  expire(): void {
    this.#missed(this.#activeBefore);
  }
}
