// @ts-check
/**
 * Compares calls of getty with those of its peers: `npm run bench -- rpc`. Each peer has a server
 * and a client process. In each round the sides of a comparison take turns, and the ratios of a
 * round are compared. See bench/README.md.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { machine, start, stop } from './processes.mjs';
import { garbagePerCall } from './rpc-garbage.mjs';
import { startPair } from './rpc-pairs.mjs';
import { FULL, GARBAGE, GROUPS, QUIET, SHORT } from './rpc-plan.mjs';
import { details, rowOf, summary, titleOf } from './rpc-report.mjs';
import { printRow, tableHead } from './table.mjs';

/** @typedef {import('./rpc-plan.mjs').Group} Group */
/** @typedef {import('./rpc-pairs.mjs').Pair} Pair */
/** @typedef {import('./rpc-pairs.mjs').Sample} Sample */
/** @typedef {typeof FULL} Plan */
/** @typedef {Awaited<ReturnType<typeof measureGroup>>} Measurement */

const USAGE =
  'usage: npm run bench -- rpc [--short] [--only WORD] [--peers getty,ceiling,…] [--rounds 7] [--seconds 0.7] [--json FILE]';
const CODEC = 'encode and decode, codec';
const GARBAGE_ROWS = 'garbage per call';
/** How often all disturbed groups are measured again. */
const MOST_PASSES = 2;

/** Created on first use, and kept until the end. @type {Map<string, Pair>} */
const pairs = new Map();

/**
 * The pair of a peer, warmed up for this shape.
 * @param {string} peer @param {Group['shape']} shape @param {Plan} plan
 */
async function warmPair(peer, shape, { warmUp, again }) {
  const known = pairs.get(peer);
  const pair = known ?? (await startPair(peer));
  pairs.set(peer, pair);
  await pair.warm({ ...shape, seconds: known === undefined ? warmUp : again });
  return pair;
}

/**
 * The best rate of three measurements without a fixed rate, in calls/s.
 * @param {Pair} pair @param {Group['shape']} shape @param {number} seconds
 */
async function bestRate(pair, shape, seconds) {
  const rates = [];
  for (let i = 0; i < 3; i++) rates.push((await pair.measure({ ...shape, seconds })).rate);
  return Math.max(...rates);
}

/**
 * Measure a group, and return the lines of its quietest rounds, one for each side. The selection
 * depends only on how long the processes waited for a processor, and not on the measured values.
 * @param {Group} group
 * @param {Plan} plan
 */
async function measureGroup(group, plan) {
  const { name, shape, sides, paced } = group;
  const { rounds, extra, seconds } = plan;
  for (const side of sides) await warmPair(side, shape, plan);
  const pacer = paced && (await warmPair(paced.by, shape, plan));
  const rate = pacer && paced && (await bestRate(pacer, shape, seconds)) * paced.part;
  // A quantile needs many calls, and slow peers make few in `seconds`.
  const order = {
    ...shape,
    ...(rate === undefined ? { seconds } : { seconds: plan.paced, rate }),
  };
  /** @type {Map<string, Sample>[]} */
  const made = [];
  const isQuiet = (/** @type {Map<string, Sample>} */ round) => waitedIn(round) <= QUIET;
  while (
    made.length < rounds ||
    (made.length < rounds * (1 + extra) && made.filter(isQuiet).length < rounds)
  ) {
    if (process.stderr.isTTY)
      process.stderr.write(`${name}: round ${made.length + 1} of ${rounds}   \r`);
    // The first side alternates, so that a machine that slows down affects all sides equally.
    const turns = sides.map(
      (_, turn) => /** @type {string} */ (sides[(made.length + turn) % sides.length]),
    );
    /** @type {Map<string, Sample>} */
    const round = new Map();
    for (const side of turns)
      round.set(side, await /** @type {Pair} */ (pairs.get(side)).measure(order));
    made.push(round);
  }
  const quietest = made.sort((a, b) => waitedIn(a) - waitedIn(b)).slice(0, rounds);
  const lines = sides.map((side) => {
    const samples = quietest.map((round) => /** @type {Sample} */ (round.get(side)));
    return summary(group, side, samples, rate);
  });
  return { group, lines, waited: Math.max(...quietest.map(waitedIn)) };
}

/** @param {Map<string, Sample>} round */
function waitedIn(round) {
  return Math.max(...[...round.values()].map(({ waited }) => waited));
}

/** @param {Measurement} measurement */
function rowsOf({ group, lines }) {
  return group.wanted.map((wanted) => rowOf(group, wanted, lines));
}

/**
 * Measure each group again whose processes waited too long for a processor. A measurement with less
 * waiting replaces the first one, and its rows are printed.
 * @param {Measurement[]} measured @param {Plan} plan
 */
async function repeatDisturbed(measured, plan) {
  for (let pass = 0; pass < MOST_PASSES; pass++) {
    for (const [at, { group, waited }] of measured.entries()) {
      if (waited <= QUIET || performance.now() > plan.repeatUntil * 1_000) continue;
      const repeated = await measureGroup(group, plan);
      if (repeated.waited >= waited) continue;
      measured[at] = repeated;
      for (const row of rowsOf(repeated)) printRow({ ...row, what: `again: ${row.what}` });
    }
  }
}

