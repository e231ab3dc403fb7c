#!/usr/bin/env node
/** The command `getty` as a process: its streams, signals and exit code. */
import { messageOf } from '../core/errors.js';
import { followSignal } from '../core/signals.js';
import { atMost } from '../core/timers.js';
import { exitCodeOf, failureLine } from './failure.js';
import { run } from './program.js';
import type { Terminal } from './terminal.js';

/** Milliseconds for the rest of the output after Ctrl-C: its reader may not read. */
const MAX_END = 1_000;

const interrupt = new AbortController();

/** The first Ctrl-C ends the command, and the second one the process. */
function onSignal(): void {
  if (interrupt.signal.aborted) process.exit(1);
  interrupt.abort();
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
/** Why the output cannot be written, such as a full disk. */
let outputFailure: Error | undefined;

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // The reader of a pipe, such as `head`, has ended: there is nothing left to do.
  if (error.code !== 'EPIPE') outputFailure ??= error;
  interrupt.abort();
});
process.stderr.on('error', () => {});

// A fault of this command, and not of its arguments: one line too, and no stack.
process.on('uncaughtException', (error) => {
  process.stderr.write(`${failureLine('getty', error, process.argv.includes('--json'))}\n`);
  process.exit(1);
});

const terminal: Terminal = {
  input: process.stdin,
  output: process.stdout,
  errors: process.stderr,
  signal: interrupt.signal,
  environment: process.env,
};

/** Settles when the reader has the whole output, and at most MAX_END after Ctrl-C. */
async function written(): Promise<void> {
  const all = new Promise<void>((resolve) => process.stdout.write('', () => resolve()));
  const { signal } = interrupt;
  if (!signal.aborted)
    await Promise.race([all, new Promise<void>((resolve) => followSignal(signal, resolve))]);
  if (signal.aborted) await atMost(MAX_END, all);
}

const exitCode = await run(process.argv.slice(2), terminal);
await written();
if (outputFailure !== undefined) {
  const error = new Error(`the output cannot be written: ${messageOf(outputFailure)}`);
  process.stderr.write(`${failureLine('getty', error, process.argv.includes('--json'))}\n`);
  process.exit(exitCodeOf(error));
}
// Standard input may be open, and nothing that the command has closed needs to be waited for.
process.exit(exitCode);
