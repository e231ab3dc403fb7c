/**
 * The ZooKeeper registry while the server cannot be reached or is silent, and after random
 * failures.
 */
import { describe, expect, it } from 'vitest';
import { attributesOf, entryValue, parseEntry } from '../../../src/micro/registry-entry.js';
import { fc } from '../../fixtures/property.js';
import { isPending, node, RecordingLogger, WatchReader } from '../../fixtures/registries.js';
import { until, within } from '../../fixtures/waiting.js';
import {
  open,
  openProxy,
  pathOf,
  publishedIds,
  root,
  server,
  untilPublished,
  useNextRoot,
  useZooKeeper,
} from './registry-setup.js';

describe('the ZooKeeper registry', () => {
  useZooKeeper();

  it('resolves register() during an outage, and publishes the entry later', async () => {
    useNextRoot();
    const proxy = await openProxy();
    proxy.refuse();
    const log = new RecordingLogger();
    // With this timeout, a register() that waits for the server exceeds the limit of the test.
    const registry = open({ operationTimeout: 300_000, logger: log }, proxy);
    await using watch = new WatchReader(registry);
    const first = watch.next();
    const registration = await within(registry.register(node('a')), 'register()');
    await within(registry.register(node('b')), 'register() again');
    await registration[Symbol.asyncDispose]();
    expect(await isPending(first)).toBe(true);
    expect(log.lines.map(({ level, message }) => `${level} ${message}`)).toEqual([
      'warn registry: ZooKeeper cannot be reached, trying again',
      'warn registry: the entry is published when ZooKeeper answers again',
      'warn registry: the entry is published when ZooKeeper answers again',
      'warn registry: the entry is deleted when ZooKeeper answers again, or expires with the session',
    ]);
    proxy.accept();
    await log.waitFor('ZooKeeper answers again');
    await untilPublished('b');
    if ((await first)?.length === 0) await watch.ids('b');
    // A registration that ended during the outage was never published.
    expect(watch.seen.flat()).not.toContain('a');
  });

  it('rejects register() after its timeout with waitForRegistry: false, and publishes nothing', async () => {
    useNextRoot();
    const proxy = await openProxy();
    proxy.refuse();
    const log = new RecordingLogger();
    const registry = open({ waitForRegistry: false, operationTimeout: 800, logger: log }, proxy);
    const error = await registry.register(node('a')).catch((failure) => failure);
    expect(error).toMatchObject({
      code: 'REGISTRY_FAILED',
      message: expect.stringContaining(pathOf(node('a'))),
      cause: expect.any(Error),
    });
    proxy.accept();
    await log.waitFor('ZooKeeper answers again');
    await registry.register(node('b'));
    expect(await publishedIds()).toEqual(['b']);
  });

  it('resolves register() after its timeout on a silent server, and rejects it with waitForRegistry: false', async () => {
    useNextRoot();
    const proxy = await openProxy();
    proxy.freeze();
    const waiting = open({ operationTimeout: 200, sessionTimeout: 60_000 }, proxy);
    await within(waiting.register(node('a')), 'register()');
    const strict = open(
      { operationTimeout: 200, sessionTimeout: 60_000, waitForRegistry: false },
      proxy,
    );
    await expect(strict.register(node('b'))).rejects.toMatchObject({ code: 'REGISTRY_FAILED' });
    proxy.thaw();
    await untilPublished('a');
  });

  it('deletes the entry of a registration that ended during an outage', async () => {
    useNextRoot();
    const proxy = await openProxy();
    const log = new RecordingLogger();
    const registry = open({ logger: log }, proxy);
    const registration = await registry.register(node('a'));
    await registry.register(node('b'));
    proxy.refuse();
    await log.waitFor('ZooKeeper cannot be reached');
    await within(
      Promise.resolve(registration[Symbol.asyncDispose]()),
      'the end of the registration',
    );
    expect(await publishedIds()).toEqual(['a', 'b']);
    proxy.accept();
    await untilPublished('b');
  });

  /** Random steps: they change entries, the proxy, the session or the registration. */
  const STEPS = [
    'put',
    'put',
    'put',
    'remove',
    'removeAttributes',
    'garbage',
    'cut',
    'refuse',
    'accept',
    'expire',
    'register',
    'endRegistration',
  ] as const;

  it('lists the valid entries of the server after random failures', async () => {
    const step = fc.tuple(fc.constantFrom(...STEPS), fc.integer({ min: 0, max: 4 }));
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
        useNextRoot();
        const proxy = await openProxy();
        const registry = open({ settleTime: 50 }, proxy);
        const watch = new WatchReader(registry);
        const own = node('own');
        let registration: AsyncDisposable | undefined = await registry.register(own);
        for (const [name, n] of steps) {
          const given = node(`${n}`, { version: n % 2 === 0 ? 'v1' : 'v2' });
          if (name === 'put') await server.put(pathOf(given), entryValue(given));
          else if (name === 'remove') await server.remove(pathOf(given)).catch(() => {});
          else if (name === 'removeAttributes')
            await server.remove(`${root}/${attributesOf(given)}`).catch(() => {});
          else if (name === 'garbage') await server.put(pathOf(given), '{');
          else if (name === 'cut') proxy.cut();
          else if (name === 'refuse') proxy.refuse();
          else if (name === 'accept') proxy.accept();
          else if (name === 'expire') await expireOwner(pathOf(own));
          else if (name === 'register') registration ??= await registry.register(own);
          else {
            await registration?.[Symbol.asyncDispose]();
            registration = undefined;
          }
        }
        proxy.accept();
        let listed: readonly string[] = [];
        const read = (async () => {
          for (let nodes = await watch.next(); nodes !== undefined; nodes = await watch.next())
            listed = nodes.map(({ id }) => id);
        })();
        const expected = async (): Promise<string[]> =>
          (await validIds(await server.entries(root))).sort();
        await until(
          async () =>
            `${listed}` === `${await expected()}` &&
            (registration !== undefined) === listed.includes('own'),
          () => `the list [${listed}] is that of the server`,
        );
        await registry[Symbol.asyncDispose]();
        await read;
        await server.remove(root).catch(() => {});
      }),
      { numRuns: 15 },
    );
  });

  async function expireOwner(path: string): Promise<void> {
    const owner = await server.owner(path);
    if (owner !== undefined && owner !== 0n) await server.expire(owner).catch(() => {});
  }

  /** The ids of the valid entries. */
  async function validIds(entries: Map<string, string>): Promise<string[]> {
    return [...entries].flatMap(([path, value]) => {
      try {
        return [parseEntry(path, value).id];
      } catch {
        return [];
      }
    });
  }
});
