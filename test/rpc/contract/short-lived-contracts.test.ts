/** Contracts that a program makes for one call. */
import { test } from 'vitest';
import { consume, hedge } from '../../../src/micro/index.js';
import { memory } from '../../../src/registries/memory.js';
import {
  connect,
  contract,
  implement,
  type RpcClient,
  serve,
  unary,
} from '../../../src/rpc/index.js';
import { collectGarbage } from '../../fixtures/garbage.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { freeMemoryAddress } from '../../fixtures/rpc.js';
import { until } from '../../fixtures/waiting.js';

noLeaks();

const makeContract = () => contract('Clock', { read: unary<void, number>({ idempotent: true }) });

test('are not kept by a client, a consumer or a strategy', async () => {
  await using server = await serve(freeMemoryAddress(), [
    implement(makeContract(), { read: () => 12 }),
  ]);
  await using registry = memory();
  await registry.register({
    id: 'a',
    service: 'Clock',
    group: '',
    version: '',
    protocol: 'json',
    address: server.address,
    metadata: {},
  });
  await using client = await connect(server.address);
  await using consumer = consume({ registry, strategy: hedge() });
  for (const caller of [client, consumer]) {
    // The counters keep the method of the first call and of the last one.
    await callOnce(caller);
    const ref = await callOnce(caller);
    await callOnce(caller);
    await until(() => {
      collectGarbage();
      return ref.deref() === undefined;
    }, 'the contract is collected');
  }
});

async function callOnce(caller: Pick<RpcClient, 'stub'>): Promise<WeakRef<object>> {
  const Clock = makeContract();
  await caller.stub(Clock).read();
  return new WeakRef(Clock.methods.get('read') as object);
}
