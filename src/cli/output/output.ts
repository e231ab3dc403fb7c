/** Writes the results of a command: text for people, or JSON. */
import type { Terminal, TextStream } from '../terminal.js';
import { jsonText, MAX_MESSAGE, printable } from './printable.js';
import { type Column, type ScreenSize, tableLines } from './table.js';

/** Characters of JSON that are indented. Indented, deeply nested values are 100 times as long. */
const MAX_INDENTED = 128 * 1024;

export class Output {
  readonly #terminal: Terminal;
  /** Whether the user asked for JSON. */
  readonly isJson: boolean;

  constructor(terminal: Terminal, isJson: boolean) {
    this.#terminal = terminal;
    this.isJson = isJson;
  }

  /** Whether lines on standard output may be redrawn. */
  get isTerminal(): boolean {
    return this.#terminal.output.isTTY === true;
  }

  /** The size of the terminal. Undefined: standard output is none, or does not tell its size. */
  get screen(): ScreenSize | undefined {
    const { columns, rows } = this.#terminal.output;
    // A terminal of unknown size may tell 0.
    return this.isTerminal && columns && rows ? { columns, rows } : undefined;
  }

  /** Writes a line of a result, which must be printable. Settles when more may be written. */
  line(text: string): Promise<void> {
    return write(this.#terminal.output, `${text}\n`);
  }

  /** Writes a text as it is: escape sequences that redraw a screen, or a file for a shell. */
  raw(text: string): Promise<void> {
    return write(this.#terminal.output, text);
  }

  /** Writes a value as one line of JSON. */
  jsonLine(value: unknown): Promise<void> {
    return this.line(jsonText(value));
  }

  /** Writes a value as JSON: on one line with --json or if it is large, else indented. */
  jsonValue(value: unknown): Promise<void> {
    const text = jsonText(value);
    const isOneLine = this.isJson || text.length > MAX_INDENTED;
    return this.line(isOneLine ? text : jsonText(value, 2));
  }

  async table<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): Promise<void> {
    for (const line of tableLines(rows, columns)) await this.line(line);
  }

  /** Tells on standard error what has happened: `text`, or `value` with --json. */
  notice(text: string, value: unknown): void {
    if (this.isJson) this.#terminal.errors.write(`${jsonText(value)}\n`);
    else this.progress(text);
  }

  /** Tells people on standard error what happens. Nothing with --json. */
  progress(text: string): void {
    if (!this.isJson) this.#terminal.errors.write(`${printable(text, MAX_MESSAGE)}\n`);
  }
}

/** Writes, and waits until the reader of the stream has room for more. */
async function write(stream: TextStream, text: string): Promise<void> {
  if (stream.write(text)) return;
  await new Promise<void>((resolve) => {
    const settle = (): void => {
      stream.off('drain', settle);
      stream.off('close', settle);
      resolve();
    };
    stream.once('drain', settle);
    stream.once('close', settle);
  });
}
