/** Errors of calls: the canonical gRPC codes, the same on both sides of the wire. */
import { GettyError, isInstance, messageOf, RPC_CODES, type RpcCode } from '../core/errors.js';
import { badOption } from '../core/options.js';
import { checkMetadata, NO_METADATA } from './metadata.js';
import type { Metadata } from './types.js';

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

export interface RpcErrorDetail {
  metadata?: Metadata | undefined;
  /** Bytes of the application's own. */
  details?: Uint8Array | undefined;
  cause?: unknown;
  /** True: no byte of the call left this process, or the peer said that it did not begin. */
  unsent?: boolean | undefined;
}

/** The error of a call. Throw it in a handler, and the caller gets the same code, message, metadata and details. */
export class RpcError extends GettyError {
  declare readonly code: RpcCode;
  readonly metadata: Metadata;
  readonly details: Uint8Array | undefined;
  /** True: the call certainly did not run, so trying it again is safe. */
  readonly unsent: boolean;

  /** Throws BAD_OPTION for metadata that is no object of strings, and for details that are no Uint8Array. */
  constructor(code: RpcCode, message: string, { metadata = NO_METADATA, details, cause, unsent = false }: RpcErrorDetail = {}) {
    super(code, message, cause);
    this.name = 'RpcError';
    if (details !== undefined && !isBytes(details)) throw badOption('details', details, 'a Uint8Array');
    this.metadata = checkMetadata(metadata);
    this.details = details;
    this.unsent = unsent;
  }

  /** An RpcError as it is; anything else that was thrown becomes UNKNOWN with its message, and is the cause. */
  static from(thrown: unknown): RpcError {
    return isInstance(thrown, RpcError) ? thrown : new RpcError('UNKNOWN', messageOf(thrown), { cause: thrown });
  }
}

/** A Uint8Array of another realm (a vm, a test runner) counts. */
function isBytes(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array || Object.prototype.toString.call(value) === '[object Uint8Array]';
}
