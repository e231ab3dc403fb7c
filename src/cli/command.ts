/** What all commands have in common. */
import type { Command } from '#commander';
import { Output } from './output/output.js';
import type { Terminal } from './terminal.js';

/** Adds one command to the program. */
export type DefineCommand = (program: Command, terminal: Terminal) => void;

/** Ends a command that has written its result with this exit code, and without a message. */
export class ExitCode extends Error {
  readonly exitCode: number;

  constructor(exitCode: number) {
    super(`exit code ${exitCode}`);
    this.exitCode = exitCode;
  }
}

export interface JsonOption {
  readonly json?: boolean | undefined;
}

/** Adds --json, and two examples, to a command. */
export function addJsonAndExamples(
  command: Command,
  ...examples: readonly [string, string]
): Command {
  return command
    .option('--json', 'write JSON')
    .addHelpText('after', `\nExamples:\n${examples.map((example) => `  ${example}`).join('\n')}`);
}

export function outputOf(terminal: Terminal, { json }: JsonOption): Output {
  return new Output(terminal, json === true);
}
