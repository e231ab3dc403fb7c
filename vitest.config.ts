import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    environment: 'node',
    include: ['test/**/*.test.ts'],
    // A process for each file: what one file leaves behind cannot disturb another.
    pool: 'forks',
    // Many tests wait for other processes: one file more than there are cores. Four are enough,
    // since each may start servers of its own.
    maxWorkers: Math.min(availableParallelism() + 1, 4),
    // A machine may be slow and busy. Each wait in a test has a shorter limit of its own
    // (test/fixtures/waiting.ts), and says what it waited for.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    teardownTimeout: 30_000,
  },
});
