/** Records while the output is slow. */
import { describe, expect, test } from 'vitest';
import { Output } from '../../../src/cli/output/output.js';
import { RecordWriter } from '../../../src/cli/proxy/record-writer.js';
import type { TrafficRecord } from '../../../src/cli/proxy/traffic-record.js';
import type { TextStream } from '../../../src/cli/terminal.js';
import { until } from '../../fixtures/waiting.js';

/** A stream whose reader takes nothing until drain(). */
class SlowStream implements TextStream {
  readonly texts: string[] = [];
  #listeners: (() => void)[] = [];
  isSlow = true;

  write(text: string): boolean {
    this.texts.push(text);
    return !this.isSlow;
  }

  once(event: 'drain' | 'close', listener: () => void): void {
    if (event === 'drain') this.#listeners.push(listener);
  }

  off(): void {}

  drain(): void {
    for (const listener of this.#listeners.splice(0)) listener();
  }
}

function writerTo(output: TextStream, isJson: boolean): RecordWriter {
  const terminal = {
    input: (async function* () {})(),
    output,
    errors: output,
    signal: new AbortController().signal,
    environment: {},
  };
  return new RecordWriter(new Output(terminal, isJson), 100);
}

const record = (text = ''): TrafficRecord => ({
  time: '2026-01-02T03:04:05.678Z',
  connection: 1,
  kind: 'bytes',
  text,
});

describe('a RecordWriter', () => {
  test.each([
    [true, /"kind":"lost","records":80000/],
    [false, /not shown, because the output is slow: 80000/],
  ])('leaves records out while the output is slow (JSON: %s)', async (isJson, message) => {
    const output = new SlowStream();
    const writer = writerTo(output, isJson);
    writer.write(() => record());
    await until(() => output.texts.length === 1, 'the first record');
    let described = 0;
    for (let at = 0; at < 100_000; at++)
      writer.write(() => {
        described++;
        return record();
      });
    expect(described).toBe(20_000);
    output.isSlow = false;
    output.drain();
    await writer.end();
    expect(output.texts.join('')).toMatch(message);
    expect(output.texts.join('').trim().split('\n')).toHaveLength(20_002);
  });

  test('keeps at most 4 MiB of characters', async () => {
    const output = new SlowStream();
    const writer = writerTo(output, true);
    writer.write(() => record());
    await until(() => output.texts.length === 1, 'the first record');
    let described = 0;
    for (let at = 0; at < 1_000; at++)
      writer.write(() => {
        described++;
        return record('x'.repeat(60_000));
      });
    expect(described).toBeLessThan(80);
    output.isSlow = false;
    output.drain();
    await writer.end();
  });

  test('cuts what a peer says in a line for people', async () => {
    const output = new SlowStream();
    output.isSlow = false;
    const writer = writerTo(output, false);
    const long = 'x'.repeat(65_000);
    const metadata = { [long]: long };
    writer.write(() => ({
      ...record(long),
      service: long,
      method: long,
      version: long,
      message: long,
      metadata,
      bodyText: long,
    }));
    await writer.end();
    expect(output.texts.join('').length).toBeLessThan(2_000);
  });
});
