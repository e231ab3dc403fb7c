/** The trace of a simulation: one line for each event, in order. */
import { createHash } from 'node:crypto';
import type { Bytes } from '../../core/bytes.js';
import { summarizeFrames } from '../../rpc/wire/frame-summary.js';
import { formatTime } from './durations.js';

/** Lines that are kept for the message of a failure. */
const KEPT_LINES = 40;
/** Frames that a line names. */
const SHOWN_FRAMES = 4;

/** Bytes of an event: those of `written` from `start` up to `end`. */
export interface Payload {
  /** What the sender has written at once. A session begins most writes with a message. */
  readonly written: Bytes;
  readonly start: number;
  readonly end: number;
}

interface Line {
  readonly text: string;
  readonly payload: Payload | undefined;
}

export class Trace {
  readonly #hash = createHash('sha256');
  readonly #onLine: ((line: string) => void) | undefined;
  readonly #now: () => number;
  #last: Line[] = [];
  count = 0;

  /** `now`: virtual milliseconds since the start. */
  constructor(now: () => number, onLine: ((line: string) => void) | undefined) {
    this.#now = now;
    this.#onLine = onLine;
  }

  /**
   * `source`: the host, or the link, of the event. The frames of `payload` are described when the
   * line is shown. They are not part of the hash, so a line that is not shown costs no decoding.
   */
  add(source: string, text: string, payload?: Payload): void {
    const line = { text: `${formatTime(this.#now())} ${source} ${text}`, payload };
    this.count++;
    this.#hash.update(line.text).update('\n');
    this.#last.push(line);
    if (this.#last.length >= 2 * KEPT_LINES) this.#last = this.#last.slice(-KEPT_LINES);
    this.#onLine?.(show(line));
  }

  lastLines(): string[] {
    return this.#last.slice(-KEPT_LINES).map(show);
  }

  /** The SHA-256 of all lines without the descriptions of frames, as hex digits. */
  digest(): string {
    return this.#hash.copy().digest('hex');
  }
}

function show({ text, payload }: Line): string {
  if (payload === undefined) return text;
  const frames = summarizeFrames(payload.written, payload.start, payload.end);
  if (frames.length === 0) return text;
  const more = frames.length - SHOWN_FRAMES;
  const shown = frames.slice(0, SHOWN_FRAMES).join(', ');
  return `${text} (${shown}${more > 0 ? `, and ${more} more` : ''})`;
}
