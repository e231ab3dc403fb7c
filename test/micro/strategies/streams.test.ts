/** Which streaming calls a consumer retries at another node. */
import { describe, expect, it } from 'vitest';
import {
  consume,
  failover,
  hedge,
  provide,
  type Registry,
  type ServiceNode,
} from '../../../src/micro/index.js';
import { RetriedReplies } from '../../../src/micro/strategies/retried-replies.js';
import { memory } from '../../../src/registries/memory.js';
import {
  clientStream,
  contract,
  duplex,
  implement,
  RpcError,
  serverStream,
} from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { node } from '../../fixtures/registries.js';
import { gate } from '../../fixtures/waiting.js';

const Sum = contract('Sum', {
  add: clientStream<number, string>(),
  count: serverStream<number, string>(),
  echo: duplex<number, string>(),
  fail: serverStream<void, string>(),
});
const REFUSAL = new RpcError('RESOURCE_EXHAUSTED', 'full', { reason: 'refused', unsent: true });

/** A provider. With `refuses`, an interceptor refuses each call. */
function provider(registry: Registry, id: string, refuses: boolean) {
  const service = implement(Sum, {
    async add(items) {
      let sum = 0;
      for await (const item of items) sum += item;
      return `${id}: ${sum}`;
    },
    async *count(last) {
      for (let n = 1; n <= last; n++) yield `${id}: ${n}`;
    },
    async *echo(items) {
      for await (const item of items) yield `${id}: ${item}`;
    },
    // biome-ignore lint/correctness/useYield: it fails before its first reply.
    async *fail() {
      throw new RpcError('UNAVAILABLE', id);
    },
  });
  return provide({
    registry,
    id,
    address: 'tcp://127.0.0.1:0',
    services: [service],
    interceptors: refuses ? [() => () => Promise.reject(REFUSAL)] : [],
  });
}

async function* oneToThree(): AsyncGenerator<number> {
  for (const item of [1, 2, 3]) yield item;
}

async function all(replies: AsyncIterable<string>): Promise<string[]> {
  const items: string[] = [];
  for await (const item of replies) items.push(item);
  return items;
}

const firstById = () => (nodes: readonly ServiceNode[]) => nodes[0] as ServiceNode;

describe.each([
  ['failover()', failover],
  ['hedge()', hedge],
] as const)('%s, when a node refuses a call that streams', (_, strategy) => {
  noLeaks();

  it('does not repeat a call whose items were taken', async () => {
    await using registry = memory();
    await using _a = await provider(registry, 'a', true);
    await using _b = await provider(registry, 'b', false);
    await using consumer = consume({ registry, balancer: firstById, strategy: strategy() });
    const stub = consumer.stub(Sum);
    const refused = { code: 'RESOURCE_EXHAUSTED', unsent: true, reason: 'refused' };
    for (const input of [oneToThree, () => new Set([1, 2, 3])]) {
      await expect(stub.add(input())).rejects.toMatchObject(refused);
      await expect(all(stub.echo(input()))).rejects.toMatchObject(refused);
    }
    expect(consumer.statistics().retries).toBe(0);
  });

  it('repeats a call whose input is an array, or a single message', async () => {
    await using registry = memory();
    await using _a = await provider(registry, 'a', true);
    await using _b = await provider(registry, 'b', false);
    await using consumer = consume({ registry, balancer: firstById, strategy: strategy() });
    const stub = consumer.stub(Sum);
    expect(await stub.add([1, 2, 3])).toBe('b: 6');
    expect(await all(stub.echo([1, 2]))).toEqual(['b: 1', 'b: 2']);
    expect(await all(stub.count(2))).toEqual(['b: 1', 'b: 2']);
    expect(consumer.statistics().retries).toBe(3);
  });

  it('uses another node for an input that no node has read', async () => {
    await using registry = memory();
    // Nothing listens at this address.
    const dead = node('0', {
      service: 'Sum',
      group: '',
      version: '',
      address: 'tcp://127.0.0.1:1',
    });
    await using _dead = await registry.register(dead);
    await using _b = await provider(registry, 'b', false);
    await using consumer = consume({ registry, balancer: firstById, strategy: strategy() });
    expect(await consumer.stub(Sum).add(oneToThree())).toBe('b: 6');
  });

  it('does not repeat a call that its handler has begun', async () => {
    await using registry = memory();
    await using _a = await provider(registry, 'a', false);
    await using _b = await provider(registry, 'b', false);
    await using consumer = consume({ registry, balancer: firstById, strategy: strategy() });
    await expect(all(consumer.stub(Sum).fail())).rejects.toMatchObject({ message: 'a' });
    expect(consumer.statistics()).toMatchObject({ attempts: 1, retries: 0 });
  });
});

describe('RetriedReplies', () => {
  // biome-ignore lint/correctness/useYield: it fails before its first reply.
  async function* failing(): AsyncGenerator<string> {
    throw REFUSAL;
  }
  async function* letters(): AsyncGenerator<string> {
    yield* ['a', 'b', 'c'];
  }

  it('gives concurrent reads the replies in order', async () => {
    let errors = 0;
    const replies = new RetriedReplies(failing(), async (error) => {
      expect(error).toBe(REFUSAL);
      return errors++ === 0 ? failing() : letters();
    });
    const first = replies.next();
    const second = replies.next();
    expect((await first).value).toBe('a');
    const third = replies.next();
    expect([(await second).value, (await third).value]).toEqual(['b', 'c']);
    expect(await replies.next()).toEqual({ done: true, value: undefined });
    expect(errors).toBe(2);
  });

  it.each(['answered', 'failed'])(
    'ends a read when return() was called before the next attempt was %s',
    async (outcome) => {
      const next = gate<AsyncIterable<string>>();
      const asked = gate();
      const replies = new RetriedReplies(failing(), () => {
        asked.open();
        return next.promise;
      });
      const read = replies.next();
      await asked.promise;
      expect(await replies.return()).toEqual({ done: true, value: undefined });
      const late = letters();
      if (outcome === 'answered') next.open(late);
      else next.fail(REFUSAL);
      expect(await read).toEqual({ done: true, value: undefined });
      if (outcome === 'answered') expect((await late.next()).done).toBe(true);
    },
  );
});
