/** `getty doctor`: what is wrong with a server, or with a registry and its nodes. */
import {
  addJsonAndExamples,
  type DefineCommand,
  ExitCode,
  type JsonOption,
  outputOf,
} from '../command.js';
import type { Check } from '../doctor/check.js';
import { checkRegistry } from '../doctor/registry-checks.js';
import { checkServer } from '../doctor/server-checks.js';
import { MAX_MESSAGE, printable } from '../output/printable.js';
import { addConnectionOptions, type ConnectionOptions } from '../target/connection-options.js';
import { parseTarget } from '../target/target.js';

export const defineDoctor: DefineCommand = (program, terminal) => {
  const command = program
    .command('doctor')
    .summary('check a server, or a registry and its nodes')
    .description(
      'Check a server: its name, connection, certificate, answer, state, failed calls and sessions.\n' +
        'Or check a registry: whether it answers and has entries, whether each node can be reached\n' +
        'and offers what it publishes, and whether versions, groups and addresses fit together. The\n' +
        'exit code is 1 if a check fails.',
    )
    .argument('<target>', 'an address or a registry');
  addConnectionOptions(command);
  command.action(async (text: string, options: ConnectionOptions & JsonOption) => {
    const output = outputOf(terminal, options);
    const target = parseTarget(text, options);
    const checks: Check[] = [];
    const report = async (check: Check): Promise<void> => {
      checks.push(check);
      if (!output.isJson) await output.line(checkLine(check));
    };
    const checkTarget = target.kind === 'address' ? checkServer : checkRegistry;
    await checkTarget(target.url, options, terminal, report);
    const count = (status: Check['status']): number =>
      checks.filter((check) => check.status === status).length;
    if (output.isJson) await output.jsonValue({ checks });
    else
      output.progress(
        `failed: ${count('failed')}, warnings: ${count('warning')}, ok: ${count('ok')}` +
          (count('note') > 0 ? `, notes: ${count('note')}` : '') +
          (count('unknown') > 0 ? `, unknown: ${count('unknown')}` : ''),
      );
    if (count('failed') > 0) throw new ExitCode(1);
  });
  addJsonAndExamples(
    command,
    'getty doctor tcp://127.0.0.1:8849',
    'getty doctor file:///srv/getty/registry --json',
  );
};

function checkLine({ status, name, detail, advice }: Check): string {
  const text = advice === undefined ? detail : `${detail} (${advice})`;
  return `${status.padEnd(7)}  ${printable(name)}: ${printable(text, MAX_MESSAGE)}`;
}
