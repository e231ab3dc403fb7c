// @ts-check
/** The loads of the rpc benchmark, and the wanted ratios. */

/** @typedef {import('./rpc-worker.mjs').Shape} Shape */
/**
 * @typedef {'rate' | 'p50' | 'p99' | 'cpu'} Metric calls/s or items/s; milliseconds; microseconds
 *   of both processes per call or item.
 */
/**
 * The wanted ratio of getty to the best of `peers`: at least `least`, or at most `most`. With
 * neither of them the ratio is only printed.
 */
/** @typedef {{ peers: string[], metric?: Metric, least?: number, most?: number }} Wanted */
/**
 * Sides that take turns under the same load. The first side is getty. With `paced` calls are due at
 * the fraction `part` of the best rate of the side `by`.
 * @typedef {{ name: string, shape: Shape, sides: string[], wanted: Wanted[], paced?: { by: string,
 *   part: number } }} Group
 */

const GRPC = 'grpc-js';
const SMALL = /** @type {const} */ ('small');
const LARGE = /** @type {const} */ ('large');

/**
 * consume() and connect() call the same server program.
 * @param {number} inFlight @param {number} least @returns {Group}
 */
function consumer(inFlight, least) {
  return {
    name: `consume(), ${inFlight} in flight`,
    shape: { connections: 1, inFlight, message: SMALL },
    sides: ['getty-consume', 'getty'],
    wanted: [{ peers: ['getty'], least }],
  };
}

/** @param {'download' | 'upload'} streams @param {number} inFlight @returns {Group} */
function stream(streams, inFlight) {
  const kind = streams === 'download' ? 'server' : 'client';
  return {
    name: `${inFlight} ${kind} stream${inFlight === 1 ? '' : 's'} of 64 B items`,
    shape: { connections: 1, inFlight, message: SMALL, streams },
    sides: ['getty', GRPC],
    wanted: [{ peers: [GRPC], least: 30 }],
  };
}

/** @type {Group[]} */
export const GROUPS = [
  {
    name: '1 connection, 512 in flight',
    shape: { connections: 1, inFlight: 512, message: SMALL },
    sides: ['getty', GRPC, 'moleculer', 'nest', 'ceiling'],
    wanted: [
      { peers: [GRPC], least: 110 },
      { peers: ['moleculer', 'nest'], least: 8 },
      { peers: ['ceiling'], least: 0.75 },
      { peers: ['ceiling'], metric: 'cpu', most: 1.35 },
      { peers: [GRPC], metric: 'cpu' },
    ],
  },
  {
    name: '1 connection, 64 in flight',
    shape: { connections: 1, inFlight: 64, message: SMALL },
    sides: ['getty', GRPC, 'moleculer', 'nest', 'ceiling', 'connect-node'],
    wanted: [
      { peers: [GRPC], least: 60 },
      { peers: ['moleculer', 'nest'], least: 4 },
      { peers: ['ceiling'], least: 0.6 },
      { peers: ['connect-node'] },
    ],
  },
  {
    name: '64 connections × 8 in flight',
    shape: { connections: 64, inFlight: 8, message: SMALL },
    sides: ['getty', 'nest'],
    wanted: [{ peers: ['nest'], least: 5 }],
  },
  {
    name: '1 in flight',
    shape: { connections: 1, inFlight: 1, message: SMALL },
    sides: ['getty', 'net-ping'],
    wanted: [{ peers: ['net-ping'], metric: 'p50', most: 1.18 }],
  },
  {
    name: '1 in flight with busyPoll',
    shape: { connections: 1, inFlight: 1, message: SMALL },
    sides: ['getty-busy', 'getty'],
    wanted: [{ peers: ['getty'], metric: 'p50', most: 0.5 }],
  },
  {
    name: '1 KiB body, 64 in flight',
    shape: { connections: 1, inFlight: 64, message: LARGE },
    sides: ['getty', GRPC, 'nest'],
    wanted: [
      { peers: [GRPC], least: 35 },
      { peers: ['nest'], least: 3 },
    ],
  },
  {
    name: 'JSON, 512 in flight',
    shape: { connections: 1, inFlight: 512, message: SMALL },
    sides: ['getty-json', 'moleculer'],
    wanted: [{ peers: ['moleculer'], least: 3 }],
  },
  {
    name: '512 connections × 1 in flight',
    shape: { connections: 512, inFlight: 1, message: SMALL },
    sides: ['getty-pool', 'ceiling', 'getty'],
    wanted: [{ peers: ['ceiling'], least: 0.85 }, { peers: ['getty'] }],
  },
  {
    name: 'p99 with calls in time, half of the best of grpc-js at 64 in flight',
    shape: { connections: 1, inFlight: 64, message: SMALL },
    sides: ['getty', GRPC],
    paced: { by: GRPC, part: 0.5 },
    wanted: [{ peers: [GRPC], metric: 'p99', most: 0.25 }],
  },
  consumer(1, 0.97),
  consumer(64, 0.93),
  consumer(512, 0.97),
  stream('download', 1),
  stream('download', 64),
  stream('upload', 1),
  stream('upload', 64),
];

/**
 * The sides whose garbage is measured, and the most bytes per call that are wanted.
 * @type {{ side: string, most?: { client: number, server: number } }[]}
 */
export const GARBAGE = [
  { side: 'getty', most: { client: 700, server: 500 } },
  { side: 'ceiling' },
  { side: GRPC },
];

/**
 * A round is quiet when its processes waited for a processor for at most this fraction of the time.
 */
export const QUIET = 0.15;

/**
 * Durations are in seconds. `extra`: further rounds when some were not quiet, as a fraction of
 * `rounds`. `seconds`, `warmUp` and `again`: one measurement, a pair's first load, and a new load.
 * `paced`: one measurement with calls at a fixed rate. `repeatUntil`: no group is measured again
 * when the run has taken so long.
 */
export const FULL = {
  rounds: 7,
  extra: 1,
  seconds: 0.7,
  warmUp: 3,
  again: 0.7,
  paced: 1.4,
  codecSeconds: 0.3,
  repeatUntil: 600,
};
export const SHORT = {
  rounds: 4,
  extra: 0,
  seconds: 0.15,
  warmUp: 1.5,
  again: 0.15,
  paced: 0.6,
  codecSeconds: 0.05,
  repeatUntil: 62,
};
