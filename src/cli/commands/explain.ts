/** `getty explain`: which nodes of a service calls go to, and why not to the others. */
import { redactUrl } from '../../core/redact.js';
import { untilAborted } from '../../core/signals.js';
import { consume, type ExplainedNode } from '../../micro/index.js';
import { type CodecName, RpcError } from '../../rpc/index.js';
import {
  addJsonAndExamples,
  type DefineCommand,
  ExitCode,
  type JsonOption,
  outputOf,
} from '../command.js';
import { exitCodeOf } from '../failure.js';
import { parseChoice } from '../option-values.js';
import type { Output } from '../output/output.js';
import type { Column } from '../output/table.js';
import {
  addConnectionOptions,
  type ConnectionOptions,
  DEFAULT_TIMEOUT,
} from '../target/connection-options.js';
import { type Dial, dial, inParallel } from '../target/dial.js';
import { weightOf } from '../target/node-rows.js';
import { openQuietRegistry } from '../target/published-nodes.js';
import { nodesOf } from '../target/server-connection.js';
import { parseRegistry } from '../target/target.js';

interface ExplainOptions extends ConnectionOptions, JsonOption {
  readonly group?: string;
  readonly serviceVersion?: string;
  readonly codec?: CodecName;
}

/** A node, and what an attempt to call it has shown; undefined for a node that calls do not use. */
interface Row extends ExplainedNode {
  readonly dial: Dial | undefined;
  /** Whether weighted() calls other nodes instead: its weight is 0, and theirs is not. */
  readonly isWeightless?: boolean;
}

/** What a call would fail with. */
const NO_NODE = new RpcError('UNAVAILABLE', 'no node receives calls');

const COLUMNS: readonly Column<Row>[] = [
  { title: 'NODE', cell: ({ node }) => node.id },
  { title: 'ADDRESS', cell: ({ node }) => redactUrl(node.address) },
  { title: 'VERSION', cell: ({ node }) => node.version },
  { title: 'GROUP', cell: ({ node }) => node.group },
  { title: 'CODEC', cell: ({ node }) => node.protocol },
  { title: 'WEIGHT', cell: ({ node }) => weightOf(node) },
  { title: 'CALLS', cell: (row) => (receivesCalls(row) ? 'yes' : 'no') },
  { title: 'WHY', cell: reasonOf },
];

export const defineExplain: DefineCommand = (program, terminal) => {
  const command = program
    .command('explain')
    .summary('show which nodes calls of a service go to, and why')
    .description(
      'Show which nodes a new consumer calls, and why it does not call the others. Each node that\n' +
        'it may call gets one call. The exit code is 14 (UNAVAILABLE) if there is none.',
    )
    .argument('<registry>', 'such as etcd://host:2379/root or file:///directory')
    .argument('<service>', 'such as Greeter')
    .option('--group <group>', 'the group of the consumer (default: any)')
    .option('--service-version <version>', 'the version of its contract (default: any)')
    .option('--codec <codec>', 'its codec: json or protobuf (default: json)', (text: string) =>
      parseChoice<CodecName>('--codec', text, ['json', 'protobuf']),
    );
  addConnectionOptions(command);
  command.action(async (url: string, service: string, options: ExplainOptions) => {
    const output = outputOf(terminal, options);
    const { group, serviceVersion: version = '', codec = 'json' } = options;
    await using registry = await openQuietRegistry(parseRegistry(url, options));
    const published = await untilAborted(registry.list(), terminal.signal);
    // Rejects, with the name of a similar service, if there is no node.
    nodesOf(published, { service });
    await using consumer = consume({ registry, ...(group !== undefined && { group }) });
    const contract = { name: service, version, codec };
    await consumer.resolver(contract).ready({
      timeout: options.timeout ?? DEFAULT_TIMEOUT,
      signal: terminal.signal,
    });
    const { candidates, leftOut } = await consumer.explain(contract);
    const hasWeights = candidates.some(({ node }) => weightOf(node) > 0);
    const dialed = await inParallel(candidates, async (each) => ({
      ...each,
      dial: await dial(each.node.address, options, terminal),
      isWeightless: hasWeights && weightOf(each.node) === 0,
    }));
    const others = withoutOtherCodecs(leftOut, [...candidates, ...leftOut], codec);
    const rows: Row[] = [...dialed, ...others.map((each) => ({ ...each, dial: undefined }))];
    await write(rows, output);
    if (!rows.some(receivesCalls)) throw new ExitCode(exitCodeOf(NO_NODE));
  });
  addJsonAndExamples(
    command,
    'getty explain file:///srv/getty/registry Greeter',
    'getty explain file:///srv/getty/registry Greeter --service-version v1 --group bj --json',
  );
};

/** Without the entries of nodes that offer the same in `codec` too. */
function withoutOtherCodecs(
  leftOut: readonly ExplainedNode[],
  all: readonly ExplainedNode[],
  codec: CodecName,
): ExplainedNode[] {
  const keyOf = ({ node: { id, address, version, group } }: ExplainedNode): string =>
    JSON.stringify([id, address, version, group]);
  const offered = new Set(all.filter(({ node }) => node.protocol === codec).map(keyOf));
  return leftOut.filter((each) => each.node.protocol === codec || !offered.has(keyOf(each)));
}

function receivesCalls(row: Row): boolean {
  return row.candidate && row.dial?.answers === true;
}

function reasonOf({ reason, dial, isWeightless }: Row): string {
  if (dial === undefined) return reason;
  if (!dial.answers) return dial.error;
  const exception = isWeightless ? ', but not from weighted(): its weight is 0' : '';
  return `${reason}${exception}; answers within ${dial.time.toFixed(1)} ms`;
}

async function write(rows: readonly Row[], output: Output): Promise<void> {
  if (!output.isJson) {
    await output.table(rows, COLUMNS);
    const count = rows.filter(receivesCalls).length;
    return output.progress(
      rows.length === 1
        ? `the entry receives ${count === 1 ? 'calls' : 'no calls'}`
        : `${count} of ${rows.length} entries receive calls`,
    );
  }
  await output.jsonValue({
    nodes: rows.map((row) => ({
      node: row.node.id,
      address: redactUrl(row.node.address),
      version: row.node.version,
      group: row.node.group,
      codec: row.node.protocol,
      weight: weightOf(row.node),
      calls: receivesCalls(row),
      reason: reasonOf(row),
    })),
  });
}
