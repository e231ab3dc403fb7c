/** A call as its caller makes it. */
import { checkNumber } from '../options.js';
import { checkMetadata, NO_METADATA } from './metadata.js';
import type { Call, CallOptions, CodecName, Metadata, Method } from './types.js';

/** What travels as a uint32 of milliseconds. */
const LONGEST_TIMEOUT = 0xffff_ffff;

export class ClientCall implements Call {
  readonly method: Method;
  readonly input: unknown;
  readonly codec: CodecName;
  readonly timeout: number | undefined;
  readonly metadata: Metadata;
  readonly signal: AbortSignal | undefined;

  constructor(method: Method, input: unknown, codec: CodecName, timeout: number | undefined, metadata: Metadata, signal: AbortSignal | undefined) {
    this.method = method;
    this.input = input;
    this.codec = codec;
    this.timeout = timeout;
    this.metadata = metadata;
    this.signal = signal;
  }

  /** Throws BAD_OPTION. */
  static make(method: Method, input: unknown, codec: CodecName, defaultTimeout: number, options: CallOptions | undefined): ClientCall {
    if (options === undefined) return new ClientCall(method, input, codec, method.timeout ?? defaultTimeout, NO_METADATA, undefined);
    const { timeout, metadata, signal } = options;
    return new ClientCall(
      method,
      input,
      codec,
      timeout === undefined ? (method.timeout ?? defaultTimeout) : checkTimeout(timeout),
      metadata === undefined ? NO_METADATA : checkMetadata(metadata),
      signal,
    );
  }

  with(changes: { input?: unknown; timeout?: number; metadata?: Metadata; signal?: AbortSignal }): ClientCall {
    return new ClientCall(
      this.method,
      'input' in changes ? changes.input : this.input,
      this.codec,
      changes.timeout === undefined ? this.timeout : checkTimeout(changes.timeout),
      changes.metadata ?? this.metadata,
      changes.signal ?? this.signal,
    );
  }
}

/** Whole milliseconds; Infinity is no deadline. Throws BAD_OPTION. */
export function checkTimeout(timeout: number): number | undefined {
  checkNumber('timeout', timeout, 1, Number.POSITIVE_INFINITY);
  return timeout > LONGEST_TIMEOUT ? undefined : Math.ceil(timeout);
}
