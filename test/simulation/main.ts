/** `npm run simulate`: runs simulations with many seeds, and prints what went wrong. */
import { parseArgs } from 'node:util';
import { runCluster } from './run.js';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '10' },
    seed: { type: 'string' },
    hours: { type: 'string', default: '0.5' },
    trace: { type: 'boolean', default: false },
  },
});

const number = (name: string, text: string): number => {
  const value = Number(text);
  if (!(value > 0)) throw new Error(`--${name}: given ${text}, expected a number above 0`);
  return value;
};
const first = values.seed === undefined ? 1 : number('seed', values.seed);
const count = values.seed === undefined ? number('seeds', values.seeds) : 1;
const seconds = number('hours', values.hours) * 3_600;
const onTrace = values.trace ? (line: string) => console.log(line) : undefined;

let failed = 0;
for (let seed = first; seed < first + count; seed++) {
  const start = performance.now();
  let problem = '';
  try {
    const report = await runCluster(seed, seconds, onTrace);
    const { calls, violations, traceLines, traceHash, counts } = report;
    const ok = [...counts].reduce((sum, [key, n]) => sum + (key.endsWith(' OK') ? n : 0), 0);
    const time = ((performance.now() - start) / 1_000).toFixed(1);
    console.log(
      `seed ${seed}: ${calls} calls, ${ok} succeeded, ${traceLines} events, ${time} s, trace ${traceHash.slice(0, 16)}`,
    );
    problem = violations.join('\n  ');
  } catch (error) {
    problem = `${(error as Error).stack}\n  ${(error as Error).cause}`;
  }
  if (problem === '') continue;
  failed++;
  console.log(`seed ${seed} FAILED:\n  ${problem}`);
}
console.log(failed === 0 ? 'no violations' : `${failed} of ${count} seeds failed`);
process.exitCode = failed === 0 ? 0 : 1;
