/** The input of `getty call` is bounded, and a long line costs no more than its length. */
import { expect, test } from 'vitest';
import { MessageLines, readMessage } from '../../../src/cli/call/call-input.js';
import type { CallableMethod } from '../../../src/cli/call/callable-method.js';
import { UsageError } from '../../../src/cli/failure.js';
import type { Terminal } from '../../../src/cli/terminal.js';

const method = { encode: (value: unknown) => value } as CallableMethod;

function terminalWith(input: Terminal['input']): Terminal {
  const { signal } = new AbortController();
  const output = { write: () => true, once() {}, off() {} };
  return { input, output, errors: output, signal, environment: {} };
}

async function* pieces(piece: string, count: number): AsyncGenerator<string> {
  for (let i = 0; i < count; i++) yield piece;
}

/** Twice as much as is read. */
async function* endless(): AsyncGenerator<string> {
  yield* pieces('a'.repeat(2 ** 20), 2 ** 8);
  throw new Error('standard input was read without a limit');
}

async function firstOf(lines: AsyncIterable<unknown>): Promise<unknown> {
  for await (const line of lines) return line;
}

test('refuses an argument of standard input without an end', async () => {
  const read = readMessage(method, '-', terminalWith(endless()));
  await expect(read).rejects.toThrow(UsageError);
  await expect(read).rejects.toThrow('standard input has more than 134217728 characters');
});

test('refuses a line of standard input without an end', async () => {
  const lines = new MessageLines(method, undefined, terminalWith(endless()), () => {});
  const read = firstOf(lines);
  await expect(read).rejects.toThrow(UsageError);
  await expect(read).rejects.toThrow('a line of standard input has more than 134217728 characters');
});

test('reads a line of 16 MiB that arrives in 16,384 pieces', async () => {
  async function* input(): AsyncGenerator<string> {
    yield '"';
    yield* pieces('a'.repeat(2 ** 10), 2 ** 14);
    yield '"\n1\n';
    yield '"b"';
  }
  const lines: unknown[] = [];
  for await (const line of new MessageLines(method, undefined, terminalWith(input()), () => {}))
    lines.push(typeof line === 'string' ? line.length : line);
  expect(lines).toEqual([2 ** 24, 1, 1]);
});

test('reads characters and line ends at the borders of chunks', async () => {
  const bytes = Buffer.from('"é"\n\n"ü"');
  async function* input(): AsyncGenerator<Uint8Array> {
    for (const byte of bytes) yield Uint8Array.of(byte);
  }
  const lines: unknown[] = [];
  for await (const line of new MessageLines(method, undefined, terminalWith(input()), () => {}))
    lines.push(line);
  expect(lines).toEqual(['é', 'ü']);
});
