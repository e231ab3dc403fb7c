/** What `getty top` writes of one sample: a table with the lines below it, or JSON. */
import { messageOf } from '../../core/errors.js';
import { isBlocked } from '../doctor/status-checks.js';
import { AdvisedError } from '../failure.js';
import type { Output } from '../output/output.js';
import { printable } from '../output/printable.js';
import { type Column, fitScreen, tableLines } from '../output/table.js';
import { isOwnService } from '../target/introspection.js';
import type { FleetSample, NodeEventLoop, NodeFailure } from './fleet-monitor.js';
import { firstRates, type TopOrder } from './method-order.js';
import { type MethodRate, mergeNodes, type TotalRate, totalOf } from './method-rates.js';

export interface TopSettings {
  /** Whether each node has a row of its own. Default: false. */
  readonly nodes?: boolean;
  /** Default: `calls`. */
  readonly sort?: TopOrder;
  /** The only service to show. Undefined: all but those of getty itself. */
  readonly service?: string | undefined;
}

/** The most rows; the first ones in the order are shown. */
const MAX_ROWS = 40;
/** The most nodes that have a line below the table. */
const MAX_NODES = 5;
/** The most characters of a line that is no row. */
const MAX_LINE = 300;
/** Moves the cursor to the first line, and clears the rest of the screen. */
const REDRAW = '\u001b[H\u001b[J';

interface Row extends TotalRate, Partial<Pick<MethodRate, 'node' | 'mean' | 'p50' | 'p99'>> {
  readonly name: string;
  readonly version?: string;
}

const COLUMNS: readonly Column<Row>[] = [
  { title: 'METHOD', cell: ({ name }) => name },
  { title: 'VERSION', cell: ({ version }) => version },
  { title: 'NODE', cell: ({ node }) => node },
  { title: 'CALLS/S', cell: ({ rate }) => perSecond(rate) },
  { title: 'FAILED/S', cell: ({ failures }) => perSecond(failures) },
  { title: 'IN FLIGHT', cell: ({ inFlight }) => inFlight },
  { title: 'MEAN', cell: ({ mean }) => milliseconds(mean) },
  { title: 'P50', cell: ({ p50 }) => milliseconds(p50) },
  { title: 'P99', cell: ({ p99 }) => milliseconds(p99) },
];

const CODES: Column<Row> = {
  title: 'CODES',
  cell: ({ codes }) =>
    Object.entries(codes)
      .map(([code, rate]) => `${code} ${perSecond(rate)}`)
      .join(', '),
};

/** Few calls have a decimal place. More than none is at least 0.1. */
function perSecond(rate: number): number {
  if (rate >= 10 || rate === 0) return Math.round(rate);
  return Math.max(0.1, Number(rate.toFixed(1)));
}

const milliseconds = (ms: number | undefined): string =>
  ms === undefined ? '–' : `${ms.toFixed(ms < 10 ? 2 : 0)} ms`;

/** Writes one sample. On a terminal it replaces the one before, and fits on the screen. */
export async function writeSample(
  sample: FleetSample,
  settings: TopSettings,
  output: Output,
): Promise<void> {
  const { nodes: byNode = false, sort: order = 'calls', service } = settings;
  const shown = sample.rates.filter((rate) =>
    service === undefined ? !isOwnService(rate.service) : rate.service === service,
  );
  const merged = byNode ? shown : await mergeNodes(shown);
  const methods = firstRates(merged, order, output.isJson ? merged.length : MAX_ROWS);
  const total = totalOf(shown);
  if (output.isJson)
    return output.jsonLine({
      time: new Date().toISOString(),
      nodes: sample.nodes,
      failures: sample.failures.map(failureJson),
      eventLoops: sample.eventLoops.map(({ node, delay }) => ({
        node,
        max: delay.max,
        isBlocked: isBlocked(delay),
      })),
      methods,
      ...(service !== undefined && { total }),
    });
  const rows: Row[] = methods.map((rate) => ({ ...rate, name: `${rate.service}/${rate.method}` }));
  if (service !== undefined) rows.push({ ...total, name: 'total' });
  const loop = byNode ? [eventLoopColumn(sample.eventLoops)] : [];
  const [titles = '', ...lines] = tableLines(rows, [...COLUMNS, ...loop, CODES]);
  const totals = service === undefined ? [] : lines.splice(-1);
  const time = new Date().toTimeString().slice(0, 8);
  const summary = `${time}  nodes: ${sample.nodes}  calls/s: ${Math.round(total.rate)}`;
  const screen = {
    head: [summary, titles],
    body: lines,
    foot: [
      ...totals,
      ...failureLines(sample.failures),
      ...(byNode ? [] : blockedLines(sample.eventLoops)),
    ],
  };
  const text = fitScreen(screen, output.screen).join('\n');
  await output.raw(`${output.isTerminal ? REDRAW : ''}${text}\n`);
}

/** A node without a measurement has no text, and neither has the total. */
function eventLoopColumn(eventLoops: readonly NodeEventLoop[]): Column<Row> {
  const delays = new Map(eventLoops.map(({ node, delay }) => [node, delay]));
  return {
    title: 'EVENT LOOP',
    cell: ({ node = '' }) => {
      const delay = delays.get(node);
      if (delay === undefined) return node === '' ? '' : '–';
      return isBlocked(delay) ? `blocked ${Math.round(delay.max)} ms` : 'ok';
    },
  };
}

const failureJson = ({ node, error }: NodeFailure): object => ({
  node,
  reason: messageOf(error),
  ...(error instanceof AdvisedError && { advice: error.advice }),
});

function failureLines(failures: readonly NodeFailure[]): string[] {
  const lines = failures.slice(0, MAX_NODES).map(({ node, error }) => {
    const advice = error instanceof AdvisedError ? ` (${error.advice})` : '';
    return printable(`no answer from ${node}: ${messageOf(error)}${advice}`, MAX_LINE);
  });
  const more = failures.length - MAX_NODES;
  return more > 0 ? [...lines, `no answer from ${more} more ${plural(more)}`] : lines;
}

function blockedLines(eventLoops: readonly NodeEventLoop[]): string[] {
  const blocked = eventLoops
    .filter(({ delay }) => isBlocked(delay))
    .sort((a, b) => b.delay.max - a.delay.max);
  if (blocked.length === 0) return [];
  const names = blocked
    .slice(0, MAX_NODES)
    .map(({ node, delay }) => `${node} (${Math.round(delay.max)} ms)`);
  const more = blocked.length - MAX_NODES;
  const rest = more > 0 ? ` and ${more} more ${plural(more)}` : '';
  return [printable(`event loop blocked: ${names.join(', ')}${rest}`, MAX_LINE)];
}

const plural = (count: number): string => (count === 1 ? 'node' : 'nodes');
