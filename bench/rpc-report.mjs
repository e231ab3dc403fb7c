// @ts-check
/** Computes medians and ratios from samples, and prints them as tables. */
import { median } from './processes.mjs';

/** @typedef {import('./rpc-plan.mjs').Group} Group */
/** @typedef {import('./rpc-plan.mjs').Metric} Metric */
/** @typedef {import('./rpc-plan.mjs').Wanted} Wanted */
/** @typedef {import('./rpc-pairs.mjs').Sample} Sample */
/** @typedef {ReturnType<typeof summary>} Line */

/** @type {Record<Metric, string>} */
const NAMES = { rate: 'calls/s', p50: 'p50', p99: 'p99', cpu: 'CPU per call' };

/**
 * The medians of one side of a group over all rounds.
 * @param {Group} group
 * @param {string} side
 * @param {Sample[]} samples
 * @param {number | undefined} pace calls/s, when calls were due at a fixed rate
 */
export function summary(group, side, samples, pace) {
  const of = (/** @type {Metric} */ metric) => median(samples.map((sample) => sample[metric]));
  const rates = samples.map(({ rate }) => rate);
  return {
    group: group.name,
    side,
    pace,
    rate: of('rate'),
    spread: (Math.max(...rates) - Math.min(...rates)) / of('rate'),
    p50: of('p50'),
    p99: of('p99'),
    cpu: of('cpu'),
    waited: median(samples.map(({ waited }) => waited)),
    failures: samples.reduce((sum, { failures }) => sum + failures, 0),
    error: samples.find(({ failures }) => failures > 0)?.error,
    samples,
  };
}

/** @param {Group} group @param {Wanted} wanted */
export function titleOf({ name, shape, sides }, { peers, metric = 'rate' }) {
  const better = peers.length > 1 ? `the better of ${peers.join(' and ')}` : peers[0];
  const unit = shape.streams !== undefined && metric === 'rate' ? 'items/s' : NAMES[metric];
  return `${name}, ${unit}: ${sides[0]} ÷ ${better}`;
}

/**
 * @param {Group} group @param {Wanted} wanted @param {Line[]} lines @returns
 *   {import('./table.mjs').Row}
 */
export function rowOf(group, wanted, lines) {
  const { peers, metric = 'rate', least, most } = wanted;
  const mine = /** @type {Line} */ (lines[0]);
  const others = lines.filter(({ side }) => peers.includes(side));
  const failed = [mine, ...others].find(({ failures }) => failures > 0);
  const better = (/** @type {Line} */ a, /** @type {Line} */ b) =>
    metric === 'rate' ? b.rate - a.rate : a[metric] - b[metric];
  const peer = /** @type {Line} */ (others.sort(better)[0]);
  const ratios = mine.samples.map(
    (sample, round) => sample[metric] / Number(peer.samples[round]?.[metric]),
  );
  const what = titleOf(group, wanted) + (peers.length > 1 ? `: ${peer.side}` : '');
  return {
    what,
    ratio: median(ratios),
    ratios,
    least,
    most,
    ...(failed && { failed: `${failed.side}: ${failed.error}` }),
  };
}

/** @param {Line[]} lines */
export function details(lines) {
  const table = [
    [
      'load',
      'side',
      'calls/s or items/s',
      'spread',
      'p50 ms',
      'p99 ms',
      'CPU µs per call or item',
      'waited',
      'failed',
    ],
    Array(9).fill('---'),
  ];
  for (const { group, side, pace, rate, spread, p50, p99, cpu, waited, failures, error } of lines) {
    // With a fixed rate the event loop polls, and polling is most of the CPU time.
    const used = pace === undefined ? cpu.toFixed(1) : '–';
    const speed = [
      String(Math.round(rate)),
      `${Math.round(spread * 100)} %`,
      p50 === 0 ? '–' : p50.toFixed(3),
      p99 === 0 ? '–' : p99.toFixed(3),
      used,
      `${Math.round(waited * 100)} %`,
    ];
    table.push([
      group,
      side,
      ...(failures > 0 ? Array(6).fill('–') : speed),
      failures > 0 ? `${failures}: ${error}` : '0',
    ]);
  }
  return table.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
