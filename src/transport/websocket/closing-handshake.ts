import { CloseError, NORMAL_CLOSE } from '../close-code.js';
import type { ReceivedClose } from './frames/frame-event.js';

const GOING_AWAY = 1001;

/** The close frames of both ends of a connection (RFC 6455, section 7.1). */
export class ClosingHandshake {
  isSent = false;
  isReceived = false;
  /** The code of the peer. Undefined: it has sent no close frame, or one without a code. */
  code: number | undefined;
  /** The reason of the peer. Undefined: it has sent no close frame. */
  reason: string | undefined;

  get isComplete(): boolean {
    return this.isSent && this.isReceived;
  }

  /** Notes the close frame of the peer. Returns an error if its code means a failure. */
  receive({ code, reason }: ReceivedClose, remoteAddress: string): CloseError | undefined {
    this.isReceived = true;
    this.code = code;
    this.reason = reason;
    if (code === undefined || code === NORMAL_CLOSE || code === GOING_AWAY) return undefined;
    const quoted = reason === '' ? '' : `: ${JSON.stringify(reason)}`;
    return new CloseError(`${remoteAddress} closed with code ${code}${quoted}`, code, reason);
  }
}
