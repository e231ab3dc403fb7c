/** Writes records. If the output is slow, it leaves out records, so the traffic does not wait. */
import type { Output } from '../output/output.js';
import { recordJson, recordLine, type TrafficRecord } from './traffic-record.js';

/** The most records that wait for the output. */
const MAX_RECORDS = 20_000;
/** The most characters that wait for the output. */
const MAX_CHARACTERS = 4 * 1024 * 1024;

export class RecordWriter {
  readonly #output: Output;
  readonly #maxBody: number;
  #lines: string[] = [];
  #characters = 0;
  #lost = 0;
  #writing: Promise<void> | undefined;

  /** `maxBody`: the most characters of a body in a line for people. */
  constructor(output: Output, maxBody: number) {
    this.#output = output;
    this.#maxBody = maxBody;
  }

  /** Writes a record. `describe` is not called if too much waits for the output. */
  write(describe: () => TrafficRecord): void {
    if (this.#lines.length >= MAX_RECORDS || this.#characters >= MAX_CHARACTERS) {
      this.#lost++;
      return;
    }
    this.#add(this.#textOf(describe()));
    this.#writing ??= this.#writeAll();
  }

  /** Settles when all records are written. */
  async end(): Promise<void> {
    await this.#writing;
  }

  #textOf(record: TrafficRecord): string {
    if (this.#output.isJson) return recordJson(record);
    // A copy: V8 keeps the whole text of a peer in memory while a part of it is used.
    return Buffer.from(recordLine(record, this.#maxBody)).toString();
  }

  #add(line: string): void {
    this.#lines.push(line);
    this.#characters += line.length;
  }

  async #writeAll(): Promise<void> {
    // The records of one event are written together.
    await Promise.resolve();
    while (this.#lines.length > 0) {
      const text = `${this.#lines.join('\n')}\n`;
      this.#lines = [];
      this.#characters = 0;
      await this.#output.raw(text);
      this.#reportLost();
    }
    this.#writing = undefined;
  }

  #reportLost(): void {
    if (this.#lost === 0) return;
    const lost = this.#lost;
    this.#lost = 0;
    this.#add(
      this.#output.isJson
        ? JSON.stringify({ time: new Date().toISOString(), kind: 'lost', records: lost })
        : `records that are not shown, because the output is slow: ${lost}`,
    );
  }
}
