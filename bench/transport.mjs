// @ts-check
/**
 * Compares the transport with programs written by hand: `npm run bench -- transport`. Echo: each
 * side of a comparison has a server and a client process, and the sides take turns in each round.
 * Memory: the bytes that sessions need in the process of the server.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { machine, median, nextMessage, start, stop } from './processes.mjs';

/** @typedef {{ connections: number, window: number, size: number }} Shape */
/** @typedef {{ name: string, ours: string, peer: string, shape: Shape, target: number }} Row */

/** @type {Row[]} */
const ECHO = [
  {
    name: 'TCP 64 B, 1 × 64, coalesced',
    ours: 'getty-tcp',
    peer: 'net-coalesced',
    shape: { connections: 1, window: 64, size: 64 },
    target: 0.85,
  },
  {
    name: 'TCP 64 B, 64 × 64, coalesced',
    ours: 'getty-tcp',
    peer: 'net-coalesced',
    shape: { connections: 64, window: 64, size: 64 },
    target: 0.85,
  },
  {
    name: 'TCP 64 B, 1 × 64, a write each',
    ours: 'getty-tcp',
    peer: 'net-each',
    shape: { connections: 1, window: 64, size: 64 },
    target: 5,
  },
  {
    name: 'TCP 64 B, 64 × 64, a write each',
    ours: 'getty-tcp',
    peer: 'net-each',
    shape: { connections: 64, window: 64, size: 64 },
    target: 15,
  },
  {
    name: 'WebSocket 64 B, 1 × 64',
    ours: 'getty-ws',
    peer: 'ws',
    shape: { connections: 1, window: 64, size: 64 },
    target: 4,
  },
  {
    name: 'WebSocket 64 B, 64 × 64',
    ours: 'getty-ws',
    peer: 'ws',
    shape: { connections: 64, window: 64, size: 64 },
    target: 5,
  },
  {
    name: 'UDP 64 B, window 64',
    ours: 'getty-udp',
    peer: 'dgram',
    shape: { connections: 1, window: 64, size: 64 },
    target: 0.95,
  },
  {
    name: 'TCP 1 MiB, 1 × 4, against pipe',
    ours: 'getty-tcp',
    peer: 'net-pipe',
    shape: { connections: 1, window: 4, size: 2 ** 20 },
    target: 0.6,
  },
];
const IDLE_SESSIONS = 10_000;
const PAUSED_SESSIONS = 1_000;
const HIGH_WATER_MARK = 256 * 1024;
const WARM_UP = 1;
const FULL = { seconds: '0.5', rounds: '11', broadcast: '60' };
const SHORT = { seconds: '0.2', rounds: '9', broadcast: '5' };
/**
 * How often idle sessions are measured. V8's space for young objects grows in steps, so a single
 * measurement is inexact.
 */
const IDLE_ROUNDS = { full: 3, short: 1 };
/** Seconds of a broadcast after which the system accepts no more bytes. */
const FILLED = 20;
const USAGE =
  'usage: npm run bench -- transport [--short] [--seconds 0.5] [--rounds 11] [--broadcast 60] [--only WORD] [--json FILE]';

/** @param {string} side @param {Shape} shape */
async function startPair(side, shape) {
  const { child: server, address } = await start('transport-worker.mjs', 'server', side);
  const { child: client } = await start(
    'transport-worker.mjs',
    'client',
    side,
    address,
    JSON.stringify(shape),
  );
  const measure = async (/** @type {number} */ seconds) => {
    client.send({ seconds });
    const { messages, took, failures } = await nextMessage(client, seconds * 1000);
    if (failures > 0) throw new Error(`${side}: ${failures} failures`);
    return messages / took;
  };
  await measure(WARM_UP);
  return { measure, stop: () => stop(client).then(() => stop(server)) };
}

/** @param {Row} row @param {number} rounds @param {number} seconds */
async function compare({ ours, peer, shape }, rounds, seconds) {
  const a = await startPair(ours, shape);
  const b = await startPair(peer, shape);
  const ratios = [];
  for (let round = 0; round < rounds; round++) {
    // The first side alternates, so that a machine that slows down affects both sides equally.
    const [first, second] = round % 2 === 0 ? [a, b] : [b, a];
    const [x, y] = [await first.measure(seconds), await second.measure(seconds)];
    ratios.push(round % 2 === 0 ? x / y : y / x);
  }
  await Promise.all([a.stop(), b.stop()]);
  return ratios;
}

/** Resident bytes per idle session in the server's process. @param {string} side */
async function idleBytes(side) {
  const { child: server, address } = await start('transport-worker.mjs', 'server', side);
  const ask = async () => {
    server.send('rss');
    return nextMessage(server, 5_000);
  };
  // The first sessions include the memory of code that is loaded and compiled once.
  const { child: first } = await start('transport-worker.mjs', 'idle', address, '500');
  const before = await ask();
  const { child: rest } = await start(
    'transport-worker.mjs',
    'idle',
    address,
    String(IDLE_SESSIONS),
  );
  const after = await ask();
  await Promise.all([stop(first), stop(rest), stop(server)]);
  return (after - before) / IDLE_SESSIONS;
}

