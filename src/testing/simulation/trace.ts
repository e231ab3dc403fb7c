/** The trace of a simulation: one line for each event, in order. */
import { createHash } from 'node:crypto';
import { formatTime } from './durations.js';

/** Lines that are kept for the message of a failure. */
const KEPT_LINES = 40;

export class Trace {
  readonly #hash = createHash('sha256');
  readonly #onLine: ((line: string) => void) | undefined;
  readonly #now: () => number;
  #last: string[] = [];
  count = 0;

  /** `now`: virtual milliseconds since the start. */
  constructor(now: () => number, onLine: ((line: string) => void) | undefined) {
    this.#now = now;
    this.#onLine = onLine;
  }

  /** `source`: the host, or the link, of the event. */
  add(source: string, text: string): void {
    const line = `${formatTime(this.#now())} ${source} ${text}`;
    this.count++;
    this.#hash.update(line).update('\n');
    this.#last.push(line);
    if (this.#last.length >= 2 * KEPT_LINES) this.#last = this.lastLines();
    this.#onLine?.(line);
  }

  lastLines(): string[] {
    return this.#last.slice(-KEPT_LINES);
  }

  /** The SHA-256 of all lines, as hex digits. */
  digest(): string {
    return this.#hash.copy().digest('hex');
  }
}
