/** `getty top`: the calls of each method, redrawn each second. */
import { messageOf } from '../../core/errors.js';
import { untilAborted } from '../../core/signals.js';
import { pause } from '../../core/timers.js';
import type { Registry } from '../../micro/index.js';
import { RpcError } from '../../rpc/index.js';
import { addJsonAndExamples, type DefineCommand, type JsonOption, outputOf } from '../command.js';
import { AdvisedError } from '../failure.js';
import { parseChoice, parseDuration, parseInteger } from '../option-values.js';
import type { Output } from '../output/output.js';
import { addConnectionOptions, type ConnectionOptions } from '../target/connection-options.js';
import { openQuietRegistry } from '../target/published-nodes.js';
import { parseTarget } from '../target/target.js';
import { FleetMonitor, type FleetSample } from '../top/fleet-monitor.js';
import { addressesOf, checkOffered, firstAddressesOf } from '../top/followed-nodes.js';
import { TOP_ORDERS } from '../top/method-order.js';
import { type TopSettings, writeSample } from '../top/top-screen.js';

interface TopOptions extends ConnectionOptions, JsonOption, Pick<TopSettings, 'nodes' | 'sort'> {
  readonly interval?: number;
  readonly count?: number;
}

const DEFAULT_INTERVAL = 1_000;

export const defineTop: DefineCommand = (program, terminal) => {
  const command = program
    .command('top')
    .summary('show the calls of each method, each second')
    .description(
      'Show how many calls each method serves, the busiest first, until Ctrl-C. MEAN, P50 and P99\n' +
        'are those of the handlers in the interval. With a service, show its methods and their\n' +
        'total. Servers need the option introspection: true.',
    )
    .argument('<target>', 'an address, or a registry, of which all nodes are asked')
    .argument('[service]', 'show this service only, and its total')
    .option('--nodes', 'a row for each node')
    .option(
      '--sort <order>',
      `the methods with the most of this come first: ${TOP_ORDERS.join(', ')} (default: calls)`,
      (text: string) => parseChoice('--sort', text, TOP_ORDERS),
    )
    .option('--interval <duration>', 'how often (default: 1s)', (text: string) =>
      parseDuration('--interval', text),
    )
    .option('--count <number>', 'end after so many intervals (default: never)', (text: string) =>
      parseInteger('--count', text, 1, 1_000_000),
    );
  addConnectionOptions(command);
  command.action(async (text: string, service: string | undefined, options: TopOptions) => {
    const output = outputOf(terminal, options);
    const target = parseTarget(text, options);
    await using registry =
      target.kind === 'registry' ? await openQuietRegistry(target.url) : undefined;
    using monitor = new FleetMonitor(options, terminal);
    monitor.follow(
      registry === undefined
        ? new Map([[target.url, 'server']])
        : await untilAborted(firstAddressesOf(registry, service), terminal.signal),
    );
    if (registry === undefined && service !== undefined)
      await checkOffered(target.url, service, options, terminal);
    const first = await monitor.sample();
    if (terminal.signal.aborted) return;
    checkFirst(first);
    const { interval = DEFAULT_INTERVAL, count = Number.POSITIVE_INFINITY } = options;
    for (let at = 0; at < count && (await pause(interval, terminal.signal)); at++) {
      if (registry !== undefined)
        await followAgain(registry, service, monitor, output, terminal.signal);
      const sample = await monitor.sample();
      if (terminal.signal.aborted) return;
      await writeSample(sample, { ...options, service }, output);
    }
  });
  addJsonAndExamples(
    command,
    'getty top tcp://127.0.0.1:8849 --count 2 --interval 100ms',
    'getty top file:///srv/getty/registry --nodes --count 1 --json',
  );
};

/** Throws the error of the first node if no node answers, because then there is nothing to show. */
function checkFirst({ nodes, failures: [first, ...others] }: FleetSample): void {
  if (nodes === 0)
    throw new AdvisedError(
      new RpcError('UNAVAILABLE', 'the registry has no nodes'),
      'is it the root or directory that providers use?',
    );
  if (first !== undefined && others.length + 1 === nodes) throw first.error;
}

async function followAgain(
  registry: Registry,
  service: string | undefined,
  monitor: FleetMonitor,
  output: Output,
  signal: AbortSignal,
): Promise<void> {
  try {
    monitor.follow(await untilAborted(addressesOf(registry, service), signal));
  } catch (error) {
    if (signal.aborted) return;
    output.progress(`${messageOf(error)}; the last list is kept`);
  }
}
