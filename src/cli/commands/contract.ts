/** `getty contract`: snapshots of contracts, and what has changed between two of them. */
import type { Command } from '#commander';
import { show } from '../../core/options.js';
import { untilAborted } from '../../core/signals.js';
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
import type { ContractSnapshot, UnreadSnapshot } from '../contract/snapshot.js';
import { makeSnapshot, snapshotText } from '../contract/snapshot-maker.js';
import { readSnapshotFile } from '../contract/snapshot-reader.js';
import { describeFleet } from '../describe/described-fleet.js';
import { AdvisedError, UsageError } from '../failure.js';
import type { Output } from '../output/output.js';
import { addConnectionOptions, type ConnectionOptions } from '../target/connection-options.js';
import { publishedNodes } from '../target/published-nodes.js';
import { isTarget, parseTarget, parseTargets, type Target } from '../target/target.js';
import type { Terminal } from '../terminal.js';

type ContractOptions = ConnectionOptions & JsonOption;

interface DiffOptions extends ContractOptions {
  readonly service?: string;
}

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
        'code is 1 if one does. If OLD is a registry and NEW an address, services that this one\n' +
        'server does not offer are not compared; with --service, they are gone.',
    )
    .argument('<old>', 'the file of a snapshot, or a target')
    .argument('<new>', 'the file of a snapshot, or a target')
    .option('--service <service>', 'compare this service only');
  addConnectionOptions(command);
  command.action(async (before: string, after: string, options: DiffOptions) => {
    const output = outputOf(terminal, options);
    const { service } = options;
    const targets = parseTargets([before, after].filter(isTarget), options);
    const targetOf = (text: string): Target | undefined => targets.find(({ url }) => url === text);
    const read = async (text: string): Promise<ContractSnapshot> => {
      const target = targetOf(text);
      if (service === undefined && target !== undefined)
        return snapshotOf(target, options, terminal, output);
      const snapshot =
        target === undefined
          ? readSnapshotFile(text)
          : await readTarget(target, service, options, terminal, output);
      return service === undefined ? snapshot : onlyService(snapshot, service);
    };
    const [old, now] = [await read(before), await read(after)];
    if (service !== undefined) checkOffered(service, old, now);
    const isOneServer =
      service === undefined &&
      targetOf(before)?.kind === 'registry' &&
      targetOf(after)?.kind === 'address';
    const diff = diffContracts(old, now, { isOneServer });
    const breaking = diff.changes.filter(isBreaking).length;
    if (output.isJson) await output.jsonValue({ ...diff, breaking });
    else for (const line of diffLines(diff)) await output.line(line);
    if (breaking > 0) throw new ExitCode(BREAKING_EXIT);
  });
  addJsonAndExamples(command, DIFF_EXAMPLE, `${DIFF_EXAMPLE} --json`);
};

/** All contracts of a target. Rejects with AdvisedError if there are none. */
async function snapshotOf(
  target: Target,
  options: ContractOptions,
  terminal: Terminal,
  output: Output,
): Promise<ContractSnapshot> {
  const snapshot = await readTarget(target, undefined, options, terminal, output);
  if (snapshot.services.length > 0) return snapshot;
  throw new AdvisedError(
    new RpcError('UNAVAILABLE', 'there are no services', { unsent: true }),
    'a snapshot without services would not fit any other; is it the right target?',
  );
}

/**
 * The contracts of a target; with `service`, at least those of this service. Rejects if the nodes
 * of a service cannot be reached: the snapshot would lack it for a while.
 */
async function readTarget(
  target: Target,
  service: string | undefined,
  options: ContractOptions,
  terminal: Terminal,
  output: Output,
): Promise<ContractSnapshot> {
  if (service !== undefined && target.kind === 'registry') {
    const nodes = await untilAborted(publishedNodes(target.url), terminal.signal);
    if (!nodes.some((node) => node.service === service)) return makeSnapshot([]);
  }
  const needs = { service, needsAnswers: true, needsDescriptors: true };
  const fleet = await describeFleet(target, needs, options, terminal, output);
  const snapshot = makeSnapshot(fleet.services, fleet.unread);
  for (const { name, version } of snapshot.unread ?? [])
    output.progress(
      `warning: no node describes ${`${name} ${version}`.trim()}; a diff does not compare it`,
    );
  return snapshot;
}

/** The versions of one service. */
function onlyService(snapshot: ContractSnapshot, service: string): ContractSnapshot {
  const isMeant = ({ name }: UnreadSnapshot): boolean => name === service;
  return {
    ...snapshot,
    services: snapshot.services.filter(isMeant),
    unread: snapshot.unread?.filter(isMeant),
  };
}

/** Throws UsageError if neither snapshot has services: the name of the one service is wrong. */
function checkOffered(service: string, ...snapshots: readonly ContractSnapshot[]): void {
  if (snapshots.some(({ services, unread = [] }) => services.length + unread.length > 0)) return;
  throw new UsageError(
    `--service: got ${show(service)}, expected a service of OLD or NEW; \`getty contract snapshot\` shows them`,
  );
}
