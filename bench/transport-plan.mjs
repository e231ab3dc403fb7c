// @ts-check
/** The loads of the transport benchmark, and the wanted results. */

/**
 * @typedef {'rate' | 'cpu'} Metric messages/s; microseconds of the server's process per message.
 */
/**
 * The wanted ratio of getty to the peer: at least `least`, or at most `most`. With neither of them
 * the ratio is only printed.
 * @typedef {{ metric: Metric, least?: number, most?: number }} Wanted
 */
/**
 * Two servers that take turns under the same load. `ours` and `peer` are files of echo/ or rooms/,
 * and those whose name begins with "bun" run in Bun. `client`: the client of both sides, where it
 * has lanes; without it each side has its own. `runs`: in the long form the row is measured so many
 * times, and each time must be as wanted. `isLong`: the short form leaves the row out.
 * @typedef {{ name: string, folder: 'echo' | 'rooms', ours: string, peer: string, client?: string,
 *   load: import('./loads/load.mjs').Load, wanted: Wanted[], runs?: number, isLong?: boolean }}
 *   Comparison
 */

/** @param {number} connections @param {number} window @param {number} size bytes */
const lanes = (connections, window, size = 64) =>
  /** @type {const} */ ({ kind: 'lanes', connections, window, size });

/** @param {number} least @returns {Wanted[]} */
const rate = (least) => [{ metric: 'rate', least }];

/** @param {number} connections @param {number} window @returns {Comparison} */
const besideBun = (connections, window) => ({
  name: `WebSocket 64 B, ${connections} × ${window}`,
  folder: 'echo',
  ours: 'getty-ws-raw',
  peer: 'bun-ws',
  client: 'getty-ws',
  load: lanes(connections, window),
  wanted: [{ metric: 'rate' }, { metric: 'cpu' }],
  isLong: true,
});

/** @type {Comparison[]} */
const ECHO = [
  {
    name: 'TCP 64 B, 1 × 64, coalesced',
    folder: 'echo',
    ours: 'getty-tcp',
    peer: 'net-coalesced',
    load: lanes(1, 64),
    wanted: rate(0.85),
  },
  {
    name: 'TCP 64 B, 64 × 64, coalesced',
    folder: 'echo',
    ours: 'getty-tcp',
    peer: 'net-coalesced',
    load: lanes(64, 64),
    wanted: rate(0.95),
    runs: 5,
  },
  {
    name: 'TCP 64 B, 1 × 64, a write each',
    folder: 'echo',
    ours: 'getty-tcp',
    peer: 'net-each',
    load: lanes(1, 64),
    wanted: rate(5),
  },
  {
    name: 'TCP 64 B, 64 × 64, a write each',
    folder: 'echo',
    ours: 'getty-tcp',
    peer: 'net-each',
    load: lanes(64, 64),
    wanted: rate(15),
  },
  {
    name: 'TLS 1.3 64 B, 1 × 64, coalesced',
    folder: 'echo',
    ours: 'getty-tls',
    peer: 'tls-coalesced',
    load: lanes(1, 64),
    wanted: rate(0.95),
  },
  {
    name: 'WebSocket 64 B, 1 × 64',
    folder: 'echo',
    ours: 'getty-ws',
    peer: 'ws',
    load: lanes(1, 64),
    wanted: rate(4),
  },
  {
    name: 'WebSocket 64 B, 64 × 64',
    folder: 'echo',
    ours: 'getty-ws',
    peer: 'ws',
    load: lanes(64, 64),
    wanted: rate(5),
  },
  {
    ...besideBun(64, 64),
    wanted: [
      { metric: 'rate', least: 0.9 },
      { metric: 'cpu', most: 1.25 },
    ],
    isLong: false,
  },
  besideBun(1, 1),
  besideBun(1, 64),
  besideBun(64, 1),
  {
    name: 'UDP 64 B, window 64',
    folder: 'echo',
    ours: 'getty-udp',
    peer: 'dgram',
    load: lanes(1, 64),
    wanted: rate(0.97),
    runs: 5,
  },
  {
    name: 'TCP 1 MiB, 1 × 4, against pipe',
    folder: 'echo',
    ours: 'getty-tcp',
    peer: 'net-pipe',
    load: lanes(1, 4, 2 ** 20),
    wanted: rate(0.6),
  },
];

/** @param {number} sessions @returns {Comparison} */
const onePerSecond = (sessions) => ({
  name: `TCP 64 B, ${sessions} sessions with 1 message/s each`,
  folder: 'echo',
  ours: 'getty-tcp',
  peer: 'net-small',
  load: { kind: 'timed', sessions, period: 1_000, size: 64 },
  wanted: [{ metric: 'cpu', most: 1.2 }],
});

/** @param {number} sessions @returns {Comparison[]} */
const broadcasts = (sessions) =>
  ['ws', 'bun'].flatMap((peer) =>
    [1, 16].map((batch) => ({
      name: `broadcast of ${batch} × 100 B to ${sessions} WebSocket sessions`,
      folder: 'rooms',
      ours: 'getty',
      peer,
      load: { kind: 'audience', sessions, batch },
      wanted: [
        { metric: 'rate', ...(peer === 'ws' && batch === 1 && { least: 8 }) },
        { metric: 'cpu' },
      ],
      isLong: batch > 1,
    })),
  );

/** The most sessions of each row with many. @param {Plan} plan @returns {Comparison[]} */
export function comparisons({ timedSessions, roomSessions }) {
  return [...ECHO, onePerSecond(timedSessions), ...broadcasts(roomSessions)];
}

/**
 * What an idle session may cost: `bytes`, and `bytesMore` than a socket of node:net with listeners.
 * `cpu`: the part of one processor that `cpuSessions` may use.
 */
export const IDLE = { bytes: 6.5 * 1024, bytesMore: 1.2 * 1024, cpu: 0.03, cpuSessions: 100_000 };

/**
 * `rounds` and `seconds` of each comparison, after `warmUp` seconds. `timedSeconds`: of loads with
 * a fixed rate. `again`: how often a row that a busy machine disturbed is measured again. `isFull`:
 * whether this is the long form. `idle…`: of the measurement of idle sessions.
 * `flood`: seconds of the broadcast to peers that do not read.
 * @typedef {{ rounds: number, seconds: number, warmUp: number, timedSeconds: number, timedSessions:
 *   number, roomSessions: number, again: number, isFull: boolean, idleSessions: number, idleRounds:
 *   number, idleSeconds: number, flood: number }} Plan
 */

/** @type {Plan} */
export const FULL = {
  rounds: 11,
  seconds: 0.5,
  warmUp: 1,
  timedSeconds: 2,
  timedSessions: 10_000,
  roomSessions: 10_000,
  again: 2,
  isFull: true,
  idleSessions: 100_000,
  idleRounds: 3,
  idleSeconds: 10,
  flood: 60,
};

/** @type {Plan} */
export const SHORT = {
  rounds: 5,
  seconds: 0.2,
  warmUp: 0.5,
  timedSeconds: 0.5,
  timedSessions: 2_000,
  roomSessions: 2_000,
  again: 0,
  isFull: false,
  idleSessions: 10_000,
  idleRounds: 1,
  idleSeconds: 2,
  flood: 5,
};
