/** Frames as text, for a reader who follows the bytes between two peers. */
import type { Bytes } from '../../core/bytes.js';
import { ByteReader } from '../../transport/buffers/byte-reader.js';
import { COMMAND, FRAME_HEADER_BYTES, Frame, MAGIC, readFrame } from './frame.js';
import { describeFrame, type FrameDescription, shortSequence } from './frame-description.js';

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
      if (at >= start) summaries.push(summarize(describeFrame(frame)));
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

function summarize(described: FrameDescription): string {
  const { kind, request, status, credit, isInvalid } = described;
  if (kind === 'goaway') return kind;
  const text = `${kind} ${shortSequence(described)}`;
  if (isInvalid) return `${text} with an invalid header`;
  if (request !== undefined) return `${text} ${request.service}.${request.method}`;
  if (status !== undefined) return `${text} ${status.code === 'OK' ? 'ok' : status.code}`;
  return credit === undefined ? text : `${text} ${credit} bytes`;
}
