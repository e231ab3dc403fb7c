/** The words of the command line, for the completion of shells. */
import type { Command } from '#commander';
import { METHOD_KINDS } from '../call/callable-method.js';
import { FAULT_DIRECTIONS } from '../proxy/fault-options.js';
import { NODE_ACTIONS } from '../target/admin.js';
import { TOP_ORDERS } from '../top/method-order.js';

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

/** The values of the first argument of a command, where there are few. */
const FIRST_VALUES: Readonly<Record<string, readonly string[]>> = {
  completion: SHELLS,
  node: NODE_ACTIONS,
};

/** The values of options that have few. */
const VALUES: Readonly<Record<string, readonly string[]>> = {
  '--codec': ['json', 'protobuf'],
  '--direction': FAULT_DIRECTIONS,
  '--kind': METHOD_KINDS,
  '--sort': TOP_ORDERS,
};

/** The commands of a program, with their options. */
export function commandWords(program: Command): CommandWords[] {
  return program.commands.map((command) => ({
    name: command.name(),
    description: command.summary(),
    options: optionsOf(command),
    values: FIRST_VALUES[command.name()] ?? command.commands.map((nested) => nested.name()),
  }));
}

/** The options of a command and of the commands in it, each once. */
function optionsOf(command: Command): OptionWords[] {
  const all = [command, ...command.commands].flatMap(({ options }) => options);
  const byName = new Map(all.map((option) => [option.long ?? '', option]));
  return [...byName].map(([name, { description, required }]) => ({
    name,
    description,
    values: required ? (VALUES[name] ?? []) : undefined,
  }));
}
