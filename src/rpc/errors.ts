/** Errors of calls. Their codes are the canonical codes of gRPC, the same on both sides. */

import { isBytes } from '../core/bytes.js';
import { GettyError, isInstance, messageOf, RPC_CODES, type RpcCode } from '../core/errors.js';
import { badOption, checkObject } from '../core/options.js';
import { setKey } from '../core/records.js';
import { checkMetadata, NO_METADATA } from './codecs/metadata.js';
import type { Metadata } from './codecs/types.js';

export type { RpcCode };

export function isRpcCode(value: unknown): value is RpcCode {
  return RPC_CODES.includes(value as RpcCode);
}

/** The number of a code on the wire. */
export function codeNumber(code: RpcCode): number {
  return RPC_CODES.indexOf(code) + 1;
}

/** The code of a received number; UNKNOWN for a number without a code. */
export function codeOfNumber(number: number): RpcCode {
  return RPC_CODES[number - 1] ?? 'UNKNOWN';
}

/**
 * Why a call failed, where the code does not say it:
 *
 * - `refused`: the peer did not start the call (too many calls, a rate limit, an unknown method)
 * - `not-served`: the peer does not have the service or the version
 * - `moving`: the server is closing; another server, or the same one after its restart, takes the
 *   call
 */
export type RpcReason = 'refused' | 'not-served' | 'moving';

const REASONS: readonly RpcReason[] = ['refused', 'not-served', 'moving'];

/** `value` as a reason, or undefined when it is none. */
export function reasonOf(value: unknown): RpcReason | undefined {
  return REASONS.find((reason) => reason === value);
}

/** The third argument of `new RpcError()`. */
export interface RpcErrorDetail {
  /** Strings that are sent to the caller. Default: none. */
  metadata?: Metadata | undefined;
  /** Bytes that are sent to the caller, in a format of your application. Default: none. */
  details?: Uint8Array | undefined;
  /** The underlying error. It is not sent. Default: none. */
  cause?: unknown;
  /**
   * True when the call certainly did not run: none of its bytes left this process, or the peer
   * refused it before it began. It is not sent. Default: false.
   */
  unsent?: boolean | undefined;
  /**
   * Why the call failed. `moving` is always sent to the caller, the other reasons only when the
   * handler did not run. Default: none.
   */
  reason?: RpcReason | undefined;
  /** The called method, as `Service.method`. It is not sent. Default: none. */
  method?: string | undefined;
}

/**
 * The error of a call. When a handler throws it, the caller receives an RpcError with the same
 * code, message, metadata and details.
 *
 * ```ts
 * throw new RpcError('NOT_FOUND', `no order ${id}`, { metadata: { shop: 'north' } });
 * ```
 */
export class RpcError extends GettyError {
  declare readonly code: RpcCode;
  /** Strings that the handler sent. Without any it is an empty object. It has no prototype. */
  readonly metadata: Metadata;
  /** Bytes that the handler sent. Undefined: none. */
  readonly details: Uint8Array | undefined;
  /** True when the call certainly did not run: a retry is safe for every method. */
  readonly unsent: boolean;
  /** More about the failure. Undefined when the code says it all. */
  readonly reason: RpcReason | undefined;
  /**
   * The method whose call failed, as `Service.method`, at its caller. The stack of the error often
   * has no line of the program that called. Undefined in the errors that a handler makes.
   */
  readonly method: string | undefined;

  /**
   * Throws BAD_OPTION when `code` is no RpcCode, `metadata` is no object of strings, or another
   * option has a wrong type.
   */
  constructor(code: RpcCode, message: string, options: RpcErrorDetail = {}) {
    checkObject('options of RpcError', options);
    const { metadata = NO_METADATA, details, cause, unsent = false, reason, method } = options;
    super(code, message, cause);
    this.name = 'RpcError';
    if (!isRpcCode(code)) throw badOption('code', code, 'an RpcCode');
    if (details !== undefined && !isBytes(details))
      throw badOption('details', details, 'a Uint8Array');
    if (typeof unsent !== 'boolean') throw badOption('unsent', unsent, 'a boolean');
    if (reason !== undefined && !REASONS.includes(reason))
      throw badOption('reason', reason, REASONS.join(', '));
    if (method !== undefined && typeof method !== 'string')
      throw badOption('method', method, 'a string');
    this.metadata = checkMetadata(metadata);
    this.details = details;
    this.unsent = unsent;
    this.reason = reason;
    this.method = method;
  }

