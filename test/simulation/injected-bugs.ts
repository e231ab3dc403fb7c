/** Bugs that tests inject into a simulation, to show that each check finds its violation. */
import { consume, failfast } from '../../src/micro/index.js';
import {
  connect,
  contract,
  implement,
  type RpcClient,
  RpcError,
  serve,
  unary,
} from '../../src/rpc/index.js';
import type { Clock, Host } from '../../src/testing/simulation/index.js';
import { type Cluster, REGISTRY_ADDRESS } from './cluster.js';
import type { RecordedCall } from './history.js';

/** Makes the call, or one with another id. */
type Make = (id?: string) => Promise<string>;

/** What a simulation does wrong. */
export interface InjectedBug {
  /** Makes a call of a consumer. Undefined: the call is made as usual. */
  call?(make: Make, call: RecordedCall, clock: Clock): Promise<string> | undefined;
  /** Called when the faults are over. */
  onFaultsEnd?(cluster: Cluster): void;
}

/** Changes the first call whose kind begins with `kind`. */
function firstCall(
  kind: string,
  change: (make: Make, call: RecordedCall, clock: Clock) => Promise<string>,
): InjectedBug {
  let isDone = false;
  return {
    call(make, call, clock) {
      if (isDone || !call.kind.startsWith(kind)) return undefined;
      isDone = true;
      return change(make, call, clock);
    },
  };
}

/** Does something on the first consumer host, which it does not end. */
function onConsumerHost(act: (host: Cluster['consumers'][number]) => unknown): InjectedBug {
  return {
    onFaultsEnd({ consumers: [host] }) {
      const found = host as Cluster['consumers'][number];
      void found.run(() => void act(found));
    },
  };
}

const Unanswered = contract('Unanswered', { wait: unary<null, null>() });

/** A server and a client of one host. Neither is closed. */
async function connectToItself(): Promise<RpcClient> {
  const service = implement(Unanswered, { wait: () => new Promise(() => {}) });
  const { address } = await serve('sim://consumer-a:3000', [service]);
  return connect(address);
}

/** By what is violated. `expected`: a part of the report. */
export const INJECTED_BUGS: Readonly<
  Record<string, { readonly make: () => InjectedBug; readonly expected: string }>
> = {
  'a call without an outcome': {
    make: () => firstCall('order', () => new Promise<string>(() => {})),
    expected: 'it has 0 outcomes',
  },
  'a call that is not idempotent and runs twice': {
    make: () =>
      firstCall('order', async (make) => {
        await make();
        return make();
      }),
    expected: 'it is not idempotent, and ran 2x',
  },
  'an idempotent call that succeeds and never runs': {
    make: () => firstCall('read', async (_, { id }) => id),
    expected: 'it succeeded, and did not run',
  },
  'an outcome 60 ms after the deadline': {
    make: () =>
      firstCall('read', async (make, { deadline }, clock) => {
        const answer = await make();
        await clock.sleep(deadline + 60 - clock.now);
        return answer;
      }),
    expected: 'its outcome is 10 ms late',
  },
  'an unsent call that ran': {
    make: () =>
      firstCall('order', async (make) => {
        await make();
        throw new RpcError('UNAVAILABLE', 'not sent', { unsent: true });
      }),
    expected: 'it is reported as unsent, and ran 1x',
  },
  'the answer of another call': {
    make: () => firstCall('read', (make) => make('0')),
    expected: 'it got the answer of another call: 0',
  },
  'an entry that no list has': {
    make: () => ({ onFaultsEnd: ({ store }) => store.setHidden('provider-a', true) }),
    expected:
      'consumer-a, failfast lists sim://provider-c:1000 for 1.0 in json, not sim://provider-a',
  },
  'calls that keep failing after the faults': {
    make: () => ({
      call: (_, { kind }) =>
        kind.includes('settle') && kind.includes('after the faults')
          ? Promise.reject(new RpcError('UNAVAILABLE', 'injected'))
          : undefined,
    }),
    expected: 'of consumer-a: RpcError: injected',
  },
  'a host that stays crashed': {
    make: () => ({ onFaultsEnd: ({ providers }) => (providers[0] as Host).crash() }),
    expected: 'provider-a is crashed',
  },
  'a timer that is left': {
    make: () => onConsumerHost(() => globalThis.setInterval(() => {}, 1_000)),
    expected: 'consumer-a keeps: 1 timers',
  },
  'a client that is left': {
    make: () => onConsumerHost(() => connect(REGISTRY_ADDRESS)),
    expected: 'consumer-a keeps: endpoint',
  },
  'a session that is left': {
    make: () => onConsumerHost(connectToItself),
    expected: 'consumer-a keeps: session',
  },
  'a call that is left': {
    make: () =>
      onConsumerHost(async () => {
        const client = await connectToItself();
        await client.stub(Unanswered).wait(null, { timeout: Number.POSITIVE_INFINITY });
      }),
    expected: 'consumer-a keeps: 1 calls that it made',
  },
  'a consumer that is left': {
    make: () =>
      onConsumerHost(async (host) => {
        const { registry } = await host.ready();
        consume({ registry, strategy: failfast() });
      }),
    expected: 'consumer-a keeps: consumer',
  },
};
