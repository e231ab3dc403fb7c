/**
 * How a WebSocket is closed (RFC 6455, section 7.4): the codes that may be sent, the options of
 * close(), and the error of a peer's close.
 */

import { encode } from '../core/bytes.js';
import { GettyError } from '../core/errors.js';
import { badOption, checkNames, type NamesOf } from '../core/options.js';
import type { CloseOptions } from './types.js';

export const NORMAL_CLOSE = 1000;
const NAMES = { code: true, reason: true } satisfies NamesOf<CloseOptions>;
/** A close frame holds 125 bytes, of which the code takes two. */
const MAX_REASON_BYTES = 123;

/** Whether a close frame may hold `code`. */
export function isCloseCode(code: number): boolean {
  if (code >= 3000) return code < 5000;
  return code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006;
}

/** Throws BAD_OPTION. */
export function checkCloseOptions(options: CloseOptions): void {
  if (typeof options !== 'object' || options === null)
    throw badOption('close()', options, 'an object with code and reason');
  checkNames('close()', options, NAMES);
  const { code = NORMAL_CLOSE, reason = '' } = options;
  if (!Number.isInteger(code) || !isCloseCode(code))
    throw badOption('code', code, '1000 to 1003, 1007 to 1014, or 3000 to 4999');
  if (typeof reason !== 'string' || encode(reason).length > MAX_REASON_BYTES)
    throw badOption('reason', reason, `a text of at most ${MAX_REASON_BYTES} bytes in UTF-8`);
}

/** CONNECTION_LOST: the peer closed a WebSocket with a code that says that something went wrong. */
export class CloseError extends GettyError {
  /** The code that the peer sent. */
  readonly closeCode: number;
  /** The reason that the peer sent; empty when it sent none. */
  readonly closeReason: string;

  constructor(message: string, closeCode: number, closeReason: string) {
    super('CONNECTION_LOST', message);
    this.name = 'CloseError';
    this.closeCode = closeCode;
    this.closeReason = closeReason;
  }
}
