/**
 * What a FrameParser returns: a message, a control frame, or that it has read fragments. The bytes
 * belong to the receiver.
 */
import { isUtf8 } from 'node:buffer';
import { isCloseCode, NORMAL_CLOSE } from '../../close-code.js';
import { CLOSE_CODE, FrameError, protocolError } from './frame-error.js';
import { OPCODE } from './frame-header.js';

/** The message is at `start` to `end` of `bytes`: a view would cost more than parsing its frame. */
export interface ReceivedMessage {
  readonly type: 'message';
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
  /** True: a text message. False: a binary message. */
  readonly isText: boolean;
}

export interface ReceivedPing {
  readonly type: 'ping' | 'pong';
  readonly bytes: Buffer;
}

export interface ReceivedClose {
  readonly type: 'close';
  /** Undefined: the close frame has no code. */
  readonly code: number | undefined;
  readonly reason: string;
}

/** The event of so many fragments of a message. A chunk may have very many. */
export const FRAGMENTS_AT_ONCE = 64;

/** A part of a message has been read, in FRAGMENTS_AT_ONCE fragments. More may follow. */
export interface ReceivedFragments {
  readonly type: 'fragments';
}

export const FRAGMENTS: ReceivedFragments = { type: 'fragments' };

export type FrameEvent = ReceivedMessage | ReceivedPing | ReceivedClose | ReceivedFragments;

/**
 * The payload of the normal close of Go's getty up to version 1.3. Its first two bytes, where RFC
 * 6455 has the close code, are 25209.
 */
const GO_CLOSE = Buffer.from('bye-bye!!!!');

export function messageEvent(bytes: Buffer, isText: boolean): ReceivedMessage {
  return { type: 'message', bytes, start: 0, end: bytes.length, isText };
}

/** The event of a control frame. Throws FrameError: the payload of a close frame is invalid. */
export function controlEvent(opcode: number, payload: Buffer): ReceivedPing | ReceivedClose {
  if (opcode !== OPCODE.close)
    return { type: opcode === OPCODE.ping ? 'ping' : 'pong', bytes: payload };
  if (payload.length === 0) return { type: 'close', code: undefined, reason: '' };
  if (payload.length === 1) throw protocolError('a close frame has half a close code');
  if (payload.equals(GO_CLOSE)) return { type: 'close', code: NORMAL_CLOSE, reason: '' };
  const code = payload.readUInt16BE(0);
  if (!isCloseCode(code)) throw protocolError(`close code ${code} must not be sent`);
  const reason = payload.subarray(2);
  if (!isUtf8(reason)) throw new FrameError(CLOSE_CODE.invalidData, 'a close reason is not UTF-8');
  return { type: 'close', code, reason: reason.toString() };
}
