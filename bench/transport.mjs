// @ts-check
/**
 * Compares the transport with programs written by hand, and with other servers:
 * `npm run bench -- transport`. Each side of a comparison has a server and a client process, and
 * the sides take turns in each round. See bench/README.md.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { affinity } from './affinity.mjs';
import { limitNote, possibleSessions } from './capacity.mjs';
import { machine } from './processes.mjs';
import { printRow, tableHead } from './table.mjs';
import { measureFlood, measureIdle } from './transport-memory.mjs';
import { compare } from './transport-pairs.mjs';
import { comparisons, FULL, SHORT } from './transport-plan.mjs';
import { details, rowOf, titleOf } from './transport-report.mjs';

/** @typedef {import('./table.mjs').Row} Row */
/** @typedef {import('./transport-pairs.mjs').Round} Round */
/** @typedef {import('./transport-plan.mjs').Comparison} Comparison */
/** @typedef {import('./transport-plan.mjs').Plan} Plan */

const USAGE =
  'usage: npm run bench -- transport [--short] [--seconds 0.5] [--rounds 11] [--flood 60] [--only WORD] [--json FILE]';
const IDLE = 'idle sessions with heartbeats';
const FLOOD = 'flood';

/**
 * The number of an option, or `value` without it.
 * @param {string} name @param {string | undefined} text @param {number} value @param {number} most
 */
function numberOf(name, text, value, most) {
  if (text === undefined) return value;
  const number = Number(text);
  if (!(number > 0 && number <= most))
    throw new Error(`--${name} is ${text}, expected more than 0, and up to ${most}`);
  return number;
}

function readCommandLine() {
  const { values } = parseArgs({
    args: process.argv.slice(3),
    options: {
      short: { type: 'boolean', default: false },
      seconds: { type: 'string' },
      rounds: { type: 'string' },
      flood: { type: 'string' },
      only: { type: 'string', default: '' },
      json: { type: 'string' },
    },
  });
  const plan = { ...(values.short ? SHORT : FULL) };
  plan.seconds = numberOf('seconds', values.seconds, plan.seconds, 60);
  plan.rounds = Math.ceil(numberOf('rounds', values.rounds, plan.rounds, 100));
  plan.flood = numberOf('flood', values.flood, plan.flood, 600);
  const wants = (/** @type {string} */ name) => name.includes(values.only);
  plan.timedSessions = possibleSessions(plan.timedSessions);
  plan.roomSessions = possibleSessions(plan.roomSessions);
  const includesLong = plan.isFull || values.only !== '';
  const chosen = comparisons(plan).filter(
    (comparison) =>
      (includesLong || !comparison.isLong) &&
      comparison.wanted.some(({ metric }) => wants(titleOf(comparison, metric))),
  );
  const [isIdle, isFlood] = [wants(IDLE), wants(FLOOD) && includesLong];
  if (chosen.length === 0 && !isIdle && !isFlood)
    throw new Error(`--only '${values.only}' matches no row`);
  return { plan, chosen, isIdle, isFlood, json: values.json };
}

/** @returns {ReturnType<typeof readCommandLine>} */
function commandLine() {
  try {
    return readCommandLine();
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n${USAGE}`);
    process.exit(2);
  }
}

const { plan, chosen, isIdle, isFlood, json } = commandLine();
/** @type {Row[]} */
const rows = [];
const print = (/** @type {Row} */ row) => {
  rows.push(row);
  printRow(row);
};
const progress = (/** @type {string} */ text) => {
  if (process.stderr.isTTY) process.stderr.write(`${text}   \r`);
};

/**
 * Print the rows of a measurement, or one that says why it failed.
 * @param {string} what @param {() => Promise<Row[]>} measure
 */
async function printRows(what, measure) {
  progress(what);
  try {
    for (const row of await measure()) print(row);
  } catch (error) {
    print({ what, ratio: Number.NaN, ratios: [], failed: String(error) });
  }
}

/** @type {{ comparison: Comparison, runs: Round[][] }[]} */
const measured = [];

/** @param {Comparison} comparison */
async function rowsOf(comparison) {
  /** @type {Round[][]} */
  const runs = [];
  while (runs.length < (plan.isFull ? (comparison.runs ?? 1) : 1))
    runs.push(await compare(comparison, plan));
  measured.push({ comparison, runs });
  return comparison.wanted.map((wanted) => rowOf(comparison, wanted, runs));
}

tableHead();
for (const comparison of chosen) await printRows(comparison.name, () => rowsOf(comparison));
if (isIdle) await printRows(IDLE, () => measureIdle(plan));
if (isFlood) await printRows(FLOOD, async () => [await measureFlood(plan.flood)]);
if (measured.length > 0) console.log(`\n${details(measured)}`);
console.log(
  `\n${machine()}, ${plan.rounds} rounds of ${plan.seconds} s. Compare only the ratios. ${affinity} ${limitNote()}`,
);
if (json !== undefined)
  writeFileSync(
    json,
    `${JSON.stringify({ machine: machine(), affinity, ...plan, rows, measured }, null, 2)}\n`,
  );
process.exit(rows.some(({ failed }) => failed !== undefined) ? 1 : 0);
