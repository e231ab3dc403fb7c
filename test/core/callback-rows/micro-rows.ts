/** The callbacks of micro and of the registries. */
import { expect } from 'vitest';
import {
  broadcast,
  consistentHash,
  consume,
  failover,
  leastActive,
  type NodeOutcome,
  p2cEwma,
  provide,
  type Registry,
  random,
  roundRobin,
  type ServiceNode,
  ZONE_KEY,
  zoneFirst,
} from '../../../src/micro/index.js';
import { etcd } from '../../../src/registries/etcd/index.js';
import { memory } from '../../../src/registries/memory.js';
import { ZooKeeperClient } from '../../../src/registries/zookeeper/index.js';
import { type Call, RpcError, serve } from '../../../src/rpc/index.js';
import { within } from '../../fixtures/waiting.js';
import { once } from './failures.js';
import { Numbers, numbersService } from './numbers-service.js';
import type { Reports } from './reports.js';
import { freeAddress, type Row, type Rows } from './row.js';

const nodeAt = (address: string): ServiceNode => ({
  id: 'a',
  service: 'Numbers',
  group: '',
  version: '',
  protocol: 'json',
  address,
  metadata: {},
});

/** `act` must cause a report; by default a call of a consumer. Then a call must be answered. */
async function testConsumer(
  reports: Reports,
  options: object,
  act?: (consumer: ReturnType<typeof consume>) => unknown,
): Promise<void> {
  const server = await serve(freeAddress(), [numbersService()]);
  const registry = memory();
  await registry.register(nodeAt(server.address));
  const consumer = consume({ registry, ...options });
  const stub = consumer.stub(Numbers);
  await reports.rejection(() =>
    within(Promise.resolve(act === undefined ? stub.double(1) : act(consumer)), 'the call'),
  );
  await reports.first();
  expect(await stub.double(2)).toBe(4);
  await consumer.close();
  await server.close();
  await registry[Symbol.asyncDispose]();
}

const balancerRow: Row = async (fail, reports) => {
  await reports.rejection(async () => consume({ registry: memory(), balancer: fail }).close());
};

export const MICRO_ROWS: Rows = {
  async 'FailoverOptions.onRetry'(fail, reports) {
    let attempts = 0;
    const invoke = failover({ onRetry: once(fail) })(async (_, tried) => {
      tried.add(nodeAt(`memory://${++attempts}`));
      if (attempts === 1) throw new RpcError('UNAVAILABLE', 'no', { unsent: true });
      return 'done';
    });
    expect(await invoke({ method: { idempotent: true } } as Call)).toBe('done');
    await reports.first();
  },
  'ConsumeOptions.balancer': balancerRow,
  Balancer: balancerRow,
  Picker: (fail, reports) =>
    testConsumer(reports, { balancer: () => once(fail, roundRobin()() as never) }),
  'ConsumeOptions.strategy': (fail, reports) =>
    reports.rejection(async () => consume({ registry: memory(), strategy: fail })),
  Strategy: (fail, reports) =>
    testConsumer(reports, {
      strategy: (attempt: (call: Call, tried: Set<ServiceNode>) => unknown) =>
        once(fail, ((call: Call) => attempt(call, new Set())) as never),
    }),
  'BroadcastStrategyOptions.combine': (fail, reports) =>
    testConsumer(reports, {
      strategy: broadcast({
        combine: once(fail, (([first]: NodeOutcome[]) => first?.reply) as never),
      }),
    }),
  'consistentHash(key)': (fail, reports) =>
    testConsumer(reports, { balancer: consistentHash(once(fail, () => 'k')) }),
  'RandomOptions.random': (fail, reports) =>
    testConsumer(reports, { balancer: random({ random: once(fail, () => 0.5) }) }),
  'RandomOptions.random (p2cEwma)': (fail, reports) =>
    testConsumer(reports, { balancer: p2cEwma({ random: once(fail, () => 0.5) }) }),
  'RandomOptions.random (leastActive)': (fail, reports) =>
    testConsumer(reports, { balancer: leastActive({ random: once(fail, () => 0.5) }) }),
  'RandomOptions.random (zoneFirst)': (fail, reports) =>
    testConsumer(reports, {
      // With half of its capacity, the zone gets a random part of the calls.
      balancer: () => {
        const picker = zoneFirst({ zone: 'z', random: once(fail, () => 0.5) })();
        return (nodes: readonly ServiceNode[], call: Call, load: never) => {
          const [node] = nodes as [ServiceNode];
          const own = { ...node, metadata: { [ZONE_KEY]: 'z' } };
          return picker([own, node], call, load, [own, { ...own }, node]);
        };
      },
    }),
  'ZoneFirstOptions.balancer': (fail, reports) =>
    reports.rejection(async () =>
      consume({ registry: memory(), balancer: zoneFirst({ zone: 'z', balancer: fail }) }).close(),
    ),
  ChangeListener: (fail, reports) =>
    testConsumer(reports, { logger: reports.logger }, (consumer) =>
      consumer.notify(Numbers, once(fail)),
    ),
  async 'Registry.watch'(fail, reports) {
    const inner = memory();
    const server = await serve(freeAddress(), [numbersService()]);
    await inner.register(nodeAt(server.address));
    const registry = {
      watch: once(fail, ((...args: Parameters<Registry['watch']>) =>
        inner.watch(...args)) as never),
    } as unknown as Registry;
    const consumer = consume({ registry, logger: reports.logger });
    expect(await consumer.stub(Numbers).double(2)).toBe(4);
    await consumer.close();
    await server.close();
    await inner[Symbol.asyncDispose]();
  },
  async 'Registry.list'(fail, reports) {
    await using inner = memory();
    const registry: Registry = {
      watch: (...args) => inner.watch(...args),
      register: (...args) => inner.register(...args),
      list: once(fail),
      [Symbol.asyncDispose]: async () => {},
    };
    await using consumer = consume({ registry });
    const { similarService } = await consumer.explain(Numbers);
    // The failure is ignored: the explanation has no name to suggest.
    reports.add('similarService', similarService);
  },
  async 'Registry.failure'(fail, reports) {
    await using inner = memory();
    const registry: Registry = {
      watch: (...args) => inner.watch(...args),
      register: (...args) => inner.register(...args),
      list: () => inner.list(),
      get failure() {
        return fail();
      },
      [Symbol.asyncDispose]: async () => {},
    };
    await using consumer = consume({ registry });
    const { registryFailure } = await consumer.explain(Numbers);
    reports.add('registryFailure', registryFailure);
  },
  'Registry.register': (fail, reports) => {
    const registry = { register: fail } as unknown as Registry;
    return reports.rejection(() =>
      provide({ registry, address: freeAddress(), services: [numbersService()] }),
    );
  },
  async 'ProvideOptions.onPublish'(fail) {
    await using registry = memory();
    const options = { registry, address: freeAddress(), services: [numbersService()] };
    await using provider = await provide({ ...options, onPublish: once(fail) });
    expect(provider.published).toEqual(provider.nodes);
  },
  async PublicationListener(fail) {
    await using registry = etcd('http://127.0.0.1:1', { logger: { info() {}, warn() {} } });
    await registry.register(nodeAt('tcp://127.0.0.1:1'), once(fail));
  },
  async 'ZooKeeperClientOptions.onState'(fail) {
    const client = new ZooKeeperClient('127.0.0.1:1', { onState: once(fail) });
    // close() changes the state to `closed`.
    await client.close();
  },
};
