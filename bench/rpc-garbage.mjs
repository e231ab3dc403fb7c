// @ts-check
/** Measures the garbage of calls. */
import { startPair } from './rpc-pairs.mjs';

/** Space for young objects in MiB, large enough that none is collected while garbage is counted. */
const ROOM = 128;
/** The part of this space that the calls may fill. */
const FILL = 0.6;
const TRIAL_CALLS = 1_024;
const MOST_CALLS = 40_000;
const ATTEMPTS = 4;
/** The time limit for the calls of one attempt, in seconds. */
const PATIENCE = 60;
const SHAPE = /** @type {const} */ ({ connections: 1, inFlight: 512, message: 'small' });

/** @typedef {{ calls: number, client: number, server: number }} Garbage Bytes of one call. */

/**
 * The garbage of one call on the heaps of both processes, in bytes: their growth during many calls
 * without a collection. Buffers are outside the heap and not included. Throws when a collection
 * happened in every attempt.
 * @param {string} peer
 * @param {number} warmUp seconds
 * @returns {Promise<Garbage>}
 */
export async function garbagePerCall(peer, warmUp) {
  const pair = await startPair(peer, [
    `--min-semi-space-size=${ROOM}`,
    `--max-semi-space-size=${ROOM}`,
  ]);
  /** The garbage of about `least` calls; undefined after a collection. @param {number} least */
  const attempt = async (least) => {
    const from = await pair.both('collect');
    const { calls, failures, error } = await pair.load(
      { ...SHAPE, seconds: 0, leastCalls: least },
      PATIENCE,
    );
    if (failures > 0) throw new Error(error);
    const to = await pair.both('state');
    if (to.client.collections + to.server.collections > 0) return undefined;
    const perCall = (/** @type {'client' | 'server'} */ side) =>
      (to[side].heap - from[side].heap) / calls;
    return { calls, client: perCall('client'), server: perCall('server') };
  };
  try {
    const { failures, error } = await pair.load({ ...SHAPE, seconds: warmUp });
    if (failures > 0) throw new Error(error);
    const trial = await attempt(TRIAL_CALLS);
    // A peer with much garbage per call fills the space with fewer calls.
    let least = TRIAL_CALLS / 2;
    if (trial !== undefined) {
      const fitting = (FILL * ROOM * 2 ** 20) / Math.max(1, trial.client, trial.server);
      least = Math.min(MOST_CALLS, Math.floor(fitting));
    }
    for (let i = 0; i < ATTEMPTS; i++) {
      const garbage = await attempt(least);
      if (garbage !== undefined) return garbage;
      least = Math.ceil(least / 2);
    }
    throw new Error('a garbage collection happened in every attempt');
  } finally {
    await pair.stop();
  }
}
