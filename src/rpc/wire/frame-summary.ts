/** Frames as text, for a reader who follows the bytes between two peers. */
import type { Bytes } from '../../core/bytes.js';
import { ByteReader } from '../../transport/buffers/byte-reader.js';
import type { CodecName } from '../types.js';
import {
  CODE,
  CODEC_NUMBER,
  COMMAND,
  FRAME_HEADER_BYTES,
  Frame,
  MAGIC,
  readCredit,
  readFrame,
} from './frame.js';
import { readRequestHeader } from './request-header.js';
import { isPlainSuccess, readResponseError } from './response-header.js';

/**
 * Describes the frames that begin at `start` or later and before `end`, such as
 * `request 2c8e01f5 Greeter.hello` and `answer 2c8e01f5 ok`. The hex digits are the low half of the
 * sequence, equal in all frames of a call. If `bytes` does not begin with a frame, the list is
 * empty. It ends before a frame that is not complete. Does not throw.
 */
export function summarizeFrames(bytes: Bytes, start = 0, end = bytes.length): string[] {
  const input = new ByteReader();
  input.feed(bytes);
  const frame = new Frame();
  const summaries: string[] = [];
  try {
    for (;;) {
      const at = bytes.length - input.length;
      if (at >= end || !readFrame(input, frame, bytes.length)) return summaries;
      if (at >= start) summaries.push(summarize(frame));
    }
  } catch {
    return summaries;
  }
}

/** Whether `bytes` from `start` up to `end` are one heartbeat, or the answer to one. */
export function isHeartbeat(bytes: Bytes, start: number, end: number): boolean {
  if (end - start < FRAME_HEADER_BYTES) return false;
  const view = new DataView(bytes.buffer, bytes.byteOffset + start, end - start);
  if (view.getUint32(0, true) !== MAGIC) return false;
  const command = view.getInt16(4, true);
  const size = FRAME_HEADER_BYTES + view.getInt32(28, true);
  return (
    size === end - start && (command === COMMAND.heartbeat || command === COMMAND.heartbeatAnswer)
  );
}

function summarize(frame: Frame): string {
  const { command } = frame;
  const sequence = (frame.sequenceLow >>> 0).toString(16).padStart(8, '0');
  if (command === COMMAND.request) return `request ${sequence} ${methodOf(frame)}`;
  if (command === COMMAND.response) return `answer ${sequence} ${statusOf(frame)}`;
  if (command === COMMAND.item) return `item ${sequence}`;
  // The end of the caller's stream has no status.
  if (command === COMMAND.end) {
    const hasStatus = frame.headerEnd > frame.headerStart;
    return hasStatus ? `end ${sequence} ${statusOf(frame)}` : `end ${sequence}`;
  }
  if (command === COMMAND.cancel) return `cancel ${sequence}`;
  if (command === COMMAND.credit) return `credit ${sequence} ${readCredit(frame)} bytes`;
  if (command === COMMAND.goaway) return 'goaway';
  return command === COMMAND.heartbeat ? `heartbeat ${sequence}` : `heartbeat answer ${sequence}`;
}

const codecOf = ({ codec }: Frame): CodecName =>
  codec === CODEC_NUMBER.json ? 'json' : 'protobuf';

function methodOf(frame: Frame): string {
  try {
    const { service, method } = readRequestHeader(
      codecOf(frame),
      frame.bytes,
      frame.headerStart,
      frame.headerEnd,
    );
    return `${service}.${method}`;
  } catch {
    return 'with an invalid header';
  }
}

/** `ok`, or the code of the error. */
function statusOf(frame: Frame): string {
  const { code, bytes, headerStart, headerEnd } = frame;
  const codec = codecOf(frame);
  if (code === CODE.ok && isPlainSuccess(codec, headerEnd - headerStart)) return 'ok';
  try {
    const error = readResponseError(codec, bytes, headerStart, headerEnd);
    return code === CODE.ok && error.message === '' ? 'ok' : error.code;
  } catch {
    return 'with an invalid header';
  }
}
