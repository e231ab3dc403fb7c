/** The trace of a simulation: one line for each event, in order. */
import { createHash } from 'node:crypto';
import type { Bytes } from '../../core/bytes.js';
import { isHeartbeat, summarizeFrames } from '../../rpc/wire/frame-summary.js';
import { formatTime } from './durations.js';

/** Lines that are kept for the message of a failure, without heartbeats. */
const KEPT_LINES = 40;
/** Lines of hosts and of the network that are kept too, because most lines are packets. */
const KEPT_HOST_LINES = 20;
/** Lines of trace() that are kept too. */
const KEPT_OWN_LINES = 20;
/** The most frames that a line describes. */
const SHOWN_FRAMES = 4;

/** Bytes of an event: those of `written` from `start` up to `end`. */
export interface Payload {
  /** What the sender has written at once. A session begins most writes with a message. */
  readonly written: Bytes;
  readonly start: number;
  readonly end: number;
}

interface Line {
  /** The first line has the number 1. */
  readonly number: number;
  readonly text: string;
  readonly payload: Payload | undefined;
}

export class Trace {
  readonly #hash = createHash('sha256');
  readonly #onLine: ((line: string) => void) | undefined;
  readonly #now: () => number;
  #last: Line[] = [];
  #lastOfHosts: Line[] = [];
  #lastOwn: Line[] = [];
  count = 0;

  /** `now`: virtual milliseconds since the start. */
  constructor(now: () => number, onLine: ((line: string) => void) | undefined) {
    this.#now = now;
    this.#onLine = onLine;
  }

  /** An event of a host or of the network as a whole. */
  add(source: string, text: string): void {
    this.#lastOfHosts = withLine(this.#lastOfHosts, this.#add(source, text), KEPT_HOST_LINES);
  }

  /** A line of the scenario, or of the code of a host. */
  addOwn(source: string, text: string): void {
    this.#lastOwn = withLine(this.#lastOwn, this.#add(source, text), KEPT_OWN_LINES);
  }

  /**
   * An event of a link, most often a packet. The frames of `payload` are described when the
   * line is shown. They are not part of the hash, so a line that is not shown costs no decoding.
   */
  addLinkEvent(link: string, text: string, payload?: Payload): void {
    this.#add(link, text, payload);
  }

  #add(source: string, text: string, payload?: Payload): Line {
    this.count++;
    const line = {
      number: this.count,
      text: `${formatTime(this.#now())} ${source} ${text}`,
      payload,
    };
    this.#hash.update(line.text).update('\n');
    // Most packets of idle hosts are heartbeats, which would replace all other lines.
    if (payload === undefined || !isHeartbeat(payload.written, payload.start, payload.end))
      this.#last = withLine(this.#last, line, KEPT_LINES);
    this.#onLine?.(show(line));
    return line;
  }

  /**
   * `earlier`: the last events of hosts, and the last lines of their code, without those in `last`.
   * `hasGap`: lines after the first one of `earlier` are left out.
   */
  lastLines(): { earlier: string[]; last: string[]; hasGap: boolean } {
    const last = this.#last.slice(-KEPT_LINES);
    const first = last[0]?.number ?? 1;
    const earlier = [
      ...this.#lastOfHosts.slice(-KEPT_HOST_LINES),
      ...this.#lastOwn.slice(-KEPT_OWN_LINES),
    ]
      .filter(({ number }) => number < first)
      .sort((a, b) => a.number - b.number);
    const hasGap = earlier.length > 0 && earlier.length < first - (earlier[0]?.number ?? first);
    return { earlier: earlier.map(show), last: last.map(show), hasGap };
  }

  /** The SHA-256 of all lines without the descriptions of frames, as hex digits. */
  digest(): string {
    return this.#hash.copy().digest('hex');
  }
}

/** Adds a line, and returns at least the last `kept` lines. */
function withLine(lines: Line[], line: Line, kept: number): Line[] {
  lines.push(line);
  return lines.length >= 2 * kept ? lines.slice(-kept) : lines;
}

function show({ text, payload }: Line): string {
  if (payload === undefined) return text;
  const frames = summarizeFrames(payload.written, payload.start, payload.end);
  if (frames.length === 0) return text;
  const more = frames.length - SHOWN_FRAMES;
  const shown = frames.slice(0, SHOWN_FRAMES).join(', ');
  return `${text} (${shown}${more > 0 ? `, and ${more} more` : ''})`;
}