/**
 * How much the server grows during a broadcast to peers that do not read, as a fraction of sessions
 * × high-water mark.
 * @param {number} seconds
 */
async function broadcast(seconds) {
  const { child: server, address } = await start(
    'transport-worker.mjs',
    'broadcast',
    String(HIGH_WATER_MARK),
  );
  const { child: paused } = await start(
    'transport-worker.mjs',
    'idle',
    address,
    String(PAUSED_SESSIONS),
  );
  server.send('rss');
  const before = await nextMessage(server, 5_000);
  server.send({ seconds });
  const after = await nextMessage(server, seconds * 1000);
  await Promise.all([stop(paused), stop(server)]);
  return (after - before) / (PAUSED_SESSIONS * HIGH_WATER_MARK);
}

function readCommandLine() {
  const { values } = parseArgs({
    args: process.argv.slice(3),
    options: {
      short: { type: 'boolean', default: false },
      seconds: { type: 'string' },
      rounds: { type: 'string' },
      broadcast: { type: 'string' },
      only: { type: 'string', default: '' },
      json: { type: 'string' },
    },
  });
  const defaults = values.short ? SHORT : FULL;
  const given = [
    values.seconds ?? defaults.seconds,
    values.rounds ?? defaults.rounds,
    values.broadcast ?? defaults.broadcast,
  ];
  const [seconds = 0, rounds = 0, broadcastSeconds = 0] = given.map(Number);
  if (
    !(
      seconds > 0 &&
      seconds <= 60 &&
      rounds >= 1 &&
      rounds <= 100 &&
      broadcastSeconds > 0 &&
      broadcastSeconds <= 600
    )
  ) {
    throw new Error('--seconds is up to 60, --rounds 1 to 100, --broadcast up to 600');
  }
  const idleRounds = values.short ? IDLE_ROUNDS.short : IDLE_ROUNDS.full;
  return { seconds, rounds, idleRounds, broadcastSeconds, only: values.only, json: values.json };
}

/**
 * @param {string} what @param {string} measured @param {string} target @param {boolean | undefined}
 *   met undefined: no result.
 */
const line = (what, measured, target, met) =>
  console.log(
    `| ${what} | ${measured} | ${target} | ${met === undefined ? '–' : met ? 'met' : 'missed'} |`,
  );

let options;
try {
  options = readCommandLine();
} catch (error) {
  console.error(`${error instanceof Error ? error.message : error}\n${USAGE}`);
  process.exit(2);
}
const { seconds, rounds, idleRounds, broadcastSeconds, only, json } = options;
const results = [];
console.log('| what | ours ÷ peer, from – to | wanted | |\n| --- | --- | --- | --- |');
for (const row of ECHO.filter(({ name }) => name.includes(only))) {
  const ratios = await compare(row, rounds, seconds);
  const ratio = median(ratios);
  results.push({ ...row, ratio, ratios });
  const range = `${Math.min(...ratios).toFixed(2)} – ${Math.max(...ratios).toFixed(2)}`;
  line(
    `${row.name}: ${row.ours} ÷ ${row.peer}`,
    `${ratio.toFixed(2)}, ${range}`,
    `${row.target}`,
    ratio >= row.target,
  );
}
if ('idle session'.includes(only)) {
  /** @type {{ ours: number, net: number }[]} */
  const pairs = [];
  while (pairs.length < idleRounds)
    pairs.push({ ours: await idleBytes('getty-tcp'), net: await idleBytes('net-listeners') });
  const [ours, net] = [
    median(pairs.map((pair) => pair.ours)),
    median(pairs.map((pair) => pair.net)),
  ];
  const more = median(pairs.map((pair) => pair.ours - pair.net));
  results.push({ name: 'idle', ours, net, pairs });
  const kilobytes = (/** @type {number} */ bytes) => `${(bytes / 1024).toFixed(1)} KB`;
  line(`idle session, ${IDLE_SESSIONS}`, `${kilobytes(ours)}`, '6.5 KB', ours <= 6.5 * 1024);
  line(
    `idle session, over ${kilobytes(net)} of net with five listeners`,
    `${kilobytes(more)}`,
    '1.5 KB',
    more <= 1.5 * 1024,
  );
}
if ('broadcast'.includes(only)) {
  const part = await broadcast(broadcastSeconds);
  results.push({ name: 'broadcast', part });
  line(
    `broadcast for ${broadcastSeconds} s to ${PAUSED_SESSIONS} peers that do not read: growth ÷ (sessions × high-water mark)`,
    part.toFixed(2),
    '1.1',
    // In a shorter broadcast the system still accepts all bytes.
    broadcastSeconds < FILLED ? undefined : part <= 1.1,
  );
}
console.log(`\n${machine()}, ${rounds} rounds of ${seconds} s. Compare only the ratios.`);
if (json !== undefined)
  writeFileSync(
    json,
    `${JSON.stringify({ machine: machine(), rounds, seconds, results }, null, 2)}\n`,
  );
process.exit(0);
