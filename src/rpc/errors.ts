/** Errors of calls: the canonical gRPC codes, the same on both sides of the wire. */

import { GettyError, isInstance, messageOf, RPC_CODES, type RpcCode } from '../core/errors.js';
import { badOption } from '../core/options.js';
import { setKey } from '../core/records.js';
import { checkMetadata, NO_METADATA } from './codecs/metadata.js';
import type { Metadata } from './codecs/types.js';

export type { RpcCode };

export function isRpcCode(value: unknown): value is RpcCode {
  return RPC_CODES.includes(value as RpcCode);
}

/** The number that travels for a code. */
export function codeNumber(code: RpcCode): number {
  return RPC_CODES.indexOf(code) + 1;
}

/** The code of a number that came; UNKNOWN for one that is not in the list. */
export function codeOfNumber(number: number): RpcCode {
  return RPC_CODES[number - 1] ?? 'UNKNOWN';
}

/**
 * More than the code says of why a call failed. `refused`: the peer did not begin it (too many
 * calls, a rate limit, no such method). `not-served`: the peer does not have the service or
 * version. `moving`: the server closes; another one, or the same after its restart, takes the call.
 */
export type RpcReason = 'refused' | 'not-served' | 'moving';

const REASONS: readonly RpcReason[] = ['refused', 'not-served', 'moving'];

/** What came as a reason; undefined for what is none. */
export function reasonOf(value: unknown): RpcReason | undefined {
  return REASONS.find((reason) => reason === value);
}

export interface RpcErrorDetail {
  metadata?: Metadata | undefined;
  /** Bytes of the application's own. */
  details?: Uint8Array | undefined;
  cause?: unknown;
  /** True: no byte of the call left this process, or the peer said that it did not begin. */
  unsent?: boolean | undefined;
  /** Travels to the caller: `moving` always, the others only where the handler did not run. */
  reason?: RpcReason | undefined;
}

/**
 * The error of a call. Throw it in a handler, and the caller gets the same code, message, metadata
 * and details.
 */
export class RpcError extends GettyError {
  declare readonly code: RpcCode;
  readonly metadata: Metadata;
  readonly details: Uint8Array | undefined;
  /** True: the call certainly did not run, so trying it again is safe. */
  readonly unsent: boolean;
  /** Undefined where the code says all. */
  readonly reason: RpcReason | undefined;

  /**
   * Throws BAD_OPTION for metadata that is no object of strings, and for details that are no
   * Uint8Array.
   */
  constructor(
    code: RpcCode,
    message: string,
    { metadata = NO_METADATA, details, cause, unsent = false, reason }: RpcErrorDetail = {},
  ) {
    super(code, message, cause);
    this.name = 'RpcError';
    if (details !== undefined && !isBytes(details))
      throw badOption('details', details, 'a Uint8Array');
    this.metadata = checkMetadata(metadata);
    this.details = details;
    this.unsent = unsent;
    this.reason = reason;
  }

  /**
   * An RpcError as it is, and one of another copy of this package with its code, metadata and
   * details. Anything else that was thrown becomes UNKNOWN with its message, and is the cause.
   * Never throws.
   */
  static from(thrown: unknown): RpcError {
    return rpcErrorOf(thrown) ?? new RpcError('UNKNOWN', messageOf(thrown), { cause: thrown });
  }
}

/** A Uint8Array of another realm (a vm, a test runner) counts. */
function isBytes(value: unknown): value is Uint8Array {
  return (
    value instanceof Uint8Array || Object.prototype.toString.call(value) === '[object Uint8Array]'
  );
}

/**
 * Marks the RpcErrors of every copy of this package: another version, a bundle, the module registry
 * of a test runner.
 */
const BRAND = Symbol.for('getty.RpcError');
Object.defineProperty(RpcError.prototype, BRAND, { value: true });

/**
 * An RpcError of this copy of the package as it is, and one of another copy as one of this. One
 * whose fields were changed to what the constructor refuses becomes one without them. Undefined for
 * anything else. Never throws.
 */
export function rpcErrorOf(thrown: unknown): RpcError | undefined {
  if (typeof thrown !== 'object' || thrown === null) return undefined;
  try {
    if (isInstance(thrown, RpcError) && isIntact(thrown)) return thrown;
    if (Reflect.get(thrown, BRAND) !== true) return undefined;
    const { code, metadata, details, unsent, reason } = thrown as RpcError;
    if (!isRpcCode(code)) return undefined;
    return new RpcError(code, messageOf(thrown), {
      metadata: stringsOf(metadata),
      details: ArrayBuffer.isView(details)
        ? new Uint8Array(details.buffer, details.byteOffset, details.byteLength)
        : undefined,
      cause: thrown,
      unsent: unsent === true,
      reason: reasonOf(reason),
    });
  } catch {
    return undefined;
  }
}

/**
 * Fields of an error can be set from outside, for instance by Object.assign() with what a stranger
 * sent.
 */
function isIntact({ code, message, metadata, details, unsent, reason }: RpcError): boolean {
  if (typeof message !== 'string' || !isRpcCode(code) || typeof unsent !== 'boolean') return false;
  if ((details !== undefined && !isBytes(details)) || reasonOf(reason) !== reason) return false;
  if (metadata === NO_METADATA) return true;
  if (typeof metadata !== 'object' || metadata === null || Symbol.iterator in metadata)
    return false;
  return Object.values(metadata).every((value) => typeof value === 'string');
}

function stringsOf(metadata: unknown): Metadata {
  if (typeof metadata !== 'object' || metadata === null) return NO_METADATA;
  const entries = Object.entries(metadata).filter(([, value]) => typeof value === 'string');
  if (entries.length === 0) return NO_METADATA;
  const strings: Record<string, string> = Object.create(null);
  for (const [key, value] of entries) setKey(strings, key, value);
  return strings;
}
