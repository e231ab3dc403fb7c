/**
 * The close codes of a WebSocket (RFC 6455, section 7.4, and IANA's registry of close codes), the
 * options of close(), and the error of a close by the peer.
 */

import { encode } from '../core/bytes.js';
import { GettyError } from '../core/errors.js';
import { badOption, checkNames, type NamesOf } from '../core/options.js';
import type { CloseOptions } from './types.js';

export const NORMAL_CLOSE = 1000;
const OPTION_NAMES = { code: true, reason: true } satisfies NamesOf<CloseOptions>;
/** A close frame has at most 125 bytes; the code takes two of them. */
const MAX_REASON_BYTES = 123;

/**
 * Whether a close frame may contain `code`. 1004 is reserved. 1005 and 1006 stand for a missing
 * code and a missing close frame. 1012 to 1014 are in IANA's registry only.
 */
export function isCloseCode(code: number): boolean {
  if (code >= 3000) return code < 5000;
  return code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006;
}

/** Throws BAD_OPTION. */
export function checkCloseOptions(options: CloseOptions): void {
  checkNames('close()', options, OPTION_NAMES);
  const { code = NORMAL_CLOSE, reason = '' } = options;
  if (!Number.isInteger(code) || !isCloseCode(code))
    throw badOption('code', code, '1000 to 1003, 1007 to 1014, or 3000 to 4999');
  if (typeof reason !== 'string' || encode(reason).length > MAX_REASON_BYTES)
    throw badOption('reason', reason, `a text of at most ${MAX_REASON_BYTES} bytes in UTF-8`);
}

/**
 * The error that onError receives when the peer closes a WebSocket with another close code than
 * 1000 or 1001. Its `code` is CONNECTION_LOST.
 */
export class CloseError extends GettyError {
  /** The close code that the peer sent. */
  readonly closeCode: number;
  /** The reason that the peer sent: untrusted text. Empty if it sent none. */
  readonly closeReason: string;

  constructor(message: string, closeCode: number, closeReason: string) {
    super('CONNECTION_LOST', message);
    this.name = 'CloseError';
    this.closeCode = closeCode;
    this.closeReason = closeReason;
  }
}
