/** Errors of calls: the canonical gRPC codes, the same on both sides of the wire. */
import { GettyError, messageOf } from '../core/errors.js';
import { NO_METADATA } from './metadata.js';
import type { Metadata } from './types.js';

/** The canonical names in the order of their numbers (https://grpc.io/docs/guides/status-codes/). */
const NAMES = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
] as const;

export type RpcCode = Exclude<(typeof NAMES)[number], 'OK'>;

export function isRpcCode(value: unknown): value is RpcCode {
  return value !== 'OK' && NAMES.includes(value as RpcCode);
}

/** The number that travels for a code. */
export function codeNumber(code: RpcCode): number {
  return NAMES.indexOf(code);
}

/** The code of a number that came; UNKNOWN for one that is not in the list. */
export function codeOfNumber(number: number): RpcCode {
  const name = NAMES[number];
  return name === undefined || name === 'OK' ? 'UNKNOWN' : name;
}

export interface RpcErrorDetail {
  metadata?: Metadata;
  /** Bytes of the application's own. */
  details?: Uint8Array;
  cause?: unknown;
  /** True: no byte of the call left this process, or the peer said that it did not begin. */
  unsent?: boolean;
}

/** The error of a call. Throw it in a handler, and the caller gets the same code, message, metadata and details. */
export class RpcError extends GettyError {
  declare readonly code: RpcCode;
  readonly metadata: Metadata;
  readonly details: Uint8Array | undefined;
  /** True: the call certainly did not run, so trying it again is safe. */
  readonly unsent: boolean;

  constructor(code: RpcCode, message: string, { metadata = NO_METADATA, details, cause, unsent = false }: RpcErrorDetail = {}) {
    super(code, message, cause);
    this.name = 'RpcError';
    this.metadata = metadata;
    this.details = details;
    this.unsent = unsent;
  }

  /** An RpcError as it is; anything else that was thrown becomes UNKNOWN with its message, and is the cause. */
  static from(thrown: unknown): RpcError {
    return thrown instanceof RpcError ? thrown : new RpcError('UNKNOWN', messageOf(thrown), { cause: thrown });
  }
}
