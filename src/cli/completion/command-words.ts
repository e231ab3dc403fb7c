/** The words of the command line, for the completion of shells. */
import type { Command } from '#commander';
import { METHOD_KINDS } from '../call/callable-method.js';
import { FAULT_DIRECTIONS } from '../proxy/fault-options.js';

export interface OptionWords {
  /** `--watch`. */
  readonly name: string;
  readonly description: string;
  /** Undefined: the option has no value. Empty: any value, or a file. */
  readonly values: readonly string[] | undefined;
}

export interface CommandWords {
  readonly name: string;
  readonly description: string;
  readonly options: readonly OptionWords[];
  /** The values of the first argument, as far as they are known. */
  readonly values: readonly string[];
}

export const SHELLS = ['bash', 'zsh', 'fish'] as const;

/** The values of options that have few. */
const VALUES: Readonly<Record<string, readonly string[]>> = {
  '--codec': ['json', 'protobuf'],
  '--direction': FAULT_DIRECTIONS,
  '--kind': METHOD_KINDS,
};

/** The commands of a program, with their options. */
export function commandWords(program: Command): CommandWords[] {
  return program.commands.map((command) => ({
    name: command.name(),
    description: command.summary(),
    options: command.options.map(({ long, description, required }) => ({
      name: long ?? '',
      description,
      values: required ? (VALUES[long ?? ''] ?? []) : undefined,
    })),
    values: command.name() === 'completion' ? SHELLS : [],
  }));
}
