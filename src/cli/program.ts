/** The program `getty`: its commands, its help, and how it ends. */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from '#commander';
import { RpcError } from '../rpc/index.js';
import { type DefineCommand, ExitCode } from './command.js';
import { defineCall } from './commands/call.js';
import { defineCompletion } from './commands/completion.js';
import { defineConsole } from './commands/console.js';
import { defineContract } from './commands/contract.js';
import { defineDescribe } from './commands/describe.js';
import { defineDoctor } from './commands/doctor.js';
import { defineExplain } from './commands/explain.js';
import { defineLoad } from './commands/load.js';
import { defineLs } from './commands/ls.js';
import { defineNode } from './commands/node.js';
import { defineProxy } from './commands/proxy.js';
import { defineSessions } from './commands/sessions.js';
import { defineTop } from './commands/top.js';
import { exitCodeOf, failureLine, UsageError } from './failure.js';
import { type ConnectionOptions, DEFAULT_TIMEOUT } from './target/connection-options.js';
import type { Terminal } from './terminal.js';

const COMMANDS: readonly DefineCommand[] = [
  defineLs,
  defineDescribe,
  defineCall,
  defineContract,
  defineExplain,
  defineSessions,
  defineDoctor,
  defineTop,
  defineLoad,
  defineConsole,
  defineNode,
  defineProxy,
  defineCompletion,
];
const HELP_COLUMNS = 98;

const DESCRIPTION = `Look at services of getty, and call them.

A TARGET is the address of a server (tcp://host:port, tls://, ws://, wss://, unix:///path), or a
registry (file:///directory, etcd://host:2379/root, zookeeper://host:2181/root,
static:tcp://host:port, dns:host:port).`;

const EXIT_CODES = `
Exit codes: 0, 2 for a wrong command line, else the number of the RPC code (14 is UNAVAILABLE);
1 for other errors.`;

/** The version of the package, which is two folders above this file, also in dist. */
function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

export function createProgram(terminal: Terminal): Command {
  const program = new Command('getty');
  program
    .description(DESCRIPTION)
    .version(packageVersion())
    .exitOverride()
    .showSuggestionAfterError()
    .configureOutput({
      writeOut: (text) => terminal.output.write(text),
      // A failure is written once, by run().
      writeErr: () => {},
      getOutHelpWidth: () => HELP_COLUMNS,
      getErrHelpWidth: () => HELP_COLUMNS,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .addHelpText('after', EXIT_CODES);
  for (const define of COMMANDS) define(program, terminal);
  return program;
}

/**
 * Runs the command line `args` and resolves with the exit code. Never rejects: a failure is one
 * line on standard error.
 */
export async function run(args: readonly string[], terminal: Terminal): Promise<number> {
  const program = createProgram(terminal);
  if (args.length === 0) {
    terminal.errors.write(program.helpInformation());
    return exitCodeOf(new UsageError());
  }
  try {
    await program.parseAsync(args, { from: 'user' });
    return 0;
  } catch (thrown) {
    if (thrown instanceof ExitCode) return thrown.exitCode;
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return 0;
    // The user has ended the command: it is cancelled, as a call is.
    if (terminal.signal.aborted) return exitCodeOf(new RpcError('CANCELLED', 'Ctrl-C'));
    const { name, command } = findCommand(program, args);
    const error = thrown instanceof CommanderError ? usageErrorOf(thrown, name) : thrown;
    const { timeout = DEFAULT_TIMEOUT } = command.opts<ConnectionOptions>();
    terminal.errors.write(`${failureLine(name, error, args.includes('--json'), timeout)}\n`);
    return exitCodeOf(error);
  }
}

/** The command that the first arguments name, and its name: `getty contract diff`. */
function findCommand(
  program: Command,
  args: readonly string[],
): { readonly name: string; readonly command: Command } {
  let command = program;
  let name = program.name();
  for (const word of args) {
    const found = command.commands.find((each) => each.name() === word);
    if (found === undefined) break;
    command = found;
    name += ` ${word}`;
  }
  return { name, command };
}

/** Options that users expect of a command that has none like them, with what to use instead. */
const MISSING_OPTIONS: Readonly<Record<string, string>> = {
  'getty explain --node':
    'explain has no --node: it shows all nodes of the service, with --json as JSON; ' +
    '`getty doctor ADDRESS` checks one node',
};

function usageErrorOf({ code, message }: CommanderError, command: string): UsageError {
  const [, option = ''] = /unknown option '(--[a-z-]+)/.exec(message) ?? [];
  const missing = `${command} ${option}`;
  if (Object.hasOwn(MISSING_OPTIONS, missing)) return new UsageError(MISSING_OPTIONS[missing]);
  // A command that has only commands in it shows its help, which is not written on an error.
  const line =
    code === 'commander.help'
      ? 'missing command'
      : message.replace(/^error: /, '').replaceAll('\n', ' ');
  return new UsageError(`${line}; see \`${command} --help\``);
}
