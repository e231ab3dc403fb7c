/** Several providers with one id, and Provider.published. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { consume, failfast, type Provider, provide, type Registry } from '../../src/micro/index.js';
import { file } from '../../src/registries/file/index.js';
import { memory } from '../../src/registries/memory.js';
import { ADDRESS, Greeter, greeter } from '../fixtures/greeter.js';
import { noLeaks } from '../fixtures/leaks.js';
import { RecordingLogger } from '../fixtures/registries.js';
import { Inbox, until } from '../fixtures/waiting.js';

noLeaks();

/** A provider with the id `x`, and the numbers of nodes that onPublish has received. */
async function start(
  registry: Registry,
  name: string,
  log = new RecordingLogger(),
): Promise<{ provider: Provider; counts: Inbox<number> }> {
  const counts = new Inbox<number>(`onPublish of ${name}`);
  const provider = await provide({
    registry,
    id: 'x',
    address: ADDRESS,
    services: [greeter(name)],
    onPublish: (nodes) => counts.push(nodes.length),
    logger: log,
  });
  expect(await counts.next()).toBe(1);
  return { provider, counts };
}

async function inDirectory(test: (registry: Registry) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'getty-same-id-'));
  try {
    await using registry = file(directory, { ttl: 4_000, pollInterval: 5 });
    await test(registry);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

const REGISTRIES: [
  string,
  (test: (one: Registry, other: Registry) => Promise<void>) => Promise<void>,
][] = [
  [
    'one memory registry',
    async (test) => {
      await using registry = memory();
      await test(registry, registry);
    },
  ],
  [
    'two memory registries with one name',
    async (test) => {
      await using one = memory('same-id');
      await using other = memory('same-id');
      await test(one, other);
    },
  ],
  ['one file registry', (test) => inDirectory((registry) => test(registry, registry))],
];

it.each(REGISTRIES)(
  'the newer of two providers with one id is published, and then the older: %s',
  (_, run) =>
    run(async (one, other) => {
      const older = await start(one, 'older');
      await using consumer = consume({ registry: one, strategy: failfast() });
      const stub = consumer.stub(Greeter);
      // A call fails while the consumer does not have the newest list.
      const isCalled = async (name: string): Promise<boolean> =>
        (await stub.hello('x').catch(({ code }) => code)) === `${name}: x`;
      expect(await stub.hello('x')).toBe('older: x');

      const newer = await start(other, 'newer');
      expect(await older.counts.next()).toBe(0);
      expect(older.provider.published).toEqual([]);
      expect(newer.provider.published).toEqual(newer.provider.nodes);
      await until(() => isCalled('newer'), 'the newer one is called');

      await newer.provider.close();
      expect(newer.provider.published).toEqual([]);
      expect(await older.counts.next()).toBe(1);
      expect(older.provider.published).toEqual(older.provider.nodes);
      await until(() => isCalled('older'), 'the older one is called');

      await older.provider.close();
      expect(older.provider.published).toEqual([]);
      expect(await one.list()).toEqual([]);
    }),
);

it.each(REGISTRIES)('an older provider that closes leaves the entry of the newer: %s', (_, run) =>
  run(async (one, other) => {
    const older = await start(one, 'older');
    const newer = await start(other, 'newer');
    await older.provider.close();
    expect(await other.list()).toEqual(newer.provider.nodes);
    expect(newer.provider.published).toEqual(newer.provider.nodes);
    await newer.provider.close();
    expect(await other.list()).toEqual([]);
  }),
);

it('the entry goes to the newest provider that is left, with its present metadata', async () => {
  await using registry = memory();
  const log = new RecordingLogger();
  const [first, second, third] = [
    await start(registry, 'first', log),
    await start(registry, 'second'),
    await start(registry, 'third'),
  ];
  expect(log.linesWith('another provider').length).toBe(1);
  await second.provider.close();
  await first.provider.update({ weight: 7 });
  // The last call publishes, so an update takes the entry over too.
  expect(await registry.list()).toEqual(first.provider.nodes);
  expect(third.provider.published).toEqual([]);
  await first.provider.close();
  expect(await registry.list()).toEqual(third.provider.nodes);
  await third.provider.update({ weight: 8 });
  await third.provider.close();
  expect(await registry.list()).toEqual([]);
});

it('a provider whose deregistration fails reports the node as published', async () => {
  await using inner = memory();
  const registry: Registry = {
    register: async () => ({
      [Symbol.asyncDispose]: () => Promise.reject(new Error('no')),
    }),
    watch: (query, options) => inner.watch(query, options),
    list: () => inner.list(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  const { provider } = await start(registry, 'a');
  await expect(provider.close()).rejects.toMatchObject({ code: 'REGISTRY_FAILED' });
  expect(provider.published).toEqual(provider.nodes);
});
