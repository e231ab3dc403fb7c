// @ts-check
/**
 * Measures calls of getty beside its peers: `npm run bench -- rpc`. Each peer has a server and a client process. In each round, for each
 * number of calls in flight, the peers take turns. What counts is the ratio of neighbours in time. bench/README.md says more.
 */
import { readdirSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { hear, machine, median, start, stop } from './processes.mjs';

/** @typedef {import('./rpc-worker.mjs').Measured} Measured */
/** @typedef {{ peer: string, inFlight: number, samples: Measured[] }} Row */

const OURS = 'getty';
const WORKER = 'rpc-worker.mjs';
/** So long because the slowest peer needs it: grpc-js doubles its speed in its second second, ours is there after one. */
const WARM_UP = { inFlight: 64, seconds: 2.5 };
/** The part of `seconds` that each measurement runs before it counts. */
const LEAD_IN = 0.25;
const USAGE = `usage: npm run bench -- rpc [--seconds 0.35] [--rounds 7] [--in-flight 1,64,512] [--peers ${OURS},grpc-js,…] [--json FILE]`;

/**
 * A server and a client process of a peer, warm.
 * @param {string} peer
 */
async function startPair(peer) {
  const { child: server, address } = await start(WORKER, 'server', peer);
  const { child: client } = await start(WORKER, 'client', peer, address);
  const order = async (/** @type {import('./rpc-worker.mjs').Order} */ what) => {
    if (!client.connected) throw new Error('its process is gone');
    client.send(what);
    return hear(client, what.seconds * 1_000);
  };
  const { failures, error } = await order(WARM_UP);
  if (failures > 0) throw new Error(`${peer} fails while it warms up: ${error}`);
  return {
    /** @returns {Promise<Measured>} */
    async measure(/** @type {number} */ inFlight, /** @type {number} */ seconds) {
      try {
        const before = await order({ inFlight, seconds: seconds * LEAD_IN });
        const measured = await order({ inFlight, seconds });
        return { ...measured, failures: before.failures + measured.failures, error: before.error || measured.error };
      } catch (error) {
        client.kill('SIGKILL');
        return { calls: 0, seconds, p50: 0, failures: 1, error: String(error) };
      }
    },
    stop: () => stop(client).then(() => stop(server)),
  };
}

/** @param {{ peers: string[], levels: number[], rounds: number, seconds: number }} plan */
async function measureAll({ peers, levels, rounds, seconds }) {
  /** @type {Row[]} */
  const rows = levels.flatMap((inFlight) => peers.map((peer) => ({ peer, inFlight, samples: [] })));
  const pairs = new Map();
  for (const peer of peers) pairs.set(peer, await startPair(peer));
  for (let round = 1; round <= rounds; round++) {
    if (process.stderr.isTTY) process.stderr.write(`round ${round} of ${rounds}\r`);
    for (const { peer, inFlight, samples } of rows) samples.push(await pairs.get(peer).measure(inFlight, seconds));
  }
  await Promise.all([...pairs.values()].map((pair) => pair.stop()));
  return rows;
}

/** @param {Row} row @param {Row[]} rows */
function summary({ peer, inFlight, samples }, rows) {
  const rates = samples.map((sample) => sample.calls / sample.seconds);
  const ours = rows.find((row) => row.peer === OURS && row.inFlight === inFlight)?.samples ?? [];
  const ratios = ours.map((sample, round) => sample.calls / sample.seconds / Number(rates[round]));
  const failures = samples.reduce((sum, sample) => sum + sample.failures, 0);
  const error = samples.find((sample) => sample.failures > 0)?.error;
  return {
    inFlight,
    peer,
    callsPerSecond: median(rates),
    spread: (Math.max(...rates) - Math.min(...rates)) / median(rates),
    p50: median(samples.map((sample) => sample.p50)),
    ratio: median(ratios),
    ratios,
    failures,
    error,
    failedRatio: failures > 0 || ours.some((sample) => sample.failures > 0),
    samples,
  };
}

/** @param {ReturnType<typeof summary>[]} lines */
function markdown(lines) {
  const table = [['in flight', 'peer', 'calls/s', 'spread', 'p50 ms', `${OURS} ÷ peer`, 'from – to', 'failed'], Array(8).fill('---')];
  for (const { inFlight, peer, callsPerSecond, spread, p50, ratio, ratios, failures, error, failedRatio } of lines) {
    const speed = failures > 0 ? ['–', '–', '–'] : [String(Math.round(callsPerSecond)), `${Math.round(spread * 100)} %`, p50.toFixed(3)];
    const noRatio = failedRatio || ratios.length === 0 || peer === OURS;
    const versus = noRatio ? ['–', '–'] : [ratio.toFixed(2), `${Math.min(...ratios).toFixed(2)} – ${Math.max(...ratios).toFixed(2)}`];
    table.push([String(inFlight), peer, ...speed, ...versus, failures > 0 ? `${failures}: ${error}` : '0']);
  }
  return table.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/** Throws what says why the command line is wrong. */
function readCommandLine() {
  const { values } = parseArgs({
    args: process.argv.slice(3),
    options: {
      seconds: { type: 'string', default: '0.35' },
      rounds: { type: 'string', default: '7' },
      'in-flight': { type: 'string', default: '1,64,512' },
      peers: { type: 'string' },
      json: { type: 'string' },
    },
  });
  const known = readdirSync(new URL('peers', import.meta.url)).map((file) => file.replace('.mjs', ''));
  const peers = values.peers?.split(',') ?? [OURS, ...known.filter((peer) => peer !== OURS)];
  for (const peer of peers) if (!known.includes(peer)) throw new Error(`the peers are ${known.join(', ')}, not '${peer}'`);
  const [seconds = 0, rounds = 0, ...levels] = [values.seconds, values.rounds, ...values['in-flight'].split(',')].map(Number);
  if (!(seconds > 0 && seconds <= 600)) throw new Error(`--seconds is ${values.seconds}, expected up to 600`);
  for (const count of [rounds, ...levels])
    if (!(Number.isInteger(count) && count >= 1 && count <= 4096)) throw new Error('--rounds and --in-flight are 1 to 4096');
  return { peers, levels, rounds, seconds, json: values.json };
}

/** @returns {ReturnType<typeof readCommandLine>} */
function plan() {
  try {
    return readCommandLine();
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n${USAGE}`);
    process.exit(2);
  }
}

const { json, ...what } = plan();
const rows = await measureAll(what);
const lines = rows.map((row) => summary(row, rows));
console.log(markdown(lines));
console.log(`\n${machine()}, ${what.rounds} rounds of ${what.seconds} s. Only the ratios mean something.`);
if (json !== undefined) writeFileSync(json, `${JSON.stringify({ machine: machine(), ...what, lines }, null, 2)}\n`);
process.exit(lines.some((line) => line.failures > 0) ? 1 : 0);