/** @param {Plan} plan @returns {Promise<import('./table.mjs').Row[]>} */
async function measureCodec({ rounds, codecSeconds }) {
  const { child, address: rows } = await start('codec.mjs', String(rounds), String(codecSeconds));
  await stop(child);
  return /** @type {any} */ (rows);
}

/**
 * @param {typeof GARBAGE} sides @param {Plan} plan @returns {Promise<import('./table.mjs').Row[]>}
 */
async function measureGarbage(sides, { warmUp }) {
  const rows = [];
  for (const { side, most } of sides) {
    const measured = await garbagePerCall(side, warmUp).catch((error) => String(error));
    for (const process of /** @type {const} */ (['client', 'server'])) {
      const bytes = typeof measured === 'string' ? Number.NaN : measured[process];
      rows.push({
        what: `${GARBAGE_ROWS}, ${process}: ${side}`,
        ratio: bytes,
        ratios: [bytes],
        most: most?.[process],
        ...(typeof measured === 'string'
          ? { failed: measured }
          : { text: `${Math.round(bytes)} bytes`, samples: measured }),
      });
    }
  }
  return rows;
}

function readCommandLine() {
  const { values } = parseArgs({
    args: process.argv.slice(3),
    options: {
      short: { type: 'boolean', default: false },
      only: { type: 'string', default: '' },
      peers: { type: 'string' },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      json: { type: 'string' },
    },
  });
  const { only, json, short } = values;
  const known = new Set(GROUPS.flatMap(({ sides }) => sides));
  const peers = new Set(values.peers?.split(',') ?? known);
  for (const peer of peers)
    if (!known.has(peer)) throw new Error(`the peers are ${[...known].join(', ')}, not '${peer}'`);
  const plan = { ...(short ? SHORT : FULL) };
  if (values.rounds !== undefined) plan.rounds = Number(values.rounds);
  if (values.seconds !== undefined) plan.seconds = Number(values.seconds);
  if (!(plan.seconds > 0 && plan.seconds <= 600))
    throw new Error(`--seconds is ${values.seconds}, expected up to 600`);
  if (!(Number.isInteger(plan.rounds) && plan.rounds >= 1 && plan.rounds <= 1_000))
    throw new Error(`--rounds is ${values.rounds}, expected 1 to 1000`);
  const wants = (/** @type {string} */ name) => name.includes(only);
  const groups = GROUPS.map((group) => chosen(group, wants, peers)).filter(
    ({ sides }) => sides.length > 0,
  );
  const garbage = GARBAGE.filter(
    ({ side }) => wants(`${GARBAGE_ROWS}: ${side}`) && peers.has(side),
  );
  const codec = wants(CODEC) && values.peers === undefined;
  if (groups.length === 0 && garbage.length === 0 && !codec)
    throw new Error(`--only '${only}' matches no row`);
  return { plan, groups, garbage, codec, json };
}

/**
 * The selected part of a group: the comparisons whose group name or title is wanted, with the
 * selected peers.
 * @param {Group} group @param {(name: string) => boolean} wants @param {Set<string>} peers @returns
 *   {Group}
 */
function chosen(group, wants, peers) {
  const { name, sides } = group;
  const has = (/** @type {string | undefined} */ side) => side !== undefined && peers.has(side);
  const wanted = group.wanted.filter(
    (one) => (wants(name) || wants(titleOf(group, one))) && has(sides[0]) && one.peers.every(has),
  );
  const needed = wants(name)
    ? sides
    : sides.filter(
        (side, at) =>
          wanted.length > 0 && (at === 0 || wanted.some((one) => one.peers.includes(side))),
      );
  return { ...group, wanted, sides: needed.filter(has) };
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

const { plan, groups, garbage, codec, json } = commandLine();
tableHead();
/** @type {Measurement[]} */
const measured = [];
for (const group of groups) {
  const measurement = await measureGroup(group, plan);
  measured.push(measurement);
  for (const row of rowsOf(measurement)) printRow(row);
}
await repeatDisturbed(measured, plan);
await Promise.all([...pairs.values()].map((pair) => pair.stop()));
const ofGarbage = await measureGarbage(garbage, plan);
for (const row of ofGarbage) printRow(row);
const ofCodec = codec ? await measureCodec(plan) : [];
for (const row of ofCodec) printRow(row);
const lines = measured.flatMap((measurement) => measurement.lines);
if (lines.length > 0) console.log(`\n${details(lines)}`);
console.log(`\n${machine()}, ${plan.rounds} rounds of ${plan.seconds} s. Compare only the ratios.`);
const rows = [...measured.flatMap(rowsOf), ...ofGarbage, ...ofCodec];
if (json !== undefined)
  writeFileSync(json, `${JSON.stringify({ machine: machine(), ...plan, rows, lines }, null, 2)}\n`);
process.exit(
  lines.some(({ failures }) => failures > 0) || rows.some(({ failed }) => failed !== undefined)
    ? 1
    : 0,
);
