/** Frames in hex, and the events that a parser makes of them in words. */
import { expect } from 'vitest';
import { FrameError } from '../../../../src/transport/websocket/frames/frame-error.js';
import type {
  FrameEvent,
  ReceivedMessage,
} from '../../../../src/transport/websocket/frames/frame-event.js';
import {
  FrameParser,
  type FrameRules,
} from '../../../../src/transport/websocket/frames/frame-parser.js';
import { everySplit } from '../../../fixtures/chunks.js';

export const FROM_CLIENT: FrameRules = { isMasked: true, maxMessageBytes: 100_000 };
/** The frames of a server are shorter, so most tests use them. */
export const FROM_SERVER: FrameRules = { isMasked: false, maxMessageBytes: 100_000 };

export type Row = [name: string, bytes: string, events: string[], rules?: FrameRules];
export type ErrorRow = [name: string, bytes: string, rules?: FrameRules];

export const PROTOCOL_ERROR = 'BAD_FRAME 1002';
export const INVALID_DATA = 'BAD_FRAME 1007';
export const TOO_LARGE = 'MESSAGE_TOO_LARGE 1009';
/** The last event if a frame or a message is incomplete. */
export const INCOMPLETE = '...';

export const hex = (text: string): Buffer => Buffer.from(text.replace(/\s/g, ''), 'hex');

export const payloadOf = ({ bytes, start, end }: ReceivedMessage): Buffer =>
  bytes.subarray(start, end);

/** The next event that is a message or a control frame. */
export function nextFrame(parser: FrameParser): FrameEvent | undefined {
  for (;;) {
    const event = parser.next();
    if (event?.type !== 'fragments') return event;
  }
}

/** The events of the chunks in words, with the error that ends them. */
export function parse(chunks: readonly Buffer[], rules: FrameRules): string[] {
  const parser = new FrameParser(rules);
  const events: string[] = [];
  try {
    for (const chunk of chunks) {
      parser.feed(chunk);
      for (let event = parser.next(); event !== undefined; event = parser.next()) {
        if (event.type === 'close') events.push(`close ${event.code} ${event.reason}`.trim());
        else if (event.type === 'message') {
          const bytes = payloadOf(event);
          events.push(
            event.isText ? `text ${bytes}`.trim() : `binary ${bytes.toString('hex')}`.trim(),
          );
        } else if (event.type !== 'fragments') events.push(`${event.type} ${event.bytes}`.trim());
      }
    }
    if (parser.isInMessage) events.push(INCOMPLETE);
  } catch (error) {
    events.push(error instanceof FrameError ? `${error.code} ${error.closeCode}` : String(error));
  }
  return events;
}

/** Expects the events of `bytes`, for all ways to cut them in two, and byte by byte. */
export function expectEvents(bytes: string, events: string[], rules = FROM_SERVER): void {
  const frames = hex(bytes);
  if (frames.length > 1_000) expect(parse([frames], rules)).toEqual(events);
  else for (const chunks of everySplit(frames)) expect(parse(chunks, rules)).toEqual(events);
}
