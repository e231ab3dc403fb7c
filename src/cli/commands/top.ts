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
import { printable } from '../output/printable.js';
import { type Column, tableLines } from '../output/table.js';
import { addConnectionOptions, type ConnectionOptions } from '../target/connection-options.js';
import { openQuietRegistry } from '../target/published-nodes.js';
import { parseTarget } from '../target/target.js';
import { addressesOf, FleetMonitor, type FleetSample } from '../top/fleet-monitor.js';
import { sortRates, TOP_ORDERS, type TopOrder } from '../top/method-order.js';
import { type MethodRate, mergeNodes } from '../top/method-rates.js';

interface TopOptions extends ConnectionOptions, JsonOption {
  readonly interval?: number;
  readonly count?: number;
  readonly nodes?: boolean;
  readonly sort?: TopOrder;
}

const DEFAULT_INTERVAL = 1_000;
/** The most rows; the first ones in the order are shown. */
const MAX_ROWS = 40;
/** Moves the cursor to the first line, and clears the rest of the screen. */
const REDRAW = '\u001b[H\u001b[J';

const COLUMNS: readonly Column<MethodRate>[] = [
  { title: 'METHOD', cell: ({ service, method }) => `${service}/${method}` },
  { title: 'VERSION', cell: ({ version }) => version },
  { title: 'NODE', cell: ({ node }) => node },
  { title: 'CALLS/S', cell: ({ rate }) => perSecond(rate) },
  { title: 'FAILED/S', cell: ({ failures }) => perSecond(failures) },
  { title: 'IN FLIGHT', cell: ({ inFlight }) => inFlight },
  { title: 'MEAN', cell: ({ mean }) => milliseconds(mean) },
  { title: 'P50', cell: ({ p50 }) => milliseconds(p50) },
  { title: 'P99', cell: ({ p99 }) => milliseconds(p99) },
  {
    title: 'CODES',
    cell: ({ codes }) =>
      Object.entries(codes)
        .map(([code, rate]) => `${code} ${perSecond(rate)}`)
        .join(', '),
  },
];

/** Few calls have a decimal place. More than none is at least 0.1. */
function perSecond(rate: number): number {
  if (rate >= 10 || rate === 0) return Math.round(rate);
  return Math.max(0.1, Number(rate.toFixed(1)));
}

const milliseconds = (ms: number | undefined): string =>
  ms === undefined ? '–' : `${ms.toFixed(ms < 10 ? 2 : 0)} ms`;

export const defineTop: DefineCommand = (program, terminal) => {
  const command = program
    .command('top')
    .summary('show the calls of each method, each second')
    .description(
      'Show how many calls each method serves, the busiest first, until Ctrl-C. MEAN, P50 and P99\n' +
        'are those of the interval. Servers need the option introspection: true.',
    )
    .argument('<target>', 'an address, or a registry, of which all nodes are asked')
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
  command.action(async (text: string, options: TopOptions) => {
    const output = outputOf(terminal, options);
    const target = parseTarget(text, options);
    await using registry =
      target.kind === 'registry' ? await openQuietRegistry(target.url) : undefined;
    using monitor = new FleetMonitor(options, terminal);
    monitor.follow(
      registry === undefined
        ? new Map([[target.url, 'server']])
        : await untilAborted(addressesOf(registry), terminal.signal),
    );
    const first = await monitor.sample();
    if (terminal.signal.aborted) return;
    checkFirst(first);
    const { interval = DEFAULT_INTERVAL, count = Number.POSITIVE_INFINITY } = options;
    for (let at = 0; at < count && (await pause(interval, terminal.signal)); at++) {
      if (registry !== undefined) await followAgain(registry, monitor, output, terminal.signal);
      const sample = await monitor.sample();
      if (terminal.signal.aborted) return;
      await write(sample, options, output);
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
  monitor: FleetMonitor,
  output: Output,
  signal: AbortSignal,
): Promise<void> {
  try {
    monitor.follow(await untilAborted(addressesOf(registry), signal));
  } catch (error) {
    if (signal.aborted) return;
    output.progress(`${messageOf(error)}; the last list is kept`);
  }
}

async function write(
  sample: FleetSample,
  { nodes: byNode = false, sort: order = 'calls' }: TopOptions,
  output: Output,
): Promise<void> {
  const rates = byNode ? sample.rates : mergeNodes(sample.rates);
  const sorted = sortRates(rates, order);
  const { nodes } = sample;
  const failures = sample.failures.map(({ node, error }) => ({ node, reason: messageOf(error) }));
  if (output.isJson)
    return output.jsonLine({ time: new Date().toISOString(), nodes, failures, methods: sorted });
  const total = sorted.reduce((sum, { rate }) => sum + rate, 0);
  const silent = failures.map(({ node, reason }) => `${node}: ${reason}`).join('; ');
  const summary = `${new Date().toTimeString().slice(0, 8)}  nodes: ${nodes}  calls/s: ${Math.round(total)}`;
  const lines = [
    printable(silent === '' ? summary : `${summary}  no answer from ${silent}`, 300),
    ...tableLines(sorted.slice(0, MAX_ROWS), COLUMNS),
  ];
  await output.raw(`${output.isTerminal ? REDRAW : ''}${lines.join('\n')}\n`);
}
