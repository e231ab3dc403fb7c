/** Outages of each registry, on real servers, while a consumer calls its providers. */
import { once } from 'node:events';
import { beforeAll, describe, expect, it } from 'vitest';
import { provide } from '../../src/micro/index.js';
import { entryPath, entryValue } from '../../src/micro/registry-entry.js';
import { INSTALL_TIMEOUT } from '../fixtures/debian.js';
import { WatchReader } from '../fixtures/registries.js';
import { elapse, until } from '../fixtures/waiting.js';
import { OUTAGE_ROWS, ROOT } from './outage-rows.js';
import { Greeter, greeter, OutageScenario } from './outage-scenario.js';

/** Name, ttl of the lease or session, and duration of the outage, in milliseconds. */
const ABSENCES = [
  ['for less than a lease or session', 4_000, 1_000],
  ['for longer than a lease or session', 4_000, 8_000],
  ['for 20 s', 10_000, 20_000],
] as const;
const FREEZES = [
  ['for longer than a lease or session', 5_000, 10_000],
  ['for 15 s', 10_000, 15_000],
] as const;

describe.each(OUTAGE_ROWS)('$name', (row) => {
  beforeAll(async () => {
    await (await row.createServer()).stop();
  }, INSTALL_TIMEOUT);

  it.concurrent.each(ABSENCES)(
    'loses no provider when it is killed %s',
    async (_, ttl, absence) => {
      await using scenario = await OutageScenario.withCalls(row, ttl);
      await scenario.server.kill();
      await elapse(absence);
      expect(scenario.listedIds()).toEqual(['p1', 'p2']);
      await scenario.server.start();
      await scenario.expectRecovered(['p1', 'p2']);
      expect([...scenario.answers.keys()].sort()).toEqual(['p1', 'p2']);
      await scenario.untilOutageLogged();
    },
  );

  it.concurrent.each(FREEZES)(
    'loses no provider and logs the outage when it is frozen %s',
    async (_, ttl, duration) => {
      await using scenario = await OutageScenario.withCalls(row, ttl);
      await scenario.server.freeze();
      const start = performance.now();
      await until(
        () => scenario.log.linesWith('cannot be reached').length > 0,
        'the outage is logged',
      );
      await elapse(duration - (performance.now() - start));
      scenario.server.thaw();
      await scenario.expectRecovered(['p1', 'p2']);
    },
  );

  it.concurrent('loses no lease or session when one of two hosts is frozen', async () => {
    const ttl = 10_000;
    await using scenario = await OutageScenario.withServer(row, ttl);
    const proxies = [await scenario.openProxy(), await scenario.openProxy()];
    const url = row.url(proxies.map(({ port }) => ({ host: '127.0.0.1', port })));
    await scenario.provide(4, url);
    await scenario.consume(url);
    const ids = ['p1', 'p2', 'p3', 'p4'];
    await scenario.untilListed(ids);
    await scenario.startCalls();
    for (const proxy of proxies) {
      proxy.hold();
      const end = performance.now() + ttl + 2_000;
      while (performance.now() < end) {
        expect(await scenario.publishedIds()).toEqual(ids);
        await elapse(100);
      }
      proxy.release();
      await elapse(500);
    }
    await scenario.expectRecovered(ids);
  });

  it.concurrent('keeps one connection for each registry when connections are lost often', async () => {
    await using scenario = await OutageScenario.withServer(row, 4_000);
    const proxy = await scenario.openProxy();
    const url = row.url([{ host: '127.0.0.1', port: proxy.port }]);
    await scenario.provide(2, url);
    await scenario.consume(url);
    await scenario.untilListed(['p1', 'p2']);
    await scenario.startCalls();
    const losses = 60;
    const registries = 3;
    for (let loss = 0; loss < losses; loss++) {
      proxy.cut();
      await elapse(100 + Math.random() * 200);
    }
    await scenario.expectRecovered(['p1', 'p2']);
    await until(() => proxy.open <= registries, 'each registry has one connection');
    // Each lost connection causes few attempts.
    expect(proxy.accepted).toBeLessThan(registries * losses * 3);
  });

  it.concurrent('keeps a dead provider for one ttl while connections fail repeatedly', async () => {
    await using scenario = await OutageScenario.withServer(row, 4_000);
    const proxy = await scenario.openProxy();
    const dead = {
      id: 'dead',
      service: 'Greeter',
      group: '',
      version: 'v1',
      protocol: 'json',
      address: 'tcp://127.0.0.1:1',
      metadata: {},
    } as const;
    await scenario.provide(1);
    const path = entryPath(ROOT, dead);
    await scenario.server.put(path, entryValue(dead));
    const registry = await scenario.openRegistry(
      row.url([{ host: '127.0.0.1', port: proxy.port }]),
    );
    await using watch = new WatchReader(registry, { service: 'Greeter' });
    await watch.ids('dead', 'p1');
    let isRemoved = false;
    const nextList = watch.next().then((nodes) => {
      isRemoved = true;
      return nodes?.map(({ id }) => id);
    });
    proxy.refuse();
    await scenario.server.remove(path);
    await elapse(150);
    proxy.accept();
    // The connections fail until the node is removed. A ttl that began again with each failure
    // would not end.
    await until(async () => {
      await elapse(700);
      proxy.refuse();
      await elapse(150);
      proxy.accept();
      return isRemoved;
    }, 'the dead provider is removed');
    expect(await nextList).toEqual(['p1']);
  });

  it.concurrent.each(Object.keys(row.deletions))(
    'has the same entries again after %s',
    async (name) => {
      await using scenario = await OutageScenario.withCalls(row, 4_000);
      const before = await scenario.server.entries(ROOT);
      await row.deletions[name]?.(scenario.server);
      await scenario.untilPublished(['p1', 'p2']);
      await scenario.untilListed(['p1', 'p2']);
      expect(await scenario.server.entries(ROOT)).toEqual(before);
    },
  );

  it.concurrent('removes a killed provider after its lease or session, and no call fails', async () => {
    await using scenario = await OutageScenario.withServer(row, 3_000);
    await scenario.provide(1);
    const child = await scenario.spawnProvider('p2');
    await scenario.consume();
    await scenario.untilListed(['p1', 'p2']);
    await scenario.startCalls();
    await until(
      () => (scenario.answers.get('p2') ?? 0) > 5,
      'the provider has answered some calls',
    );
    child.kill('SIGKILL');
    await once(child, 'exit');
    scenario.answers.clear();
    await scenario.untilListed(['p1']);
    await scenario.untilPublished(['p1']);
    expect(scenario.failures).toEqual([]);
    expect([...scenario.answers.keys()]).toEqual(['p1']);
  });

  it.concurrent('has providers and consumers that start before it, log this, and work later', async () => {
    await using scenario = await OutageScenario.withoutServer(row, 4_000);
    await scenario.provide(2);
    const consumer = await scenario.consume();
    const earlyCall = consumer
      .stub(Greeter)
      .hello('early', { timeout: 60_000 })
      .catch(({ code }) => code);
    await scenario.log.waitFor('cannot be reached');
    await scenario.server.start();
    expect(await earlyCall).toMatch(/^p[12]: early$|^UNAVAILABLE$/);
    await scenario.untilListed(['p1', 'p2']);
    await scenario.startCalls();
    await scenario.expectRecovered(['p1', 'p2']);
    await scenario.untilOutageLogged();
  });

  it.concurrent('makes provide() reject without waitForRegistry before it starts', async () => {
    await using scenario = await OutageScenario.withoutServer(row, 4_000);
    const registry = await scenario.openRegistry(undefined, { waitForRegistry: false });
    const outcome = provide({ registry, address: 'tcp://127.0.0.1:0', services: [greeter('p1')] });
    await expect(outcome).rejects.toMatchObject({
      code: 'REGISTRY_FAILED',
      cause: expect.anything(),
    });
    if (row.watchFails) {
      const firstList = registry.watch({ service: 'Greeter' })[Symbol.asyncIterator]().next();
      await expect(firstList).rejects.toMatchObject({ code: 'REGISTRY_FAILED' });
    }
    // A node that was rejected is not published later.
    await scenario.server.start();
    await elapse(1_000);
    expect(await scenario.publishedIds()).toEqual([]);
  });

  it.concurrent('skips invalid entries with one log line each', async () => {
    await using scenario = await OutageScenario.withCalls(row, 10_000);
    const attributes = 'protocol%3Djson%26role%3DSRT_Provider%26service%3DGreeter%26version%3Dv1';
    const invalid: Readonly<Record<string, string | Uint8Array>> = {
      [`${attributes}/invalid-json`]: '{',
      [`${attributes}/invalid-null`]: 'null',
      [`${attributes}/invalid-type`]: JSON.stringify({ Attr: 1, Nodes: 'none' }),
      [`${attributes}/invalid-bytes`]: new Uint8Array([0xff, 0xfe, 0x00]),
      [`${attributes}/invalid-large`]: 'x'.repeat(1024 * 1024 + 1),
      'invalid-foreign/path': 'x',
    };
    for (const [path, value] of Object.entries(invalid))
      await scenario.server.put(`${ROOT}/${path}`, value);
    await scenario.provide(1);
    await scenario.untilListed(['p1', 'p2', 'p3']);
    const texts = Object.keys(invalid).map((path) =>
      path.includes('foreign') ? row.foreignEntryText(path) : path,
    );
    for (const text of texts) await scenario.log.waitFor(text);
    for (const text of texts)
      expect([text, scenario.log.linesWith(text).length]).toEqual([text, 1]);
    expect(scenario.log.lines.length).toBe(texts.length);
    expect(scenario.failures).toEqual([]);
  });
});