  /**
   * Convert anything that was thrown to an RpcError. An RpcError is returned as it is. An RpcError
   * of another copy of this package keeps its code, message, metadata and details. Any other value
   * becomes the cause of UNKNOWN, with its message. Never throws.
   */
  static from(thrown: unknown): RpcError {
    return rpcErrorOf(thrown) ?? new RpcError('UNKNOWN', messageOf(thrown), { cause: thrown });
  }
}

/**
 * `error` with the method of its call: itself, or a copy if a program has frozen it. An error that
 * has a method keeps it.
 */
export function withMethod(
  error: RpcError,
  { service, name }: { readonly service: string; readonly name: string },
): RpcError {
  const method = `${service}.${name}`;
  try {
    if (error.method === undefined) (error as { method: string | undefined }).method = method;
    return error;
  } catch {
    const { code, message, metadata, details, unsent, reason } = error;
    return new RpcError(code, message, { metadata, details, cause: error, unsent, reason, method });
  }
}

/** A copy of `error` with `changes`. The default of `cause` is `error`. */
export function copyError(
  error: RpcError,
  { message = error.message, ...changes }: RpcErrorDetail & { readonly message?: string },
): RpcError {
  const { code, metadata, details, unsent, reason, method } = error;
  return new RpcError(code, message, {
    metadata,
    details,
    cause: error,
    unsent,
    reason,
    method,
    ...changes,
  });
}

/**
 * Marks the RpcErrors of every copy of this package: of another version, in a bundle, or in the
 * module registry of a test runner.
 */
const BRAND = Symbol.for('getty.RpcError');
Object.defineProperty(RpcError.prototype, BRAND, { value: true });

/**
 * An RpcError of this copy of the package as it is; an RpcError of another copy converted to this
 * one; undefined for anything else. Fields with invalid values are dropped. Never throws.
 */
export function rpcErrorOf(thrown: unknown): RpcError | undefined {
  if (typeof thrown !== 'object' || thrown === null) return undefined;
  try {
    if (isInstance(thrown, RpcError) && isIntact(thrown)) return thrown;
    if (Reflect.get(thrown, BRAND) !== true) return undefined;
    const { code, metadata, details, unsent, reason, method } = thrown as RpcError;
    if (!isRpcCode(code)) return undefined;
    return new RpcError(code, messageOf(thrown), {
      metadata: stringsOf(metadata),
      details: ArrayBuffer.isView(details)
        ? new Uint8Array(details.buffer, details.byteOffset, details.byteLength)
        : undefined,
      cause: thrown,
      unsent: unsent === true,
      reason: reasonOf(reason),
      method: typeof method === 'string' ? method : undefined,
    });
  } catch {
    return undefined;
  }
}

const FIELDS: readonly (keyof RpcError)[] = [
  'code',
  'message',
  'metadata',
  'details',
  'unsent',
  'reason',
  'method',
];

/**
 * Whether the fields still have valid values. A program can overwrite them, for example by
 * Object.assign() with data of a peer. A field with a getter could throw, or change, whenever it is
 * read again.
 */
function isIntact(error: RpcError): boolean {
  for (const name of FIELDS) {
    const field = Object.getOwnPropertyDescriptor(error, name);
    if (field === undefined || !('value' in field)) return false;
  }
  const { code, message, metadata, details, unsent, reason, method } = error;
  if (method !== undefined && typeof method !== 'string') return false;
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
