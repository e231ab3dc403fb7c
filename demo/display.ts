/** The output of the demo: a line for each event, and a status line that a terminal redraws. */
import type { Figures } from './messages.js';

const CLEAR_LINE = '\r\u001b[K';

export class Display {
  readonly #out: NodeJS.WriteStream;
  readonly #isQuiet: boolean;
  #status = '';

  /** `isQuiet`: writes nothing. */
  constructor(out: NodeJS.WriteStream, isQuiet: boolean) {
    this.#out = out;
    this.#isQuiet = isQuiet;
  }

  writeLine(text: string): void {
    if (this.#isQuiet) return;
    this.#out.write(this.#status === '' ? `${text}\n` : `${CLEAR_LINE}${text}\n${this.#status}`);
  }

  /** Writes the figures of a second, in at most 80 columns. `live`: the number of nodes. */
  writeSecond(second: number, { calls, failed, failovers, p50, p99 }: Figures, live: number): void {
    if (this.#isQuiet) return;
    const text = [
      `${String(second).padStart(4)}s`,
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
    // A terminal cannot redraw a line that wraps.
    this.#status = text.slice(0, (this.#out.columns || 80) - 1);
    this.#out.write(`${CLEAR_LINE}${this.#status}`);
  }

  /** Ends the status line. */
  end(): void {
    if (this.#status !== '') this.#out.write('\n');
    this.#status = '';
  }
}
