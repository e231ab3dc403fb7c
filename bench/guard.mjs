// @ts-check
/**
 * The speed check of `npm run ok`: getty and ceiling.mjs, a reference that getty can exceed, in the
 * same two processes. It fails if a ratio is below a fraction of the recorded one three times in a
 * row.
 * `node scripts/setup.mjs bench/guard.mjs` runs the check alone and prints the ratios.
 */
import { availableParallelism } from 'node:os';
import { median } from './processes.mjs';
import { startPair } from './rpc-pairs.mjs';

/**
 * Ratios of this program on an idle machine, near the lower end of the measured range: 0.81 to
 * 1.64, and 0.95 to 1.47. With 64 calls in flight, getty leads only while both processes have a
 * core of their own. Two processors of a virtual machine may share one core.
 */
const RECORDED = [
  { shape: { connections: 1, inFlight: 64 }, rate: 1 },
  { shape: { connections: 1, inFlight: 512 }, rate: 1 },
];
/** The fraction of a recorded ratio that is required. */
const PART = 0.8;
const TRIES = 3;
const ROUNDS = 5;
/** The duration of one measurement and of the first load, in seconds. */
const SECONDS = 0.35;
const WARM_UP = 1.5;
const SIDES = /** @type {const} */ (['getty', 'ceiling']);
/**
 * A measurement whose processes wait for a processor for more than this fraction of the time has no
 * result: half of getty's lead is that both processes work at once.
 */
const DISTURBED = 0.3;

if (availableParallelism() < 2) {
  console.log('speed is not checked: client and server need one processor each');
  process.exit();
}
const pair = await startPair(SIDES.join(','));

/** @param {{ connections: number, inFlight: number }} shape */
async function measure(shape) {
  const ratios = [];
  const waited = [];
  for (let round = 0; round < ROUNDS; round++) {
    /** @type {Record<string, import('./rpc-pairs.mjs').Sample>} */
    const samples = {};
    for (const side of round % 2 === 0 ? SIDES : [...SIDES].reverse()) {
      const sample = await pair.measure({ ...shape, message: 'small', side, seconds: SECONDS });
      if (sample.failures > 0) throw new Error(`${side}: ${sample.error}`);
      samples[side] = sample;
      waited.push(sample.waited);
    }
    ratios.push(Number(samples.getty?.rate) / Number(samples.ceiling?.rate));
  }
  return { ratio: median(ratios), waited: median(waited) };
}

/**
 * Whether the ratio is at least the required one. Undefined: the machine was too busy to measure.
 * @param {typeof RECORDED[0]} recorded
 */
async function checkRatio({ shape, rate }) {
  const name = `${shape.inFlight} in flight`;
  const least = PART * rate;
  let disturbed = true;
  for (let attempt = 1; attempt <= TRIES; attempt++) {
    const { ratio, waited } = await measure(shape);
    const enough = ratio >= least;
    const verdict = enough
      ? ''
      : `; at least ${least.toFixed(2)} is required; attempt ${attempt} of ${TRIES}`;
    const busy =
      waited < DISTURBED ? '' : `; ${Math.round(waited * 100)} % of the time without a processor`;
    console.log(`${name}: ${ratio.toFixed(2)} of the ceiling, recorded ${rate}${verdict}${busy}`);
    if (enough) return true;
    if (waited < DISTURBED) disturbed = false;
  }
  return disturbed ? undefined : false;
}

try {
  for (const { shape } of RECORDED) {
    for (const side of SIDES)
      await pair.warm({ ...shape, message: 'small', side, seconds: WARM_UP });
  }
  const seen = [];
  for (const recorded of RECORDED) seen.push(await checkRatio(recorded));
  if (seen.includes(false)) process.exitCode = 1;
  else
    console.log(
      seen.includes(undefined)
        ? 'no result: other programs used the processors'
        : 'as fast as recorded',
    );
} finally {
  await pair.stop();
}
process.exit();
