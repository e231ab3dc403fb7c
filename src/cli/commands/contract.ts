/** `getty contract`: snapshots of contracts, and what has changed between two of them. */
import type { Command } from '#commander';
import { RpcError } from '../../rpc/index.js';
import {
  addJsonAndExamples,
  type DefineCommand,
  ExitCode,
  type JsonOption,
  outputOf,
} from '../command.js';
import { diffContracts } from '../contract/contract-diff.js';
import { diffLines, isBreaking } from '../contract/diff-report.js';
import type { ContractSnapshot } from '../contract/snapshot.js';
import { makeSnapshot, snapshotText } from '../contract/snapshot-maker.js';
import { readSnapshotFile } from '../contract/snapshot-reader.js';
import { describeFleet } from '../describe/described-fleet.js';
import { AdvisedError } from '../failure.js';
import type { Output } from '../output/output.js';
import { addConnectionOptions, type ConnectionOptions } from '../target/connection-options.js';
import { isTarget, parseTarget, parseTargets, type Target } from '../target/target.js';
import type { Terminal } from '../terminal.js';

type ContractOptions = ConnectionOptions & JsonOption;

/** The exit code if a change breaks callers or servers. */
const BREAKING_EXIT = 1;

export const defineContract: DefineCommand = (program, terminal) => {
  const command = program
    .command('contract')
    .summary('keep contracts in files, and find changes that break callers')
    .description(
      'Write the contracts of a server to a file, and compare them with those of later. So a\n' +
        'build fails before a change breaks callers.',
    );
  addExamples(command);
  defineSnapshot(command, terminal);
  defineDiff(command, terminal);
};

const SNAPSHOT_EXAMPLE = 'getty contract snapshot tcp://127.0.0.1:8849';
const DIFF_EXAMPLE = 'getty contract diff file:///srv/getty/registry tcp://127.0.0.1:8849';

/** The examples of `getty contract`, which has no options of its own. */
function addExamples(command: Command): void {
  command.addHelpText('after', `\nExamples:\n  ${SNAPSHOT_EXAMPLE}\n  ${DIFF_EXAMPLE}`);
}

const defineSnapshot: DefineCommand = (parent, terminal) => {
  const command = parent
    .command('snapshot')
    .summary('write the contracts of a target as JSON')
    .description(
      'Write the contracts of a server, or of all services that a registry lists, as JSON. The\n' +
        'same contracts always give the same text, so it can be committed. Of a registry one node\n' +
        'of each service and version is asked. Servers need the option introspection: true;\n' +
        'services of a registry without it are listed as unread.',
    )
    .argument('<target>', 'an address or a registry');
  addConnectionOptions(command);
  command.action(async (text: string, options: ContractOptions) => {
    const output = outputOf(terminal, options);
    const target = parseTarget(text, options);
    const snapshot = await snapshotOf(target, options, terminal, output);
    await output.line(snapshotText(snapshot, output.isJson ? 0 : 2));
  });
  addJsonAndExamples(
    command,
    SNAPSHOT_EXAMPLE,
    'getty contract snapshot file:///srv/getty/registry --json',
  );
};

const defineDiff: DefineCommand = (parent, terminal) => {
  const command = parent
    .command('diff')
    .summary('find the changes between two snapshots')
    .description(
      'Compare two snapshots, and say which changes break callers or servers, and why. The exit\n' +
        'code is 1 if one does.',
    )
    .argument('<old>', 'the file of a snapshot, or a target')
    .argument('<new>', 'the file of a snapshot, or a target');
  addConnectionOptions(command);
  command.action(async (before: string, after: string, options: ContractOptions) => {
    const output = outputOf(terminal, options);
    const targets = parseTargets([before, after].filter(isTarget), options);
    const read = (text: string): Promise<ContractSnapshot> | ContractSnapshot => {
      const target = targets.find(({ url }) => url === text);
      if (target === undefined) return readSnapshotFile(text);
      return snapshotOf(target, options, terminal, output);
    };
    const diff = diffContracts(await read(before), await read(after));
    const breaking = diff.changes.filter(isBreaking).length;
    if (output.isJson) await output.jsonValue({ ...diff, breaking });
    else for (const line of diffLines(diff)) await output.line(line);
    if (breaking > 0) throw new ExitCode(BREAKING_EXIT);
  });
  addJsonAndExamples(command, DIFF_EXAMPLE, `${DIFF_EXAMPLE} --json`);
};

/** Rejects if the nodes of a service cannot be reached: the snapshot would lack it for a while. */
async function snapshotOf(
  target: Target,
  options: ContractOptions,
  terminal: Terminal,
  output: Output,
): Promise<ContractSnapshot> {
  const needs = { needsAnswers: true, needsDescriptors: true };
  const fleet = await describeFleet(target, needs, options, terminal, output);
  const snapshot = makeSnapshot(fleet.services, fleet.unread);
  for (const { name, version } of snapshot.unread ?? [])
    output.progress(
      `warning: no node describes ${`${name} ${version}`.trim()}; a diff does not compare it`,
    );
  if (snapshot.services.length > 0) return snapshot;
  throw new AdvisedError(
    new RpcError('UNAVAILABLE', 'there are no services', { unsent: true }),
    'a snapshot without services would not fit any other; is it the right target?',
  );
}
