/** The limits of the requests of one session that are handled at the same time. */
import { jsonCounts, scanJson } from '../../transport/codecs/json-text.js';
import { decoded, UNKNOWN } from '../codecs/decoded.js';
import { RpcError, type RpcErrorDetail } from '../errors.js';
import type { CodecName, Metadata } from '../types.js';
import type { Frame } from '../wire/frame.js';
import type { RunningHandlers } from './running-handlers.js';

/**
 * Bytes of memory that V8 takes at most for one counted object, such as half of an empty array or a
 * short string with its slot.
 */
const OBJECT_BYTES = 64;

/** The call did not run: another node, or a later attempt, may accept it. */
export const REFUSED: RpcErrorDetail = { reason: 'refused', unsent: true };

export interface RequestLimitsSetup {
  readonly maxPendingCalls: number;
  /** Bytes. */
  readonly maxPendingBytes: number;
  readonly maxStreams: number;
}

export class RequestLimits {
  readonly #setup: RequestLimitsSetup;
  readonly #handlers: RunningHandlers;
  /** Half of maxPendingBytes. An integer, because V8 boxes doubles that are passed on. */
  readonly #halfPendingBytes: number;

  constructor(setup: RequestLimitsSetup, handlers: RunningHandlers) {
    this.#setup = setup;
    this.#handlers = handlers;
    this.#halfPendingBytes = Math.floor(
      Math.min(setup.maxPendingBytes, Number.MAX_SAFE_INTEGER) / 2,
    );
  }

  /** Throws RESOURCE_EXHAUSTED when another call of `bytes` would exceed a limit. */
  check(bytes: number): void {
    const { calls } = this.#handlers;
    const { maxPendingCalls } = this.#setup;
    if (calls >= maxPendingCalls)
      throw exhaustedError(`${calls} calls`, `maxPendingCalls is ${maxPendingCalls}`);
    this.checkBytes(bytes);
  }

  /**
   * As check(), for the bytes alone. If no other call is being handled, a call of any size is
   * accepted.
   */
  checkBytes(bytes: number): void {
    const held = this.#handlers.bytes;
    const { maxPendingBytes } = this.#setup;
    if (held + bytes > maxPendingBytes && held > 0)
      throw exhaustedError(
        `a request that counts ${bytes} bytes has arrived while ${held} bytes of requests`,
        `maxPendingBytes is ${maxPendingBytes}`,
      );
  }

  /** Throws RESOURCE_EXHAUSTED when another stream would exceed maxStreams. */
  checkStreams(): void {
    const { streams } = this.#handlers;
    const { maxStreams } = this.#setup;
    if (streams >= maxStreams)
      throw new RpcError(
        'RESOURCE_EXHAUSTED',
        `${streams} streams of this session are in flight; maxStreams is ${maxStreams}`,
        REFUSED,
      );
  }

  /**
   * Bytes that the objects of a decoded argument count in addition to the bytes of the frame. JSON
   * is scanned only when the upper bound by its length exceeds the free half of the limit: a scan
   * takes time in each call.
   */
  objectBytesOf(frame: Frame, codec: CodecName): number {
    if (decoded.objects !== UNKNOWN) return Math.ceil(decoded.objects) * OBJECT_BYTES;
    // Classes and codecs of the user do not count their objects.
    if (codec !== 'json') return 0;
    // Each value and each name takes at least one byte.
    const most = (frame.bodyEnd - frame.bodyStart) * OBJECT_BYTES;
    if (most <= this.#halfPendingBytes - this.#handlers.bytes) return most;
    try {
      scanJson(frame.bytes, frame.bodyStart, frame.bodyEnd, Number.POSITIVE_INFINITY);
    } catch {
      // A codec of the user has accepted text that is not JSON.
      return most;
    }
    return jsonCounts.values * OBJECT_BYTES;
  }
}

/** Bytes of a request without the objects of its argument. */
export function headerBytesOf(frame: Frame, metadata: Metadata | undefined): number {
  let bytes = frame.size;
  // Two objects: the key and its text.
  if (metadata !== undefined) for (const _ in metadata) bytes += 2 * OBJECT_BYTES;
  return bytes;
}

function exhaustedError(what: string, limit: string): RpcError {
  return new RpcError(
    'RESOURCE_EXHAUSTED',
    `${what} of this session are being handled; ${limit}`,
    REFUSED,
  );
}
