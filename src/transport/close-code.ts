/**
 * The close codes of a WebSocket (RFC 6455, section 7.4, and IANA's registry of close codes), the
 * options of close(), and the error of a close by the peer.
 */

import { encode } from '../core/bytes.js';
import { GettyError } from '../core/errors.js';
import { badOption, checkNames, type NamesOf } from '../core/options.js';
import type { CloseOptions } from './types.js';

export const NORMAL_CLOSE = 1000;
/** The server closes, or the page is left. */
export const GOING_AWAY = 1001;
/** A message or its text is not what the receiver expects. */
export const INVALID_DATA = 1007;
/** The code for which no other one is better. */
const POLICY_VIOLATION = 1008;
export const TOO_LARGE = 1009;

/** The close codes of the errors with which a session ends because of its peer. */
const CLOSE_CODES: Readonly<Partial<Record<GettyError['code'], number>>> = {
  BAD_FRAME: INVALID_DATA,
  MESSAGE_TOO_LARGE: TOO_LARGE,
  SESSION_REFUSED: POLICY_VIOLATION,
  RATE_EXCEEDED: POLICY_VIOLATION,
  IDLE_TIMEOUT: POLICY_VIOLATION,
  MESSAGE_TIMEOUT: POLICY_VIOLATION,
};

/**
 * The close code that tells the peer why a session ends with an error of `code`. Undefined: the
 * peer has not caused it, and is not told.
 */
export function closeCodeOf(code: GettyError['code']): number | undefined {
  return CLOSE_CODES[code];
}

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

/** Whether a close with this code is no failure. Undefined: the close frame has no code. */
export function isOrderlyClose(code: number | undefined): boolean {
  return code === undefined || code === NORMAL_CLOSE || code === GOING_AWAY;
}

/** The close of a peer, as words that follow its address. `reason`: untrusted text. */
export function describeClose(code: number | undefined, reason: string): string {
  return `closed with code ${code}${reason === '' ? '' : `: ${JSON.stringify(reason)}`}`;
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
