import { CloseError, describeClose, isOrderlyClose } from '../close-code.js';
import type { ReceivedClose } from './frames/frame-event.js';

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
    if (code === undefined || isOrderlyClose(code)) return undefined;
    return new CloseError(`${remoteAddress} ${describeClose(code, reason)}`, code, reason);
  }
}
