/** provide(): its order of steps, its entries, and its options. */
import { describe, expect, it } from 'vitest';
import type { Registry } from '../../src/micro/index.js';
import { consume, failfast, provide } from '../../src/micro/index.js';
import { memory } from '../../src/registries/memory.js';
import { ADDRESS, Greeter, greeter } from '../fixtures/greeter.js';
import { noLeaks } from '../fixtures/leaks.js';

describe('provide', () => {
  noLeaks();

  it('listens before it registers, and deregisters before it stops accepting calls', async () => {
    const steps: string[] = [];
    const inner = memory();
    await using _inner = inner;
    const registry: Registry = {
      async register(node) {
        // The provider answers while it registers.
        await using early = consume({ registry: inner });
        const registration = await inner.register(node);
        steps.push(`registering: ${await early.stub(Greeter).hello('1')}`);
        return {
          async [Symbol.asyncDispose]() {
            await using late = consume({ registry: inner });
            steps.push(`deregistering: ${await late.stub(Greeter).hello('2')}`);
            await registration[Symbol.asyncDispose]();
          },
        };
      },
      watch: (query, options) => inner.watch(query, options),
      list: () => inner.list(),
      [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
    };
    const provider = await provide({ registry, address: ADDRESS, services: [greeter('a')] });
    await provider.close();
    expect(steps).toEqual(['registering: a: 1', 'deregistering: a: 2']);
  });

  it('loses no call with failfast() when providers are replaced one after another under load', async () => {
    await using registry = memory();
    const start = (id: string) =>
      provide({
        registry,
        id,
        address: ADDRESS,
        services: [
          greeter(id, {
            pay: (input) => new Promise((resolve) => setImmediate(() => resolve(input))),
          }),
        ],
      });
    let providers = await Promise.all(['a', 'b', 'c'].map(start));
    await using consumer = consume({ registry, strategy: failfast() });
    const stub = consumer.stub(Greeter);
    let isRunning = true;
    let calls = 0;
    const load = Array.from({ length: 8 }, async () => {
      while (isRunning) {
        expect(await stub.pay('x')).toBe('x');
        calls++;
      }
    });
    for (const id of ['a2', 'b2', 'c2']) {
      const before = calls;
      while (calls < before + 50) await new Promise((resolve) => setImmediate(resolve));
      const [old, ...rest] = providers;
      providers = [...rest, await start(id)];
      await old?.close();
    }
    isRunning = false;
    await Promise.all(load);
    expect(calls).toBeGreaterThan(150);
    await Promise.all(providers.map((provider) => provider.close()));
  });

  it('closes its server when it cannot register', async () => {
    const registry: Registry = {
      register: () => Promise.reject(new Error('no')),
      watch: () => memory().watch({ service: 'x' }),
      list: async () => [],
      async [Symbol.asyncDispose]() {},
    };
    await expect(provide({ registry, address: ADDRESS, services: [greeter('a')] })).rejects.toThrow(
      'no',
    );
  });

  it('publishes one entry for each service and codec, at the advertised address', async () => {
    await using registry = memory();
    await using provider = await provide({
      registry,
      group: 'bj',
      address: 'tcp://0.0.0.0:0',
      advertise: 'gateway.example',
      services: [greeter('a')],
      metadata: { zone: 'z1' },
    });
    const port = Number(provider.address.split(':').at(-1));
    expect(provider.nodes).toEqual([
      {
        id: `gateway.example:${port}`,
        service: 'Greeter',
        group: 'bj',
        version: '',
        protocol: 'json',
        address: `tcp://gateway.example:${port}`,
        metadata: { zone: 'z1' },
      },
    ]);
    await using mapped = await provide({
      registry,
      address: ADDRESS,
      advertise: '10.0.0.7:9000',
      services: [greeter('a')],
    });
    expect(mapped.nodes[0]?.address).toBe('tcp://10.0.0.7:9000');
    await using allInterfaces = await provide({ registry, services: [greeter('a')] });
    expect(allInterfaces.nodes[0]?.address).not.toContain('0.0.0.0');
  });

  it.each([
    [
      'registry',
      { registry: undefined, services: [greeter('a')] },
      'registry: got undefined, expected a Registry',
    ],
    [
      'services',
      { registry: memory(), services: [] },
      'services: got an array, expected at least one of what implement() returns',
    ],
    [
      'advertise',
      { registry: memory(), services: [greeter('a')], address: ADDRESS, advertise: 'a b' },
      'advertise: got "a b", expected a host, or host:port',
    ],
    [
      'timeout',
      { registry: memory(), services: [greeter('a')], address: ADDRESS, timeout: 0 },
      'timeout: got 0, expected a number from 1',
    ],
    ['options', null, 'options of provide(): got null, expected an object'],
    [
      'registry',
      { registry: Promise.resolve(memory()), services: [greeter('a')] },
      'registry: got a promise, expected a Registry: await it first',
    ],
    [
      'meta',
      { registry: memory(), services: [greeter('a')], address: ADDRESS, meta: {} },
      'meta: got an object, expected a string',
    ],
    [
      'metadata',
      { registry: memory(), services: [greeter('a')], address: ADDRESS, metadata: 5 },
      'metadata: got 5, expected an object of strings',
    ],
    [
      'advertise',
      { registry: memory(), services: [greeter('a')], address: ADDRESS, advertise: 5 },
      'advertise: got 5, expected a host, or host:port',
    ],
  ])('provide() rejects with BAD_OPTION for a bad %s', async (_, options, message) => {
    await expect(provide(options as never)).rejects.toMatchObject({ code: 'BAD_OPTION', message });
  });

  it.each([5, null, undefined, { metadata: [] }])(
    'update() rejects %s with BAD_OPTION, and the old metadata stay',
    async (changes) => {
      await using registry = memory();
      await using provider = await provide({
        registry,
        address: ADDRESS,
        services: [greeter('a')],
      });
      const before = await registry.list();
      await expect(provider.update(changes as never)).rejects.toMatchObject({ code: 'BAD_OPTION' });
      expect(await registry.list()).toEqual(before);
    },
  );
});
