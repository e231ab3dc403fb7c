// @ts-check
/** The loads of the rpc benchmark, and the wanted ratios. */

/** @typedef {import('./rpc-worker.mjs').Shape} Shape */
/**
 * @typedef {'rate' | 'p50' | 'p99' | 'cpu'} Metric calls/s; milliseconds; microseconds of both
 *   processes per call.
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
      { peers: ['ceiling'], metric: 'cpu', most: 2.5 },
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
    wanted: [{ peers: ['net-ping'], metric: 'p50', most: 1.25 }],
  },
  {
    name: '1 in flight with busyPoll',
    shape: { connections: 1, inFlight: 1, message: SMALL },
    sides: ['getty-busy', 'getty'],
    wanted: [{ peers: ['getty'], metric: 'p50', most: 0.4 }],
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
];

/** The peers whose garbage is printed. There are no wanted values. */
export const GARBAGE_SIDES = ['getty', 'ceiling', GRPC];

/**
 * A round is quiet when its processes waited for a processor for at most this fraction of the time.
 */
export const QUIET = 0.15;

/**
 * `extra`: further rounds when some were not quiet, as a fraction of `rounds`. `seconds`, `warmUp`
 * and `again`: duration of one measurement, of a pair's first load, and of a new load, in seconds.
 */
export const FULL = { rounds: 7, extra: 1, seconds: 0.7, warmUp: 3, again: 0.7, codecSeconds: 0.3 };
export const SHORT = {
  rounds: 5,
  extra: 0,
  seconds: 0.2,
  warmUp: 1.5,
  again: 0.2,
  codecSeconds: 0.1,
};
