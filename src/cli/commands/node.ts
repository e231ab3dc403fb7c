/** `getty node`: takes a provider out of the lists and back, and changes its weight. */
import { redactUrl } from '../../core/redact.js';
import {
  type CodecName,
  type ProviderStatus,
  type PublishedEntry,
  type RpcClient,
  RpcError,
} from '../../rpc/index.js';
import { addJsonAndExamples, type DefineCommand, type JsonOption, outputOf } from '../command.js';
import { AdvisedError, UsageError } from '../failure.js';
import { checkOtherNodes } from '../node/last-node.js';
import { parseChoice, parseDuration, parseInteger } from '../option-values.js';
import type { Output } from '../output/output.js';
import type { Column } from '../output/table.js';
import { otherSessions } from '../sessions/other-sessions.js';
import { untilUnused } from '../sessions/unused-server.js';
import { changeNode, NODE_ACTIONS, type NodeChange } from '../target/admin.js';
import { addConnectionOptions, type ConnectionOptions } from '../target/connection-options.js';
import { connectTo } from '../target/server-connection.js';
import { parseAddress, parseRegistry } from '../target/target.js';
import type { Terminal } from '../terminal.js';

interface NodeOptions extends ConnectionOptions, JsonOption {
  readonly service?: string;
  readonly serviceVersion?: string;
  readonly codec?: CodecName;
  /** Milliseconds. */
  readonly wait?: number;
  readonly registry?: string;
  readonly force?: boolean;
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
    .option(
      '--registry <registry>',
      'with drain: refuse to drain the last node of a service in this registry',
    )
    .option('--force', 'with --registry: only warn about it')
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
      const { wait, force = false } = options;
      const registry = options.registry === undefined ? undefined : parseRegistry(options.registry);
      const url = parseAddress(address, options);
      const client = await connectTo(url, options, terminal);
      try {
        // A server that does not tell its sessions fails before the change.
        if (wait !== undefined) await otherSessions(client, terminal);
        if (registry !== undefined)
          await checkOtherNodes(client, registry, force, output, terminal, (other) =>
            canConnect(other, options, terminal),
          );
        const status = await changeNode(client, change, terminal);
        await writeStatus(status, output);
        if (wait !== undefined) await waitForEnd(client, url, wait, output, terminal);
        if (action === 'undrain') checkPublished(status);
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

/** Waits until the drained provider has no sessions. With --json, a line says so. */
async function waitForEnd(
  client: RpcClient,
  address: string,
  limit: number,
  output: Output,
  terminal: Terminal,
): Promise<void> {
  try {
    await untilUnused(client, limit, output, terminal);
  } catch (error) {
    if (terminal.signal.aborted) {
      const undo = `getty node undrain ${redactUrl(address)}`;
      output.notice(`the provider stays drained; \`${undo}\` publishes it again`, {
        state: 'draining',
        undo,
      });
    }
    throw error;
  }
  if (output.isJson) await output.jsonLine({ sessions: 0, calls: 0 });
}

/** Throws UNAVAILABLE if the registry does not have all entries after `undrain`. */
function checkPublished({ state, reason }: ProviderStatus): void {
  if (state !== 'waiting') return;
  const message = 'the registry does not have all entries of the provider yet';
  throw new AdvisedError(
    new RpcError('UNAVAILABLE', reason === undefined ? message : `${message}: ${reason}`),
    'the provider goes on to publish them; `getty doctor ADDRESS` shows its state',
  );
}

/** Throws UsageError. */
function changeOf(text: string, weight: string | undefined, options: NodeOptions): NodeChange {
  const action = parseChoice('ACTION', text, NODE_ACTIONS);
  const { service, serviceVersion: version, codec, wait, registry, force } = options;
  for (const [flag, value] of Object.entries({ wait, registry, force }))
    if (value !== undefined && action !== 'drain')
      throw new UsageError(`--${flag}: this option is for drain, not for ${action}`);
  if (force !== undefined && registry === undefined)
    throw new UsageError('--force: this option needs --registry; without it nothing is checked');
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

async function canConnect(
  address: string,
  options: ConnectionOptions,
  terminal: Terminal,
): Promise<boolean> {
  try {
    (await connectTo(address, options, terminal)).destroy();
    return true;
  } catch {
    return false;
  }
}
