/** Reads a WebSocket connection: its handshake, then its frames and the messages in them. */
import { messageOf } from '../../core/errors.js';
import { redactUrl } from '../../core/redact.js';
import type { Direction } from '../../testing/proxy/index.js';
import { MessageInflater } from '../../transport/websocket/deflate/message-inflater.js';
import { FrameParser } from '../../transport/websocket/frames/frame-parser.js';
import type { ReportRecord } from './traffic-record.js';

/** The most bytes of the header of the handshake. */
const MAX_HANDSHAKE_BYTES = 16 * 1024;
/** The most bytes of a message, also after decompression. */
const MAX_MESSAGE_BYTES = 1024 * 1024;
/**
 * The most compressed bytes of a message. MessageInflater decompresses a larger one in another
 * thread, so its record would follow those of later messages.
 */
const MAX_COMPRESSED_MESSAGE_BYTES = 64_000;

type FrameEvent = NonNullable<ReturnType<FrameParser['next']>>;
/**
 * Buffers: the bytes of a handshake that is not complete. `waiting`: the client waits for the
 * answer of the server. `over`: nothing more of the direction is decoded. A parser: frames follow.
 */
type State = Buffer[] | 'waiting' | 'over' | FrameParser;

const DIRECTIONS = ['toServer', 'toClient'] as const;

export class WebSocketDecoder {
  readonly #report: ReportRecord;
  readonly #onMessage: (direction: Direction, bytes: Buffer) => void;
  readonly #states: Record<Direction, State> = { toServer: [], toClient: [] };

  constructor(report: ReportRecord, onMessage: (direction: Direction, bytes: Buffer) => void) {
    this.#report = report;
    this.#onMessage = onMessage;
  }

  isInMessage(direction: Direction): boolean {
    const state = this.#states[direction];
    return state instanceof FrameParser && state.isInMessage;
  }

  onBytes(direction: Direction, bytes: Buffer): void {
    const state = this.#states[direction];
    if (Array.isArray(state)) this.#readHandshake(direction, state, bytes);
    else if (state === 'waiting')
      this.#stopDecoding(direction, 'the client sends frames before the server accepts');
    else if (state !== 'over') this.#parse(direction, state, bytes);
  }

  #readHandshake(direction: Direction, before: Buffer[], bytes: Buffer): void {
    // One buffer instead of a list: a peer may send single bytes.
    const all = before.length === 0 ? bytes : Buffer.concat([...before, bytes]);
    const end = all.indexOf('\r\n\r\n');
    if (end < 0 && all.length <= MAX_HANDSHAKE_BYTES) {
      this.#states[direction] = [Buffer.from(all)];
      return;
    }
    const [first = '', ...fields] = all.toString('latin1', 0, Math.max(end, 0)).split('\r\n');
    if (direction === 'toServer') this.#readRequest(first);
    else this.#readResponse(first, fields);
    const rest = all.subarray(end + 4);
    if (rest.length > 0) this.onBytes(direction, rest);
  }

  #readRequest(line: string): void {
    const [, path] = /^GET (\S+) HTTP\/1\.1$/.exec(line) ?? [];
    if (path === undefined) return this.#stopDecoding('toServer', 'the client begins no WebSocket');
    const text = `GET ${redactUrl(path)}`;
    this.#report('toServer', () => ({ kind: 'handshake', text }));
    this.#states.toServer = 'waiting';
  }

  #readResponse(line: string, fields: readonly string[]): void {
    const [, status, reason = ''] = /^HTTP\/1\.1 (\d{3})(?: (.*))?$/.exec(line) ?? [];
    // Without a handshake, what the client sends next is no frame either.
    for (const direction of DIRECTIONS) this.#states[direction] = 'over';
    if (status === undefined)
      return this.#stopDecoding('toClient', 'the server begins no WebSocket');
    this.#report('toClient', () => ({ kind: 'handshake', text: `${status} ${reason}` }));
    if (status !== '101') return;
    const isCompressed = fields.some((field) =>
      /^sec-websocket-extensions:.*permessage-deflate/i.test(field),
    );
    for (const direction of DIRECTIONS) this.#states[direction] = parser(direction, isCompressed);
  }

  #parse(direction: Direction, parser: FrameParser, bytes: Buffer): void {
    // The parser unmasks its bytes in place.
    parser.feed(Buffer.from(bytes));
    try {
      for (let event = parser.next(); event !== undefined; event = parser.next())
        this.#handle(direction, event);
    } catch (error) {
      return this.#stopDecoding(direction, messageOf(error));
    }
    parser.release();
  }

  #handle(direction: Direction, event: FrameEvent): void {
    if (event.type === 'message') {
      const message = event.bytes.subarray(event.start, event.end);
      if (!event.isText) return this.#onMessage(direction, message);
      const bytes = message.length;
      this.#report(direction, () => ({ kind: 'text', bytes }));
    } else if (event.type === 'close') {
      const { code, reason } = event;
      this.#report(direction, () => ({ kind: 'closing', text: `${code ?? ''} ${reason}`.trim() }));
    } else if (event.type !== 'fragments') this.#report(direction, () => ({ kind: event.type }));
  }

  #stopDecoding(direction: Direction, reason: string): void {
    this.#states[direction] = 'over';
    this.#report(direction, () => ({ kind: 'undecoded', text: `from here on: ${reason}` }));
  }
}

function parser(direction: Direction, isCompressed: boolean): FrameParser {
  return new FrameParser({
    isMasked: direction === 'toServer',
    maxMessageBytes: isCompressed ? MAX_COMPRESSED_MESSAGE_BYTES : MAX_MESSAGE_BYTES,
    inflater: isCompressed
      ? new MessageInflater(MAX_MESSAGE_BYTES, MAX_MESSAGE_BYTES, true)
      : undefined,
  });
}
