/** `getty ls`: the nodes that a registry has, and their changes. */

import { untilAborted } from '../../core/signals.js';
import { compareSnapshots, type Registry, type ServiceNode } from '../../micro/index.js';
import { addJsonAndExamples, type DefineCommand, type JsonOption, outputOf } from '../command.js';
import { UsageError } from '../failure.js';
import { parseDuration } from '../option-values.js';
import type { Output } from '../output/output.js';
import { tableLines } from '../output/table.js';
import { mergeCodecs, nodeColumns, nodeJson, nodeText } from '../target/node-rows.js';
import { openQuietRegistry } from '../target/published-nodes.js';
import { RegistryPoll } from '../target/registry-poll.js';
import { canOffer, nodesOf } from '../target/server-connection.js';
import { parseRegistry } from '../target/target.js';

interface LsOptions extends JsonOption {
  readonly watch?: boolean;
  readonly interval?: number;
}

const DEFAULT_INTERVAL = 1_000;

export const defineLs: DefineCommand = (program, terminal) => {
  const command = program
    .command('ls')
    .summary('list the services of a registry, and their nodes')
    .description('List the services that a registry has now, with the nodes that offer them.')
    .argument('<registry>', 'such as etcd://host:2379/root or file:///directory')
    .argument('[service]', 'list this service only')
    .option('--watch', 'then write a line for each change, until Ctrl-C')
    .option(
      '--interval <duration>',
      'how often --watch reads the registry (default: 1s)',
      (text: string) => parseDuration('--interval', text),
    )
    .action(async (url: string, service: string | undefined, options: LsOptions) => {
      const output = outputOf(terminal, options);
      if (options.interval !== undefined && options.watch !== true)
        throw new UsageError('--interval: this option needs --watch');
      await using registry = await openQuietRegistry(parseRegistry(url));
      const all = await untilAborted(registry.list(), terminal.signal);
      const settings = { service, interval: options.interval ?? DEFAULT_INTERVAL };
      if (options.watch === true)
        return await watch(registry, all, settings, output, terminal.signal);
      // Throws, with the name of a similar service, if there is no such node.
      await writeNodes(service === undefined ? all : nodesOf(all, { service }), output);
    });
  addJsonAndExamples(
    command,
    'getty ls file:///srv/getty/registry',
    'getty ls file:///srv/getty/registry --watch',
  );
};

/** `service` undefined: all services. `interval`: milliseconds. */
interface WatchSettings {
  readonly service: string | undefined;
  readonly interval: number;
}

/** Writes `all`, and then the changes, until `signal` aborts. */
async function watch(
  registry: Registry,
  all: readonly ServiceNode[],
  { service, interval }: WatchSettings,
  output: Output,
  signal: AbortSignal,
): Promise<void> {
  const select = (nodes: readonly ServiceNode[]): readonly ServiceNode[] =>
    service === undefined ? nodes : nodes.filter((node) => canOffer(node, service));
  let before = select(all);
  await writeFirst(before, output);
  const report = (text: string): void => output.progress(`${timeText()}  ${text}`);
  for await (const list of new RegistryPoll(registry, interval, signal, report)) {
    const after = select(list);
    await writeChanges(before, after, output);
    before = after;
  }
}

async function writeNodes(nodes: readonly ServiceNode[], output: Output): Promise<void> {
  if (output.isJson) return output.jsonValue({ nodes: nodes.map(nodeJson) });
  if (nodes.length === 0) return output.progress('the registry has no nodes');
  const rows = mergeCodecs(nodes);
  await output.table(rows, nodeColumns(rows));
}

/** With JSON each line is a change, so the first list is written as nodes that were added. */
async function writeFirst(nodes: readonly ServiceNode[], output: Output): Promise<void> {
  if (output.isJson) return writeChanges([], nodes, output);
  const rows = mergeCodecs(nodes);
  for (const line of tableLines(rows, nodeColumns(rows))) await output.line(line);
}

async function writeChanges(
  before: readonly ServiceNode[],
  after: readonly ServiceNode[],
  output: Output,
): Promise<void> {
  const changes = compareSnapshots(before, after);
  for (const change of ['removed', 'added', 'updated'] as const) {
    for (const node of changes[change]) {
      if (output.isJson)
        await output.jsonLine({ time: new Date().toISOString(), change, node: nodeJson(node) });
      else await output.line(`${timeText()}  ${change.padEnd(7)}  ${nodeText(node)}`);
    }
  }
}

const timeText = (): string => new Date().toTimeString().slice(0, 8);
