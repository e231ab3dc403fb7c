import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * Short files whose tests take more than 15 s. Without durations of an earlier run, vitest starts
 * with the longest files, and these would run alone at the end.
 */
const SLOW_FILES = [
  'test/runtimes/runtimes.test.ts',
  'test/simulation/cluster.test.ts',
  'test/testing/simulation/determinism.test.ts',
  'test/examples/http-servers.test.ts',
  'test/cli/guide.test.ts',
];

class SlowFilesFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isSlow = ({ moduleId }: TestSpecification): boolean =>
      SLOW_FILES.some((path) => moduleId.endsWith(`/${path}`));
    const sorted = await super.sort(files);
    return [...sorted.filter(isSlow), ...sorted.filter((file) => !isSlow(file))];
  }
}

export default defineConfig({
  test: {
    environment: 'node',
    include: ['test/**/*.test.ts'],
    // A process for each file: what one file leaves behind cannot disturb another.
    pool: 'forks',
    sequence: { sequencer: SlowFilesFirst },
    // Many tests wait for other processes or timers: two files more than there are cores. Four are
    // enough, since each may start servers of its own.
    maxWorkers: Math.min(availableParallelism() + 2, 4),
    // A machine may be slow and busy. Each wait in a test has a shorter limit of its own
    // (test/fixtures/waiting.ts), and says what it waited for.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    teardownTimeout: 30_000,
  },
});
