/** The limits of the etcd registry: entries, bytes, pages and log lines. */
import { describe, expect, it } from 'vitest';
import { entryValue } from '../../../src/micro/registry-entry.js';
import { node, RecordingLogger, WatchReader } from '../../fixtures/registries.js';
import {
  open,
  openProxy,
  pathOf,
  root,
  server,
  untilValue,
  useEtcd,
  useNextRoot,
} from './etcd-setup.js';

describe('the etcd registry', () => {
  useEtcd();

  it('skips entries over maxEntries with one log line, and adds them when there is room', async () => {
    useNextRoot();
    const log = new RecordingLogger();
    const registry = open();
    const registrations = [];
    for (let i = 0; i < 12; i++) registrations.push(await registry.register(node(`n${i}`)));
    await using watch = new WatchReader(open({ logger: log, maxEntries: 10 }));
    expect((await watch.next())?.length).toBe(10);
    expect(log.linesWith('the cache is full').length).toBe(1);
    for (const registration of registrations.slice(0, 4)) await registration[Symbol.asyncDispose]();
    await watch.until(
      (nodes) => nodes.length === 8 && nodes.some(({ id }) => id === 'n9'),
      'the eight remaining nodes',
    );
    expect(log.lines.length).toBe(1);
  });

  it('skips entries over maxBytes', async () => {
    useNextRoot();
    const log = new RecordingLogger();
    const registry = open();
    await registry.register(node('a', { metadata: { fill: 'x'.repeat(5_000) } }));
    await registry.register(node('b', { metadata: { fill: 'x'.repeat(5_000) } }));
    await using watch = new WatchReader(open({ logger: log, maxBytes: 8_000 }));
    await watch.ids('a');
    expect(log.linesWith('the cache is full').length).toBe(1);
  });

  it('reads a page that is too large in smaller pages', async () => {
    useNextRoot();
    const registry = open({ requestTimeout: 5_000 });
    const fill = 'x'.repeat(60_000);
    const ids = Array.from({ length: 400 }, (_, i) => `n${String(i).padStart(3, '0')}`);
    for (const id of ids) await registry.register(node(id, { metadata: { fill } }));
    const log = new RecordingLogger();
    await using watch = new WatchReader(open({ logger: log, requestTimeout: 5_000 }));
    await watch.ids(...ids);
    expect(log.lines).toEqual([]);
  });

  it('receives many large changes that were delayed', async () => {
    useNextRoot();
    const proxy = await openProxy();
    const log = new RecordingLogger();
    await using watch = new WatchReader(open({ logger: log, pingTimeout: 10_000 }, proxy.endpoint));
    await watch.ids();
    const registry = open({ requestTimeout: 5_000 });
    await registry.register(node('deleted'));
    await watch.ids('deleted');
    proxy.hold();
    const fill = 'x'.repeat(60_000);
    const ids = Array.from({ length: 190 }, (_, i) => `n${String(i).padStart(3, '0')}`);
    for (const id of ids) await registry.register(node(id, { metadata: { fill } }));
    await server.remove(pathOf('deleted'));
    await untilValue('deleted', entryValue(node('deleted')));
    proxy.release();
    await watch.ids('deleted', ...ids);
    expect(log.lines).toEqual([]);
  });

  it('logs a limited number of invalid entries', async () => {
    useNextRoot();
    for (let i = 0; i < 1_010; i += 100) {
      const success = Array.from({ length: Math.min(100, 1_010 - i) }, (_, n) => ({
        request_put: {
          key: Buffer.from(`${root}/garbage-${i + n}/x`).toString('base64'),
          value: '',
        },
      }));
      await server.request('kv/txn', { success });
    }
    const log = new RecordingLogger();
    await open().register(node('a'));
    await using watch = new WatchReader(open({ logger: log }));
    await watch.ids('a');
    expect(log.lines.length).toBe(1_001);
    expect(log.linesWith('no more are logged').length).toBe(1);
  });
});
