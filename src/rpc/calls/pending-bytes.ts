/** What a request counts as against `maxPendingBytes`. */
import { counted, scanJson } from '../../transport/json-text.js';
import { decoded, UNKNOWN } from '../codecs/decoded.js';
import type { CodecName, Metadata } from '../types.js';
import type { Frame } from '../wire/frame.js';

/**
 * Bytes of memory that V8 takes at most for what counts as one object: for instance half of an
 * empty array, or a short text, with its slot.
 */
const OBJECT_BYTES = 64;

/** Bytes of a request without its argument. */
export function headerBytesOf(frame: Frame, metadata: Metadata | undefined): number {
  let bytes = frame.size;
  // A key and its text.
  if (metadata !== undefined) for (const _ in metadata) bytes += 2 * OBJECT_BYTES;
  return bytes;
}

/**
 * Bytes of the argument beyond those that came, for the objects that were just made of it. JSON is
 * only scanned when the most that its length allows is more than `unscanned`, because a scan takes
 * time in each call.
 */
export function objectBytesOf(frame: Frame, codec: CodecName, unscanned: number): number {
  if (decoded.objects !== UNKNOWN) return Math.ceil(decoded.objects) * OBJECT_BYTES;
  // Classes and codecs of the user's own do not tell what they have made.
  if (codec !== 'json') return 0;
  // Each value and each name takes at least one byte.
  const most = (frame.bodyEnd - frame.bodyStart) * OBJECT_BYTES;
  if (most <= unscanned) return most;
  try {
    scanJson(frame.bytes, frame.bodyStart, frame.bodyEnd, Number.POSITIVE_INFINITY);
  } catch {
    // A codec of the user's own has read what is no JSON.
    return most;
  }
  return counted.values * OBJECT_BYTES;
}
