/** `getty node`: takes a provider out of the lists and back, and changes its weight. */
import type { CodecName, ProviderStatus, PublishedEntry } from '../../rpc/index.js';
import { addJsonAndExamples, type DefineCommand, type JsonOption, outputOf } from '../command.js';
import { UsageError } from '../failure.js';
import { parseChoice, parseDuration, parseInteger } from '../option-values.js';
import type { Output } from '../output/output.js';
import type { Column } from '../output/table.js';
import { otherSessions } from '../sessions/other-sessions.js';
import { untilUnused } from '../sessions/unused-server.js';
import { changeNode, NODE_ACTIONS, type NodeChange } from '../target/admin.js';
import { addConnectionOptions, type ConnectionOptions } from '../target/connection-options.js';
import { connectTo } from '../target/server-connection.js';
import { parseAddress } from '../target/target.js';

interface NodeOptions extends ConnectionOptions, JsonOption {
  readonly service?: string;
  readonly serviceVersion?: string;
  readonly codec?: CodecName;
  /** Milliseconds. */
  readonly wait?: number;
}

const MAX_WEIGHT = 1_000_000;

const COLUMNS: readonly Column<PublishedEntry>[] = [
  { title: 'SERVICE', cell: ({ service }) => service },
  { title: 'VERSION', cell: ({ version }) => version },
  { title: 'GROUP', cell: ({ group }) => group },
  { title: 'CODEC', cell: ({ codec }) => codec },
  { title: 'ADDRESS', cell: ({ address }) => address },
  { title: 'WEIGHT', cell: ({ weight }) => weight },
  { title: 'PUBLISHED', cell: ({ isPublished }) => (isPublished ? 'yes' : 'no') },
];

export const defineNode: DefineCommand = (program, terminal) => {
  const command = program
    .command('node')
    .summary('take a provider out of its registry and back, or change its weight')
    .description(
      'Take a provider out of its registry (drain), so that consumers call other nodes, while it\n' +
        'serves the calls in flight; publish it again (undrain); or change the weight of its entries\n' +
        '(weight). The provider needs the option admin: true. Then show its entries.',
    )
    .argument('<action>', NODE_ACTIONS.join(', '))
    .argument('<address>', 'the address of the provider, such as tcp://127.0.0.1:8849')
    .argument(
      '[weight]',
      `the new weight, from 0 to ${MAX_WEIGHT}; 0: no calls from consumers with weighted()`,
    )
    .option(
      '--wait <duration>',
      'with drain: wait at most so long until no sessions are left; the exit code is 4 if some are',
      (text: string) => parseDuration('--wait', text),
    )
    .option('--service <service>', 'change the weight of this service only')
    .option('--service-version <version>', 'of this version of --service only')
    .option(
      '--codec <codec>',
      'of this codec of --service only: json or protobuf',
      (text: string) => parseChoice<CodecName>('--codec', text, ['json', 'protobuf']),
    );
  addConnectionOptions(command);
  command.action(
    async (action: string, address: string, weight: string | undefined, options: NodeOptions) => {
      const output = outputOf(terminal, options);
      const change = changeOf(action, weight, options);
      const client = await connectTo(parseAddress(address, options), options, terminal);
      try {
        // A server that does not tell its sessions fails before the change.
        if (options.wait !== undefined) await otherSessions(client, terminal);
        await writeStatus(await changeNode(client, change, terminal), output);
        if (options.wait !== undefined) await untilUnused(client, options.wait, output, terminal);
      } finally {
        client.destroy();
      }
    },
  );
  addJsonAndExamples(
    command,
    'getty node drain tcp://127.0.0.1:8849',
    'getty node weight tcp://127.0.0.1:8849 50 --service Greeter --json',
  );
};

async function writeStatus(status: ProviderStatus, output: Output): Promise<void> {
  if (output.isJson) return output.jsonValue(status);
  await output.table(status.entries, COLUMNS);
  const { state, reason, total, entries } = status;
  const rest = total > entries.length ? `; ${entries.length} of ${total} are shown` : '';
  output.progress(`state: ${state}${reason === undefined ? '' : `: ${reason}`}${rest}`);
}

/** Throws UsageError. */
function changeOf(text: string, weight: string | undefined, options: NodeOptions): NodeChange {
  const action = parseChoice('ACTION', text, NODE_ACTIONS);
  const { service, serviceVersion: version, codec, wait } = options;
  if (wait !== undefined && action !== 'drain')
    throw new UsageError(`--wait: this option is for drain, not for ${action}`);
  if (action === 'weight') {
    if (weight === undefined) throw new UsageError('WEIGHT: got nothing, expected a whole number');
    if (service === undefined && (version !== undefined || codec !== undefined))
      throw new UsageError('--service-version, --codec: they need --service');
    const value = parseInteger('WEIGHT', weight, 0, MAX_WEIGHT);
    return { action, request: { weight: value, service, version, codec } };
  }
  if (weight !== undefined || service !== undefined || version !== undefined || codec !== undefined)
    throw new UsageError(`${action}: a weight and the options of a service are for \`weight\``);
  return { action };
}
