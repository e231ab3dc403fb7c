/** What a frame says, for a reader who follows the bytes between two peers. */
import type { Bytes } from '../../core/bytes.js';
import type { RpcCode } from '../errors.js';
import type { CodecName, Metadata } from '../types.js';
import { CODE, CODEC_NUMBER, COMMAND, type Frame, readCredit } from './frame.js';
import { CALL_TYPE, type RequestHeader, readRequestHeader } from './request-header.js';
import { isPlainSuccess, readResponseError } from './response-header.js';

export type FrameKind =
  | 'heartbeat'
  | 'heartbeat answer'
  | 'request'
  | 'answer'
  | 'item'
  | 'end'
  | 'cancel'
  | 'credit'
  | 'goaway';

const KINDS: Readonly<Record<number, FrameKind>> = {
  [COMMAND.heartbeat]: 'heartbeat',
  [COMMAND.heartbeatAnswer]: 'heartbeat answer',
  [COMMAND.request]: 'request',
  [COMMAND.response]: 'answer',
  [COMMAND.item]: 'item',
  [COMMAND.end]: 'end',
  [COMMAND.cancel]: 'cancel',
  [COMMAND.credit]: 'credit',
  [COMMAND.goaway]: 'goaway',
};

/** The call types of calls whose caller gets no value. */
const CALL_KINDS: Readonly<Record<number, 'oneway' | 'noReply'>> = {
  [CALL_TYPE.oneWay]: 'oneway',
  [CALL_TYPE.twoWayNoReply]: 'noReply',
};

/** The outcome of a call, as an answer or the end of the replies says it. */
export interface FrameStatus {
  readonly code: RpcCode | 'OK';
  /** Empty for OK. */
  readonly message: string;
  readonly metadata: Metadata | undefined;
}

export interface FrameDescription {
  readonly kind: FrameKind;
  readonly sequenceLow: number;
  readonly sequenceHigh: number;
  readonly serviceId: number;
  /** Undefined for frames without sections. */
  readonly codec: CodecName | undefined;
  /** Of a request. Undefined if `isInvalid`. */
  readonly request: RequestHeader | undefined;
  /** Of a request. Undefined: the caller waits for a value. */
  readonly callKind: 'oneway' | 'noReply' | undefined;
  /** Of an answer, and of the end of the replies. Undefined if `isInvalid`. */
  readonly status: FrameStatus | undefined;
  /** The rpc header is none of its codec. */
  readonly isInvalid: boolean;
  /** The bytes that a credit grants. */
  readonly credit: number | undefined;
  /** Bytes of the whole frame. */
  readonly size: number;
  /** A view. Of a frame that a FrameScanner has cut: the beginning of the body. */
  readonly body: Bytes;
  /** Bytes of the whole body. */
  readonly bodyBytes: number;
}

/** Describes a frame that was read. Does not throw. */
export function describeFrame(frame: Frame): FrameDescription {
  const { command, sequenceLow, sequenceHigh, serviceId, size, bytes } = frame;
  const hasSections = command >= COMMAND.request && command <= COMMAND.end;
  const request = command === COMMAND.request ? requestOf(frame) : undefined;
  const hasStatus =
    command === COMMAND.response ||
    // The end of the caller's stream has no status.
    (command === COMMAND.end && frame.headerEnd > frame.headerStart);
  const status = hasStatus ? statusOf(frame) : undefined;
  const body = bytes.subarray(frame.bodyStart, hasSections ? frame.bodyEnd : frame.bodyStart);
  return {
    kind: KINDS[command] as FrameKind,
    sequenceLow,
    sequenceHigh,
    serviceId,
    codec: hasSections ? codecOf(frame) : undefined,
    request,
    callKind: request && CALL_KINDS[request.callType],
    status,
    isInvalid:
      (command === COMMAND.request && request === undefined) || (hasStatus && status === undefined),
    credit: command === COMMAND.credit ? readCredit(frame) : undefined,
    size,
    body,
    bodyBytes: body.length,
  };
}

/** The low half of a sequence: eight hex digits, equal in all frames of a call. */
export function shortSequence({ sequenceLow }: Pick<FrameDescription, 'sequenceLow'>): string {
  return (sequenceLow >>> 0).toString(16).padStart(8, '0');
}

/** The sequence as text: whole in decimal, as Go logs it, and short. */
export function describedSequence(
  described: Pick<FrameDescription, 'sequenceLow' | 'sequenceHigh'>,
): { readonly sequence: string; readonly shortSequence: string } {
  const { sequenceLow, sequenceHigh } = described;
  const whole = (BigInt(sequenceHigh >>> 0) << 32n) | BigInt(sequenceLow >>> 0);
  return { sequence: whole.toString(), shortSequence: shortSequence(described) };
}

const codecOf = ({ codec }: Frame): CodecName =>
  codec === CODEC_NUMBER.json ? 'json' : 'protobuf';

function requestOf(frame: Frame): RequestHeader | undefined {
  try {
    return readRequestHeader(codecOf(frame), frame.bytes, frame.headerStart, frame.headerEnd);
  } catch {
    return undefined;
  }
}

const SUCCESS: FrameStatus = { code: 'OK', message: '', metadata: undefined };

function statusOf(frame: Frame): FrameStatus | undefined {
  const { code, bytes, headerStart, headerEnd } = frame;
  const codec = codecOf(frame);
  if (code === CODE.ok && isPlainSuccess(codec, headerEnd - headerStart)) return SUCCESS;
  try {
    const error = readResponseError(codec, bytes, headerStart, headerEnd);
    const { message, metadata } = error;
    return { code: code === CODE.ok && message === '' ? 'OK' : error.code, message, metadata };
  } catch {
    return undefined;
  }
}
