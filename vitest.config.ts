import { availableParallelism } from 'node:os';
import { configDefaults, defineConfig, type TestProjectInlineConfiguration } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * Short files whose tests take more than 10 s. Without durations of an earlier run, vitest starts
 * with the longest files, and these would run alone at the end.
 */
const SLOW_FILES = [
  'test/simulation/cluster.test.ts',
  'test/testing/simulation/determinism.test.ts',
  'test/examples/http-servers.test.ts',
  'test/cli/guide.test.ts',
];

/** More than 15 s of a processor each. `npm run test:long` runs them, and `npm test` does not. */
const LONG = [
  'test/demo/demo.test.ts',
  'test/examples/cluster.test.ts',
  'test/grid/grid.test.ts',
  'test/registries/etcd/etcd-load.test.ts',
  'test/registries/etcd/etcd-scale.test.ts',
  'test/registries/outages.test.ts',
  'test/registries/zookeeper/zookeeper-outages.test.ts',
  'test/runtimes/runtimes.test.ts',
  'test/simulation/seeds.test.ts',
];

/**
 * Files that run in a process of their own: they replace timers, clocks or other globals, measure
 * turns, collect garbage, or leave handlers that never end. The other files share a few processes,
 * which import vitest and the library only once.
 */
const OWN_PROCESS = [
  'test/core/timers.test.ts',
  'test/core/turn.test.ts',
  'test/registries/etcd/answer-limit.test.ts',
  'test/registries/etcd/entry-cache.test.ts',
  'test/registries/etcd/etcd-connections.test.ts',
  'test/registries/zookeeper/entry-memory.test.ts',
  'test/rpc/calls/turn-budget/**/*.test.ts',
  'test/rpc/codecs/retained-memory.test.ts',
  'test/rpc/contract/short-lived-contracts.test.ts',
  'test/rpc/idle-memory.test.ts',
  'test/rpc/interceptors/jwt.test.ts',
  'test/rpc/metrics/event-loop-monitor.test.ts',
  'test/simulation/**/*.test.ts',
  'test/testing/guide.test.ts',
  'test/testing/leak*.test.ts',
  'test/testing/simulation/**/*.test.ts',
  'test/transport/rooms/topics.test.ts',
  'test/transport/session/idle-memory.test.ts',
  'test/transport/session/replaced-timers.test.ts',
  'test/transport/udp/udp-limits.test.ts',
  'test/transport/websocket/frames/fragment-buffer.test.ts',
  'test/transport/websocket/handshake/unsettled-decisions.test.ts',
  'test/transport/websocket/paused-session.test.ts',
];

class SlowFilesFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isSlow = ({ moduleId }: TestSpecification): boolean =>
      SLOW_FILES.some((path) => moduleId.endsWith(`/${path}`));
    // A shared process ends when the next file must not share it, so those files come first.
    const isOwn = ({ project }: TestSpecification): boolean => project.config.isolate;
    const rank = (file: TestSpecification): number =>
      (isOwn(file) ? 0 : 2) + (isSlow(file) ? 0 : 1);
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}

function project(
  name: string,
  isolate: boolean,
  include: string[],
  others: string[] = [],
): TestProjectInlineConfiguration {
  // Without the defaults, tests inside node_modules would run.
  const exclude = [...configDefaults.exclude, ...others];
  return { extends: true, test: { name, isolate, include, exclude } };
}

export default defineConfig({
  test: {
    environment: 'node',
    pool: 'forks',
    setupFiles: ['test/fixtures/end-of-file.ts'],
    projects: [
      project('shared process', false, ['test/**/*.test.ts'], [...OWN_PROCESS, ...LONG]),
      project('own process', true, OWN_PROCESS, LONG),
      project('long', true, LONG),
    ],
    sequence: { sequencer: SlowFilesFirst },
    // Many tests wait for other processes or timers: more files than there are cores.
    maxWorkers: Math.min(availableParallelism() + 3, 6),
    // A machine may be slow and busy. Each wait in a test has a shorter limit of its own
    // (test/fixtures/waiting.ts), and says what it waited for.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    teardownTimeout: 30_000,
  },
});
