/** The part of the browser's WebSocket class that this package uses, and its close codes. */
import { describeClose, isOrderlyClose } from '../transport/close-code.js';

export interface BrowserSocket {
  binaryType: string;
  readonly bufferedAmount: number;
  readonly protocol: string;
  readonly readyState: number;
  onopen: (() => void) | null;
  onmessage: ((event: { readonly data: unknown }) => void) | null;
  onerror: (() => void) | null;
  onclose: ((event: SocketCloseEvent) => void) | null;
  send(data: Uint8Array | string): void;
  close(code?: number, reason?: string): void;
}

export interface SocketCloseEvent {
  readonly code: number;
  readonly reason: string;
  readonly wasClean: boolean;
}

export type BrowserSocketClass = new (url: string, protocols: string[]) => BrowserSocket;

/** The `readyState` of an open socket. */
export const OPEN = 1;

// Close codes, RFC 6455, section 7.4.1.
/** A browser reports it for a close frame without a code. No close frame contains it. */
export const NO_STATUS = 1005;
/** A browser reports it when no close frame arrived. No close frame contains it. */
export const ABNORMAL_CLOSE = 1006;

export function isOrderlySocketClose(code: number): boolean {
  return code === NO_STATUS || isOrderlyClose(code);
}

/** The end of a connection as words that follow `the connection`. */
export function describeSocketClose(code: number, reason: string): string {
  if (code === ABNORMAL_CLOSE) return 'failed; a browser does not report the reason';
  return describeClose(code, reason);
}
