/** A client of a server with made entries, for tests of the cache. */
import { attributesOf } from '../../../src/micro/registry-entry.js';
import type { ServiceNode } from '../../../src/micro/types.js';
import { JuteReader, type JuteWriter } from '../../../src/registries/zookeeper/client/jute.js';
import { OPERATION_TYPE } from '../../../src/registries/zookeeper/client/operations.js';
import type { EntryCache } from '../../../src/registries/zookeeper/entry-cache.js';
import type { ZooKeeperClient } from '../../../src/registries/zookeeper/index.js';
import { node, QUERY } from '../../fixtures/registries.js';
import { answer, granted, openClient, xidOf } from './invalid-server.js';

/** The numbers of a Stat, each of 4 bytes. */
const STAT_INTS = 17;

/** The names of the children and the values, by path. */
export interface Tree {
  childrenOf(path: string): readonly string[];
  textOf?: (path: string) => string;
}

export function openTree({
  childrenOf,
  textOf = (): string => '',
}: Tree): Promise<ZooKeeperClient> {
  return openClient((session, request, number) => {
    if (number === 0) return void session.write(granted());
    const from = new JuteReader(request);
    from.int();
    const type = from.int();
    // The end of the session has no path.
    if (from.rest === 0) return;
    const path = from.string();
    const body = (to: JuteWriter): void => {
      if (type === OPERATION_TYPE.sync) return to.string(path);
      if (type === OPERATION_TYPE.getData) to.buffer(Buffer.from(textOf(path)));
      else to.vector(childrenOf(path), (name) => to.string(name));
      for (let i = 0; i < STAT_INTS; i++) to.int(0);
    };
    session.write(answer(xidOf(request), 0, body));
  });
}

export const attributesAt = (i: number, service = QUERY.service): string =>
  attributesOf(node('x', { service, group: `g${i}` }));

/** Resolves with the first list. */
export function firstList(cache: EntryCache): Promise<readonly ServiceNode[]> {
  return new Promise((resolve) => {
    cache.watch(QUERY, { offer: resolve, end() {}, fail() {} });
  });
}
