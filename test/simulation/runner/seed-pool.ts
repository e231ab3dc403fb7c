/** Simulates many seeds in several processes of this program. */
import { type ChildProcess, fork } from 'node:child_process';
import type { ClusterReport } from '../run.js';

/** What became of one seed. */
export type SeedResult =
  | { readonly seed: number; readonly report: ClusterReport }
  | { readonly seed: number; readonly error: string };

/** Seeds that one process simulates: what a process collects over time is bounded. */
const SEEDS_PER_PROCESS = 200;

export interface SeedPoolOptions {
  /** The program that calls runWorker(). */
  readonly program: string;
  readonly args: readonly string[];
  readonly processes: number;
  readonly onResult: (result: SeedResult) => void;
}

/** Resolves when all seeds are simulated. The end of this process ends the others. */
export async function simulateSeeds(
  seeds: readonly number[],
  { program, args, processes, onResult }: SeedPoolOptions,
): Promise<void> {
  const waiting = [...seeds];
  const children = new Set<ChildProcess>();
  const killAll = (): void => {
    for (const child of children) child.kill('SIGKILL');
  };
  process.on('exit', killAll);
  const work = async (): Promise<void> => {
    while (waiting.length > 0) await simulateInProcess();
  };
  /** Runs one process until it has simulated its seeds. */
  const simulateInProcess = (): Promise<void> =>
    new Promise((resolve) => {
      // In a process group of its own: Ctrl-C of a terminal does not reach it.
      const child: ChildProcess = fork(program, args, { detached: true });
      children.add(child);
      let seed: number | undefined;
      let count = 0;
      const next = (): void => {
        seed = count++ < SEEDS_PER_PROCESS ? waiting.shift() : undefined;
        if (seed === undefined) child.disconnect();
        else child.send(seed);
      };
      child.on('message', (result: SeedResult) => {
        onResult(result);
        next();
      });
      child.on('exit', (code, signal) => {
        children.delete(child);
        if (seed !== undefined)
          onResult({ seed, error: `its process ended with ${signal ?? code}` });
        resolve();
      });
      next();
    });
  await Promise.all(Array.from({ length: processes }, work));
  process.off('exit', killAll);
}

/**
 * Makes this process a worker of simulateSeeds(): it simulates each seed that arrives, and ends
 * with the process that has started it, also when that was killed.
 */
export function runWorker(simulate: (seed: number) => Promise<ClusterReport>): void {
  process.on('disconnect', () => process.exit());
  process.on('message', async (seed: number) => {
    const result = await resultOf(seed, simulate);
    // Without the callback, a closed channel would be an error that nothing catches.
    process.send?.(result, undefined, undefined, () => {});
  });
}

export async function resultOf(
  seed: number,
  simulate: (seed: number) => Promise<ClusterReport>,
): Promise<SeedResult> {
  try {
    return { seed, report: await simulate(seed) };
  } catch (error) {
    return { seed, error: `${(error as Error).stack}\n  ${(error as Error).cause ?? ''}`.trim() };
  }
}
