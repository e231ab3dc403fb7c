// @ts-check
/** Measures idle sessions, and the memory of a broadcast to sessions that do not read. */
import { commandFor } from './affinity.mjs';
import { possibleSessions } from './capacity.mjs';
import { launch, median, stop } from './processes.mjs';
import { QUIET } from './rpc-plan.mjs';
import { startLoad, startServer, tell, usages } from './transport-pairs.mjs';
import { IDLE } from './transport-plan.mjs';

/** @typedef {import('./transport-plan.mjs').Plan} Plan */
/** @typedef {import('./table.mjs').Row} Row */
/**
 * `bytes` per session. `cpu` and `waited` of the server: parts of one processor's time.
 * @typedef {{ bytes: number, cpu: number, waited: number }} Idle
 */

/** Sessions that are opened first: the memory of code is loaded and compiled once. */
const FIRST_SESSIONS = 500;
/** Sessions of one port, because a connection needs a port of the client too. */
const PER_PORT = 10_000;
/** Sessions of one process of the load. */
const PER_PROCESS = 10_000;
/** One message per session and period, in ms. `size`: bytes with the length. */
const HEARTBEATS = { kind: 'timed', period: 60_000, size: 64 };
const PAUSED = { kind: 'timed', period: 0, size: 64 };
const PAUSED_SESSIONS = 1_000;
const HIGH_WATER_MARK = 256 * 1024;
/** Seconds of a broadcast after which the system accepts no more bytes. */
const FILLED = 20;
const MOST_GROWTH = 1.1;

/**
 * @param {string} side @param {number} sessions @param {number} seconds
 * @returns {Promise<Idle>}
 */
async function idleSide(side, sessions, seconds) {
  const ports = Math.ceil(sessions / PER_PORT);
  const { child: server, address } = await startServer(`echo/${side}`, ports);
  /** @type {import('node:child_process').ChildProcess[]} */
  const loads = [];
  try {
    const addresses = address.split(' ');
    const open = (/** @type {number} */ count) =>
      startLoad({ ...HEARTBEATS, addresses, sessions: count });
    loads.push(await open(FIRST_SESSIONS));
    const before = await tell(server, 'memory');
    const most = possibleSessions(PER_PROCESS);
    const processes = Math.ceil(sessions / most);
    const parts = Array.from({ length: processes }, (_, at) =>
      Math.min(most, sessions - at * most),
    );
    const opening = await Promise.allSettled(parts.map(open));
    for (const one of opening) if (one.status === 'fulfilled') loads.push(one.value);
    const failed = opening.find(({ status }) => status === 'rejected');
    if (failed?.status === 'rejected') throw failed.reason;
    const beat = (/** @type {number} */ time) =>
      Promise.all(loads.slice(1).map((load) => tell(load, { seconds: time })));
    // So that the code of both sides is compiled before it counts.
    await beat(seconds / 2);
    const from = await usages([server]);
    const results = await beat(seconds);
    const to = await usages([server]);
    const failure = results.find(({ failure }) => failure !== undefined)?.failure;
    if (failure !== undefined) throw new Error(`${side}: ${failure}`);
    const after = await tell(server, 'memory');
    const used = (/** @type {'cpu' | 'waited'} */ what) =>
      (Number(to[0]?.[what]) - Number(from[0]?.[what])) / 1e6 / seconds;
    return { bytes: (after - before) / sessions, cpu: used('cpu'), waited: used('waited') };
  } finally {
    await Promise.all([...loads, server].map(stop));
  }
}

/**
 * What idle sessions cost the server, with heartbeats and an idle timeout, and sockets of node:net
 * with listeners. Rounds in which the server waited too long for a processor are repeated.
 * @param {Plan} plan @returns {Promise<Row[]>}
 */
export async function measureIdle({ idleSessions, idleRounds, idleSeconds, again }) {
  const sessions = possibleSessions(idleSessions + FIRST_SESSIONS) - FIRST_SESSIONS;
  const measure = (/** @type {string} */ side) => idleSide(side, sessions, idleSeconds);
  /** @type {{ ours: Idle, net: Idle }[]} */
  const made = [];
  const waited = (/** @type {typeof made[0]} */ { ours, net }) => Math.max(ours.waited, net.waited);
  const isQuiet = (/** @type {typeof made[0]} */ round) => waited(round) <= QUIET;
  while (
    made.length < idleRounds ||
    (made.length < idleRounds + again && made.filter(isQuiet).length < idleRounds)
  ) {
    if (made.length % 2 === 0)
      made.push({ ours: await measure('getty-idle'), net: await measure('net-listeners') });
    else {
      const net = await measure('net-listeners');
      made.push({ net, ours: await measure('getty-idle') });
    }
  }
  const rounds = made.sort((a, b) => waited(a) - waited(b)).slice(0, idleRounds);
  const row = (
    /** @type {string} */ what,
    /** @type {(round: typeof made[0]) => number} */ of,
    /** @type {number | undefined} */ most,
  ) => {
    const values = rounds.map(of);
    return { what, ratio: median(values), ratios: values, most };
  };
  const count = `${sessions} idle sessions with heartbeats`;
  return [
    row(`${count}, KB each: getty`, ({ ours }) => ours.bytes / 1024, IDLE.bytes / 1024),
    row(
      `${count}, KB each: node:net with five listeners`,
      ({ net }) => net.bytes / 1024,
      undefined,
    ),
    row(
      `${count}, KB each: getty - node:net`,
      ({ ours, net }) => (ours.bytes - net.bytes) / 1024,
      IDLE.bytesMore / 1024,
    ),
    row(
      `${count}, % of a processor: getty`,
      ({ ours }) => ours.cpu * 100,
      sessions < IDLE.cpuSessions ? undefined : IDLE.cpu * 100,
    ),
    row(`${count}, % of a processor: node:net`, ({ net }) => net.cpu * 100, undefined),
  ];
}

/**
 * How much the server grows during a broadcast to peers that do not read, as a fraction of sessions
 * × high-water mark.
 * @param {number} seconds @returns {Promise<Row>}
 */
export async function measureFlood(seconds) {
  const { child: server, address } = await launch(
    'transport-worker.mjs',
    ['flood', String(HIGH_WATER_MARK)],
    { command: commandFor('server') },
  );
  let load;
  try {
    load = await startLoad({ ...PAUSED, addresses: [address], sessions: PAUSED_SESSIONS });
    const before = await tell(server, 'memory');
    const after = await tell(server, { seconds });
    const ratio = (after - before) / (PAUSED_SESSIONS * HIGH_WATER_MARK);
    return {
      what: `flood of ${seconds} s to ${PAUSED_SESSIONS} peers that do not read: growth ÷ (sessions × high-water mark)`,
      ratio,
      ratios: [ratio],
      // In a shorter broadcast the system still accepts all bytes.
      ...(seconds >= FILLED && { most: MOST_GROWTH }),
    };
  } finally {
    if (load !== undefined) await stop(load);
    await stop(server);
  }
}
