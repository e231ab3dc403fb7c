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
    tests: ['testing/simulation/first-answer > a host answers'],
    reason:
      '`createHook()` of `node:async_hooks` has no effect, so `simulate()` rejects with SIMULATION_FAILED.',
    isWholeArea: true,
  },
  {
    runtimes: ['deno'],
    tests: [
      ...['tls', 'wss'].flatMap((suite) => [
        `transport/behavior/backpressure > ${suite} > settles drained() when a paused peer reads again, and loses nothing`,
        `transport/behavior/backpressure > ${suite} > throws SESSION_BLOCKED when maxQueuedBytes wait for a paused peer`,
        `transport/behavior/broadcast > ${suite} > queues no more for a peer that does not read than its policy permits`,
        `transport/behavior/send > ${suite} > rejects send() at its timeout or its signal with the bytes sent, and stays open`,
        `transport/behavior/send > ${suite} > rejects every pending send() when the session is destroyed`,
        `transport/behavior/send > ${suite} > rejects every pending send() when the peer is destroyed`,
      ]),
    ],
    reason:
      'Deno reads on from a TLS socket that is paused, without a limit. A session that is paused does not slow its peer down, and the peer can fill the memory: do not serve `tls://` or `wss://` to peers that you do not trust.',
  },
  {
    runtimes: ['deno'],
    tests: [
      ...onEach(
        'transport/behavior/closing',
        ['tcp', 'unix', 'tcp+deflate', 'tcp+snappy'],
        'settles close() of a paused session',
      ),
      'transport/behavior/closing > tls > sends queued messages and receives messages of the peer while it closes',
    ],
    reason:
      'Bytes of the peer that are on the way when a session closes may be lost, and the session of the peer may end with CONNECTION_LOST.',
    isUnstable: true,
  },
  {
    runtimes: ['deno'],
    tests: ['transport/behavior/closing > udp > settles close() of a paused session'],
    reason: 'On Deno a datagram that is on the way when a paused session closes may be lost.',
    isUnstable: true,
  },
  {
    runtimes: ['deno'],
    tests: [
      'transport/behavior/session-info > udp > has the local address of the peer as its remote address',
    ],
    reason: 'On Deno the local address of a UDP client has the host 0.0.0.0.',
  },
  {
    runtimes: ['deno'],
    tests: [
      'transport/behavior/server > udp > answers many clients at once, each with its own answers',
    ],
    reason: 'On Deno datagrams that are sent at once may leave in another order.',
    isUnstable: true,
  },
  {
    runtimes: ['deno'],
    tests: [
      'registries/file/entry-ttl > the ttl of an entry of the file registry > holds after each heartbeat, also when the clock of the machine jumps between two',
    ],
    reason:
      'On Deno the times of files are whole milliseconds, so the file registry does not notice a heartbeat in the same millisecond as the one before.',
    isUnstable: true,
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
    reason:
      'Not tested: Protobuf where code generation is forbidden, for which Node.js has a flag.',
  },
];

/** The differences of one runtime. */
export function differencesOf(runtime: string): Difference[] {
  return DIFFERENCES.filter(({ runtimes }) => runtimes.includes(runtime));
}
