import { type ErrorCode, GettyError } from '../../../core/errors.js';
import { INVALID_DATA, TOO_LARGE } from '../../close-code.js';

/** The close codes of violations (RFC 6455, section 7.4.1). */
export const CLOSE_CODE = {
  protocolError: 1002,
  invalidData: INVALID_DATA,
  tooLarge: TOO_LARGE,
} as const;

/** The peer violated the protocol or exceeded a limit. The close frame contains `closeCode`. */
export class FrameError extends GettyError {
  readonly closeCode: number;

  constructor(closeCode: number, message: string, code: ErrorCode = 'BAD_FRAME', cause?: unknown) {
    super(code, message, cause);
    this.name = 'FrameError';
    this.closeCode = closeCode;
  }
}

export function protocolError(message: string): FrameError {
  return new FrameError(CLOSE_CODE.protocolError, message);
}

export function invalidTextError(): FrameError {
  return new FrameError(CLOSE_CODE.invalidData, 'a text message is not UTF-8');
}

export function messageTooLarge(message: string): FrameError {
  return new FrameError(CLOSE_CODE.tooLarge, message, 'MESSAGE_TOO_LARGE');
}
