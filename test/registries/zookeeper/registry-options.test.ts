/** The options of the ZooKeeper registry, and its disposal without a server. */
import { describe, expect, it } from 'vitest';
import {
  type ZooKeeperRegistryOptions,
  zookeeper,
} from '../../../src/registries/zookeeper/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { freePort } from '../../fixtures/ports.js';
import { node, WatchReader } from '../../fixtures/registries.js';
import { noTimersLeft } from '../../fixtures/timers.js';
import { within } from '../../fixtures/waiting.js';

describe('the ZooKeeper registry', () => {
  noLeaks();
  noTimersLeft();

  it('is disposed at once if no server was ever reached', async () => {
    const registry = zookeeper(`127.0.0.1:${await freePort()}`, { operationTimeout: 300_000 });
    const watch = new WatchReader(registry);
    const next = watch.next();
    await registry.register(node('a'));
    await within(Promise.resolve(registry[Symbol.asyncDispose]()), 'the end of the registry');
    expect(await next).toBeUndefined();
  });

  it('rejects invalid options', () => {
    const cases: ZooKeeperRegistryOptions[] = [
      { root: 'getty' },
      { root: '/a/' },
      { sessionTimeout: 5 },
      { operationTimeout: 0 },
      { settleTime: -1 },
      { waitForRegistry: 'yes' as never },
      { credentials: 'no-password' },
      { acl: 'all' as never },
      { tls: { key: 'x' } },
    ];
    for (const options of cases)
      expect(() => zookeeper('h:1', options)).toThrowError(
        expect.objectContaining({ code: 'BAD_OPTION' }),
      );
    expect(() => zookeeper('')).toThrowError(expect.objectContaining({ code: 'BAD_ADDRESS' }));
  });
});
