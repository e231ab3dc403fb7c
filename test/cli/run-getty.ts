/** Runs the command line within the test, with streams that the test reads and writes. */
import type { ScreenSize } from '../../src/cli/output/table.js';
import { run } from '../../src/cli/program.js';
import type { Terminal, TextStream } from '../../src/cli/terminal.js';
import { Inbox, within } from '../fixtures/waiting.js';

/** The names of all commands. */
export const COMMANDS = [
  'ls',
  'describe',
  'call',
  'contract',
  'explain',
  'sessions',
  'doctor',
  'top',
  'load',
  'console',
  'node',
  'proxy',
  'completion',
];

class RecordingStream implements TextStream {
  readonly isTTY: boolean;
  readonly columns: number | undefined;
  readonly rows: number | undefined;
  readonly lines: Inbox<string>;
  text = '';
  #rest = '';

  constructor(name: string, isTTY: boolean, size?: ScreenSize) {
    this.isTTY = isTTY;
    this.columns = size?.columns;
    this.rows = size?.rows;
    this.lines = new Inbox<string>(`a line of ${name}`, () => this.text);
  }

  write(text: string): boolean {
    this.text += text;
    const parts = (this.#rest + text).split('\n');
    this.#rest = parts.pop() ?? '';
    for (const part of parts) this.lines.push(part);
    return true;
  }

  once(): void {}

  off(): void {}
}

export interface RunningCommand {
  /** The lines of standard output. */
  readonly lines: Inbox<string>;
  /** The lines of standard error. */
  readonly errors: Inbox<string>;
  readonly stdout: { readonly text: string };
  readonly stderr: { readonly text: string };
  /** Sends a line to standard input. */
  send(line: string): void;
  endInput(): void;
  /** Presses Ctrl-C. */
  interrupt(): void;
  /** Resolves with the exit code. */
  readonly ended: Promise<number>;
}

interface RunSettings {
  readonly environment?: Readonly<Record<string, string>>;
  /** Whether standard output is a terminal. */
  readonly isTTY?: boolean;
  /** The size of the terminal. Default: unknown. */
  readonly size?: ScreenSize;
}

/** Starts a command line. */
export function startGetty(
  args: readonly string[],
  { environment = {}, isTTY = false, size }: RunSettings = {},
): RunningCommand {
  const interrupt = new AbortController();
  const output = new RecordingStream('standard output', isTTY, size);
  const errors = new RecordingStream('standard error', isTTY);
  const input = new Inbox<string | undefined>('a line of standard input');
  const terminal: Terminal = {
    input: {
      async *[Symbol.asyncIterator]() {
        for (;;) {
          const line = await input.next();
          if (line === undefined) return;
          yield line;
        }
      },
    },
    output,
    errors,
    signal: interrupt.signal,
    environment,
  };
  return {
    lines: output.lines,
    errors: errors.lines,
    stdout: output,
    stderr: errors,
    send: (line) => input.push(`${line}\n`),
    endInput: () => input.push(undefined),
    interrupt: () => interrupt.abort(),
    ended: run(args, terminal),
  };
}

export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command line to its end, without standard input. */
export async function getty(...args: readonly string[]): Promise<Finished> {
  const running = startGetty(args);
  running.endInput();
  return finished(running, args);
}

/** Waits for the end of a command. */
export async function finished(
  { ended, stdout, stderr }: RunningCommand,
  args: readonly string[] = [],
): Promise<Finished> {
  const code = await within(ended, () => `the end of getty ${args.join(' ')}: ${stderr.text}`);
  return { code, stdout: stdout.text, stderr: stderr.text };
}
