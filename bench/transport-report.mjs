// @ts-check
/** Computes medians and ratios from the rounds of a comparison, and prints them as tables. */
import { median } from './processes.mjs';

/** @typedef {import('./transport-plan.mjs').Comparison} Comparison */
/** @typedef {import('./transport-plan.mjs').Metric} Metric */
/** @typedef {import('./transport-plan.mjs').Wanted} Wanted */
/** @typedef {import('./transport-pairs.mjs').Round} Round */
/** @typedef {import('./transport-pairs.mjs').Sample} Sample */
/** @typedef {import('./table.mjs').Row} Row */

/** @type {Record<Metric, string>} */
const NAMES = { rate: 'messages/s', cpu: 'CPU of the server per message' };

/** @param {Comparison} comparison @param {Metric} metric */
export const titleOf = ({ name, ours, peer }, metric) =>
  `${name}, ${NAMES[metric]}: ${ours} ÷ ${peer}`;

/** @param {Round[]} rounds @param {Metric} metric */
const ratiosOf = (rounds, metric) => rounds.map(({ ours, peer }) => ours[metric] / peer[metric]);

/**
 * The row of one wanted result. With several runs it has the median of each, and its ratio is the
 * worst of them.
 * @param {Comparison} comparison @param {Wanted} wanted @param {Round[][]} runs @returns {Row}
 */
export function rowOf(comparison, { metric, least, most }, runs) {
  const what = titleOf(comparison, metric);
  const [first = []] = runs;
  if (runs.length === 1) {
    const ratios = ratiosOf(first, metric);
    return { what, ratio: median(ratios), ratios, least, most };
  }
  const ratios = runs.map((rounds) => median(ratiosOf(rounds, metric)));
  const isMet = (/** @type {number} */ ratio) => ratio >= (least ?? 0) && ratio <= (most ?? ratio);
  const met = `${ratios.filter(isMet).length} of ${runs.length} runs met it`;
  return {
    what,
    ratio: least === undefined ? Math.max(...ratios) : Math.min(...ratios),
    ratios,
    least,
    most,
    text: `${ratios.map((ratio) => ratio.toFixed(2)).join(', ')}: ${met}`,
  };
}

/**
 * One line for each side of a comparison.
 * @param {{ comparison: Comparison, runs: Round[][] }[]} measured
 */
export function details(measured) {
  const head = ['load', 'side', 'messages/s', 'spread', 'server µs', 'client µs', 'waited'];
  const table = [head, Array(head.length).fill('---')];
  for (const { comparison, runs } of measured) {
    for (const side of /** @type {const} */ (['ours', 'peer'])) {
      const samples = runs.flat().map((round) => round[side]);
      const of = (/** @type {keyof Sample} */ key) => median(samples.map((sample) => sample[key]));
      const rates = samples.map(({ rate }) => rate);
      const spread = (Math.max(...rates) - Math.min(...rates)) / of('rate');
      table.push([
        comparison.name,
        comparison[side],
        String(Math.round(of('rate'))),
        `${Math.round(spread * 100)} %`,
        of('cpu').toFixed(2),
        of('clientCpu').toFixed(2),
        `${Math.round(of('waited') * 100)} %`,
      ]);
    }
  }
  return table.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
