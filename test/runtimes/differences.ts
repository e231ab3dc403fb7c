/**
 * The tests that fail on a runtime, and why. A test that fails without being listed here is an
 * error, and so is one that is listed and passes, unless the runtime fails only sometimes.
 */

export interface Difference {
  /** `bun`, `deno`, or Node.js with its major version, such as `node@20`. */
  readonly runtimes: readonly string[];
  /** The ids of the tests. */
  readonly tests: readonly string[];
  /** A sentence for README.md. */
  readonly reason: string;
  /** Whether the runtime lacks what the tests are about, and not only a detail of it. */
  readonly isWholeArea?: true;
  /** Whether the tests pass in some runs. */
  readonly isUnstable?: true;
}

/** The tests of one behavior table, for several transports. */
const onEach = (file: string, suites: readonly string[], test: string): string[] =>
  suites.map((suite) => `${file} > ${suite} > ${test}`);

export const DIFFERENCES: readonly Difference[] = [
  {
    runtimes: ['bun', 'deno'],
    tests: ['testing/simulation/first-answer > a host answers in virtual time'],
    reason:
      '`createHook()` of `node:async_hooks` has no effect, so `simulate()` rejects with SIMULATION_FAILED.',
    isWholeArea: true,
  },
  {
    runtimes: ['deno'],
    tests: [
      ...onEach(
        'transport/behavior/backpressure',
        ['tls', 'wss'],
        'settles drained() when a paused peer reads again, and loses nothing',
      ),
      ...onEach(
        'transport/behavior/backpressure',
        ['tls', 'wss'],
        'throws SESSION_BLOCKED when maxQueuedBytes wait for a paused peer',
      ),
    ],
    reason:
      'Deno reads on from a TLS socket that is paused: a session that is paused does not slow its peer down, and Deno keeps the bytes in memory.',
  },
  {
    runtimes: ['deno'],
    tests: [
      'rpc/codecs/json > keys with a special meaning for objects > become own properties and change no prototype',
    ],
    reason:
      'Deno has no `Object.prototype.__proto__`, so an object that a handler copies keeps a key of this name as an own property.',
  },
  {
    runtimes: ['deno'],
    tests: [
      'rpc/codecs/protobuf/protobuf-codec > protobufCodec() > uses protobuf-es where code generation is forbidden',
    ],
    reason: 'The test starts the runtime with a flag of Node.js.',
  },
];

/** The differences of one runtime. */
export function differencesOf(runtime: string): Difference[] {
  return DIFFERENCES.filter(({ runtimes }) => runtimes.includes(runtime));
}
