/**
 * What a person sees of the demo: events in lines, and on a terminal one line of figures that is
 * redrawn in place.
 */
import type { Figures } from './messages.js';

const CLEAR_LINE = '\r\u001b[K';

export class Display {
  readonly #out: NodeJS.WriteStream;
  readonly #quiet: boolean;
  #status = '';

  /** `quiet`: say nothing. */
  constructor(out: NodeJS.WriteStream, quiet: boolean) {
    this.#out = out;
    this.#quiet = quiet;
  }

  line(text: string): void {
    if (this.#quiet) return;
    this.#out.write(this.#status === '' ? `${text}\n` : `${CLEAR_LINE}${text}\n${this.#status}`);
  }

  /** Not wider than a terminal of 80 columns. */
  second(at: number, { calls, failed, failovers, p50, p99 }: Figures, live: number): void {
    if (this.#quiet) return;
    const text = [
      `${String(at).padStart(4)}s`,
      `${String(calls).padStart(5)} calls/s`,
      `failed ${failed}`,
      `failovers ${failovers}`,
      `p50 ${p50.toFixed(2)} ms`,
      `p99 ${p99.toFixed(2)} ms`,
      `live ${live}`,
    ].join('  ');
    if (!this.#out.isTTY) {
      this.#out.write(`${text}\n`);
      return;
    }
    // A line that wraps cannot be redrawn in place.
    this.#status = text.slice(0, (this.#out.columns || 80) - 1);
    this.#out.write(`${CLEAR_LINE}${this.#status}`);
  }

  /** Leave the redrawn line standing. */
  end(): void {
    if (this.#status !== '') this.#out.write('\n');
    this.#status = '';
  }
}
