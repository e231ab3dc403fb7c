/** Registries of programs that fail with any value, or never answer. */
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { GettyError } from '../../src/core/errors.js';
import {
  consume,
  type NodeRegistration,
  provide,
  type Registry,
  Resolver,
  type ServiceNode,
} from '../../src/micro/index.js';
import { memory } from '../../src/registries/memory.js';
import { connect, contract, implement, unary } from '../../src/rpc/index.js';
import { simulate } from '../../src/testing/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { node, QUERY, RecordingLogger } from '../fixtures/registries.js';
import { until } from '../fixtures/waiting.js';

const Greeter = contract('Greeter', { hello: unary<void, string>({ idempotent: true }) });
const services = [implement(Greeter, { hello: () => 'hello' })];
const address = 'sim://client:1000';
const never = <T>(): Promise<T> => new Promise(() => {});

/** memory() with other members. */
function registryWith(members: Partial<Registry>): Registry {
  const inner = memory();
  return {
    register: (given, onPublished) => inner.register(given, onPublished),
    watch: (query, options) => inner.watch(query, options),
    list: () => inner.list(),
    [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
    ...members,
  };
}

/** The iterable of a watch that gives these lists and then ignores its signal. */
const watchOf = (
  lists: readonly unknown[],
  end: () => Promise<never> = never,
): ReturnType<Registry['watch']> => ({
  [Symbol.asyncIterator]: () => {
    const left = [...lists];
    return {
      next: () =>
        left.length > 0
          ? Promise.resolve({ done: false, value: left.shift() as ServiceNode[] })
          : never(),
      return: end,
    };
  },
});

/** A watch that gives these lists and ends with its signal. */
const watchUntilAborted = (lists: readonly unknown[]): Registry['watch'] =>
  async function* (_query, { signal } = {}) {
    yield* lists as ServiceNode[][];
    if (signal !== undefined && !signal.aborted) await once(signal, 'abort');
  };

describe('register() of a registry of a program', () => {
  noLeaks();

  const boom = new Error('boom');
  const throwing = {
    get [Symbol.asyncDispose](): never {
      throw boom;
    },
  };
  it.each<[string, () => unknown, unknown, string]>([
    ['rejects with a bare error', () => Promise.reject(boom), boom, 'boom'],
    ['rejects without a reason', () => Promise.reject(undefined), undefined, 'undefined'],
    [
      'throws',
      () => {
        throw boom;
      },
      boom,
      'boom',
    ],
    ['resolves with null', async () => null, undefined, 'without an object'],
    ['resolves with nothing', async () => {}, undefined, 'without an object'],
    ['resolves with an empty object', async () => ({}), undefined, 'without an object'],
    ['resolves with an object that throws', async () => throwing, boom, 'boom'],
  ])('that %s makes provide() reject with REGISTRY_FAILED', async (_, register, cause, text) => {
    await using registry = registryWith({ register: register as Registry['register'] });
    const error = await provide({ registry, address: 'memory://custom', services }).then(
      () => undefined,
      (reason: unknown) => reason as GettyError,
    );
    expect(error).toBeInstanceOf(GettyError);
    expect(error?.code).toBe('REGISTRY_FAILED');
    expect(error?.message).toContain(text);
    expect(error?.cause).toBe(cause);
    await expect(connect('memory://custom')).rejects.toMatchObject({ code: 'CONNECT_FAILED' });
  });

  it('that fails makes update() reject, and the provider goes on', async () => {
    let mustFail = false;
    const inner = memory();
    await using registry = registryWith({
      register: (given) => (mustFail ? Promise.reject(null) : inner.register(given)),
    });
    await using provider = await provide({ registry, address: 'memory://custom', services });
    mustFail = true;
    await expect(provider.update({ weight: 7 })).rejects.toMatchObject({ code: 'REGISTRY_FAILED' });
    mustFail = false;
    await provider.update({ weight: 7 });
    expect(provider.state).toBe('published');
  });

  it('that does not settle makes provide() reject after 60 s', async () => {
    await simulate({ duration: '5m' }, async ({ clock }) => {
      const registrations: ((registration: NodeRegistration) => void)[] = [];
      await using registry = registryWith({
        register: () => new Promise((resolve) => void registrations.push(resolve)),
      });
      const start = clock.now;
      await expect(provide({ registry, address, services })).rejects.toMatchObject({
        code: 'REGISTRY_FAILED',
        message: 'register() of the registry did not settle within 60000 ms',
      });
      expect(clock.now - start).toBe(60_000);
      await expect(connect(address)).rejects.toMatchObject({ code: 'CONNECT_FAILED' });
      // An entry that is published later would lead to no provider.
      let disposals = 0;
      for (const resolve of registrations)
        resolve({
          async [Symbol.asyncDispose]() {
            disposals++;
          },
        });
      await clock.sleep(1);
      expect(disposals).toBe(registrations.length);
      expect(disposals).toBeGreaterThan(0);
    });
  });

  it('that does not settle makes update() reject, and the provider goes on', async () => {
    await simulate({ duration: '5m' }, async () => {
      let isSilent = false;
      const inner = memory();
      await using registry = registryWith({
        register: (given, onPublished) => {
          // The node of the update only.
          const isNew = isSilent && given.metadata['getty-weight'] === '7';
          return isNew ? never() : inner.register(given, onPublished);
        },
      });
      await using provider = await provide({ registry, address, services });
      isSilent = true;
      await expect(provider.update({ weight: 7 })).rejects.toMatchObject({
        code: 'REGISTRY_FAILED',
      });
      isSilent = false;
      await provider.update({ weight: 7 });
      expect(provider.state).toBe('published');
    });
  });

  it('with a GettyError of its own keeps it', async () => {
    await using registry = registryWith({
      register: (given) => memory().register({ ...given, id: 'a/b' }),
    });
    await expect(provide({ registry, address: 'memory://custom', services })).rejects.toMatchObject(
      { code: 'BAD_OPTION' },
    );
  });
});

describe('a registration of a registry of a program', () => {
  const registration: NodeRegistration = {
    get isRemoved(): never {
      throw new Error('unknown');
    },
    async [Symbol.asyncDispose]() {},
  };

  it('whose isRemoved throws counts as left', async () => {
    await using registry = registryWith({ register: async () => registration });
    await using provider = await provide({ registry, address: 'memory://custom', services });
    await expect(provider.drain()).rejects.toMatchObject({ code: 'REGISTRY_FAILED' });
    expect(provider.state).toBe('draining');
    expect(provider.published).toHaveLength(1);
  });

  it('whose disposal does not settle makes drain() reject after 10 s', async () => {
    await simulate({ duration: '1m' }, async ({ clock }) => {
      let isSilent = true;
      await using registry = registryWith({
        register: async () => ({
          [Symbol.asyncDispose]: () => (isSilent ? never() : Promise.resolve()),
        }),
      });
      await using provider = await provide({ registry, address, services });
      const start = clock.now;
      await expect(provider.drain()).rejects.toMatchObject({
        code: 'REGISTRY_FAILED',
        message: expect.stringContaining('did not answer within 10000 ms'),
      });
      expect(clock.now - start).toBe(10_000);
      isSilent = false;
      await provider.drain();
      expect(provider.published).toEqual([]);
    });
  });
});

describe('watch() of a registry of a program', () => {
  it('that ignores its signal does not keep a consumer open', async () => {
    await simulate({ duration: '1m' }, async ({ clock }) => {
      const logger = new RecordingLogger();
      await using memoryRegistry = memory();
      await using provider = await provide({ registry: memoryRegistry, address, services });
      await using registry = registryWith({ watch: () => watchOf([provider.nodes]) });
      const consumer = consume({ registry, logger });
      expect(await consumer.stub(Greeter).hello()).toBe('hello');
      expect(provider.statistics().peers).not.toEqual([]);
      const start = clock.now;
      await consumer.close();
      expect(clock.now - start).toBeLessThan(2_000);
      expect(logger.linesWith('did not end the watch within 1000 ms')).not.toEqual([]);
      await clock.sleep(100);
      expect(provider.statistics().peers).toEqual([]);
    });
  });

  it('that gives no list does not keep calls waiting after close()', async () => {
    await simulate({ duration: '1m' }, async ({ clock }) => {
      await using registry = registryWith({ watch: () => watchOf([]) });
      const consumer = consume({ registry });
      const call = consumer.stub(Greeter).hello();
      const failed = expect(call).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      await clock.sleep(1);
      const start = clock.now;
      await consumer.close();
      await failed;
      expect(clock.now - start).toBe(1_000);
    });
  });

  it.each<[string, unknown]>([
    ['null', null],
    ['a string', 'nodes'],
    ['an object', { length: 1 }],
  ])('that gives %s instead of a list has failed with REGISTRY_FAILED', async (_, list) => {
    await using registry = memory();
    await registry.register(node('a'));
    let watches = 0;
    let failure: unknown;
    await using resolver: Resolver = new Resolver(
      registryWith({
        watch: (query, options) => {
          if (watches++ === 0) return watchOf([list], () => Promise.reject(new Error('no end')));
          failure = resolver.failure;
          return registry.watch(query, options);
        },
      }),
      QUERY,
      { initialDelay: 1 },
    );
    await resolver.ready();
    expect(failure).toMatchObject({ code: 'REGISTRY_FAILED' });
    expect(resolver.nodes()).toHaveLength(1);
  });

  it('whose failure throws is the cause of a timeout, and ends nothing', async () => {
    await using registry = registryWith({ watch: watchUntilAborted([]) });
    Object.defineProperty(registry, 'failure', {
      get() {
        throw new TypeError('no client');
      },
    });
    await using resolver = new Resolver(registry, QUERY);
    expect(resolver.failure).toMatchObject({ message: 'no client' });
    await expect(resolver.ready({ timeout: 1 })).rejects.toMatchObject({
      code: 'REGISTRY_FAILED',
      message: expect.stringContaining('no client'),
    });
    await using consumer = consume({ registry, timeout: 1 });
    await expect(consumer.stub(Greeter).hello()).rejects.toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      message: expect.stringContaining('no client'),
    });
  });

  it('that gives invalid nodes has these left out, with a reason', async () => {
    const throwing = {
      ...node('b'),
      get address(): string {
        throw new TypeError('no address');
      },
    };
    const lists = [[null, 5, throwing, { ...node('c'), metadata: { key: 7 } }, node('a')]];
    const logger = new RecordingLogger();
    await using registry = registryWith({ watch: watchUntilAborted(lists) });
    await using resolver = new Resolver(registry, QUERY, { logger });
    await resolver.ready();
    expect(resolver.nodes()).toEqual([node('a')]);
    expect(resolver.failure).toMatchObject({
      code: 'REGISTRY_FAILED',
      message: 'watch() of the registry gave an invalid node: node: got null, expected an object',
    });
    expect(logger.linesWith('resolver: nodes are left out')).toHaveLength(1);
  });

  it('that changes its list or its nodes later has no effect until the next list', async () => {
    const [first, second] = [node('a'), node('b')];
    const list: unknown[] = [first, second];
    let next = (): void => {};
    const hasNext = new Promise<void>((resolve) => {
      next = resolve;
    });
    await using registry = registryWith({
      async *watch() {
        yield list as ServiceNode[];
        await hasNext;
        yield [first, second];
      },
    });
    await using resolver = new Resolver(registry, QUERY);
    const before = await resolver.ready();
    list[0] = null;
    Object.assign(second, { address: 'tcp://127.0.0.1:9' });
    expect(resolver.nodes()).toEqual([node('a'), node('b')]);
    next();
    await until(() => resolver.nodes() !== before, 'the resolver has the next list');
    expect(resolver.nodes()[0]).toBe(before[0]);
    expect(resolver.nodes()[1]?.address).toBe('tcp://127.0.0.1:9');
  });

  it('that gives lists without a pause does not stop the event loop', async () => {
    let lists = 0;
    const endless = async function* (): AsyncGenerator<readonly ServiceNode[]> {
      for (;;) {
        lists++;
        yield [node('a')];
      }
    };
    await using registry = registryWith({ watch: endless });
    await using resolver = new Resolver(registry, QUERY);
    await resolver.ready();
    await until(() => lists > 100, 'the resolver has read lists in several turns');
  });
});
