/** What a channel sends and waits for: a call, or a heartbeat. */
import { messageOf } from '../errors.js';
import type { ByteWriter } from '../transport/byte-writer.js';
import { RpcError } from './errors.js';
import { beginFrame, CODE, CODEC_NUMBER, COMMAND, type Frame, LARGEST_PLAIN_BODY } from './frame.js';
import { isPlainSuccess, readResponseError } from './head.js';
import { type PendingCalls, Waiting } from './pending.js';
import { EXTENDED_REQUEST, writeRequest } from './request.js';
import type { Call } from './types.js';

export abstract class Outgoing extends Waiting {
  abstract write(output: ByteWriter): void;
  abstract answer(frame: Frame): void;
}

let resolveNext: (value: unknown) => void;
let rejectNext: (error: unknown) => void;
/** One executor for all calls: a closure per call is garbage per call. */
const capture = (resolve: (value: unknown) => void, reject: (error: unknown) => void): void => {
  resolveNext = resolve;
  rejectNext = reject;
};

export class OutgoingCall extends Outgoing {
  readonly call: Call;
  readonly promise: Promise<unknown>;
  readonly resolve: (value: unknown) => void;
  readonly #reject: (error: unknown) => void;
  readonly #extended: boolean;
  /** Known once it is written. */
  bodyLength = 0;

  constructor(call: Call, extended: boolean) {
    super();
    this.call = call;
    this.#extended = extended;
    this.promise = new Promise(capture);
    this.resolve = resolveNext;
    this.#reject = rejectNext;
  }

  /** A sequence for a call that nobody answers. */
  number(pending: PendingCalls<Outgoing>): void {
    pending.add(this);
    pending.take(this.sequenceLow, this.sequenceHigh);
  }

  write(output: ByteWriter): void {
    this.bodyLength = writeRequest(output, this.call, this.sequenceLow, this.sequenceHigh);
    if (this.bodyLength > LARGEST_PLAIN_BODY && !this.#extended) throw new RangeError('the body is too large for a plain peer');
  }

  answer(frame: Frame): void {
    const codec = frame.codec === CODEC_NUMBER.json ? 'json' : 'protobuf';
    const { method } = this.call;
    try {
      if (frame.command !== COMMAND.response) throw new TypeError('it came as the answer to a heartbeat');
      if (frame.code !== CODE.ok || !isPlainSuccess(codec, frame.headEnd - frame.headStart)) {
        const error = readResponseError(codec, frame.bytes, frame.headStart, frame.headEnd);
        if (frame.code !== CODE.ok || error.message !== '') return this.fail(error);
      }
      const bodyCodec = method.output[codec];
      if (bodyCodec === undefined) throw new TypeError(`it came in ${codec}, which ${method.service}.${method.name} does not have`);
      this.resolve(bodyCodec.decode(frame.bytes, frame.bodyStart, frame.bodyEnd));
    } catch (error) {
      this.fail(new RpcError('INTERNAL', `the reply of ${method.service}.${method.name} does not parse: ${messageOf(error)}`, { cause: error }));
    }
  }

  fail(error: RpcError): void {
    this.#reject(error);
  }

  expire(): void {
    const { method, timeout } = this.call;
    this.fail(new RpcError('DEADLINE_EXCEEDED', `${method.service}.${method.name} was not answered within ${timeout} ms`));
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
