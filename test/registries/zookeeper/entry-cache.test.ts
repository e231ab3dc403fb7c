import { expect, it } from 'vitest';
import { entryPath } from '../../../src/micro/registry-entry.js';
import type { ServiceNode } from '../../../src/micro/types.js';
import { JuteReader, type JuteWriter } from '../../../src/registries/zookeeper/client/jute.js';
import { OPERATION_TYPE } from '../../../src/registries/zookeeper/client/operations.js';
import { EntryCache } from '../../../src/registries/zookeeper/entry-cache.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { node, QUERY, RecordingLogger } from '../../fixtures/registries.js';
import { answer, granted, openClient, useInvalidServer, xidOf } from './invalid-server.js';

noLeaks();
useInvalidServer();

it('reads at most 2,000 of the ATTRIBUTES nodes that match, and logs it once', async () => {
  const names = Array.from(
    { length: 2_100 },
    (_, i) => entryPath('', node('x', { group: `g${i}` })).split('/')[1] as string,
  );
  const read = new Set<string>();
  const childrenOf = (path: string): readonly string[] => {
    if (path === '/root') return names;
    read.add(path);
    return [];
  };
  const client = await openClient((session, request, number) => {
    if (number === 0) return void session.write(granted());
    const from = new JuteReader(request);
    from.int();
    const type = from.int();
    // The end of the session has no path.
    if (from.rest === 0) return;
    const path = from.string();
    const body = (to: JuteWriter): void => {
      if (type === OPERATION_TYPE.sync) to.string(path);
      else to.vector(childrenOf(path), (name) => to.string(name));
    };
    session.write(answer(xidOf(request), 0, body));
  });
  const log = new RecordingLogger();
  const cache = new EntryCache(client, '/root', log);
  const lists: (readonly ServiceNode[])[] = [];
  await new Promise<void>((resolve) => {
    cache.watch(QUERY, {
      offer(list) {
        lists.push(list);
        resolve();
      },
      end() {},
      fail() {},
    });
  });
  expect(lists).toEqual([[]]);
  expect(read.size).toBe(2_000);
  expect(log.linesWith('too many ATTRIBUTES nodes')).toHaveLength(1);
  cache.stop();
});
