/** Registries by URL. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { inspect } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { registry } from '../../src/registries/index.js';
import { node, WatchReader } from '../fixtures/registries.js';

describe('registry(url)', () => {
  let directory: string | undefined;
  afterEach(async () => {
    if (directory !== undefined) await rm(directory, { recursive: true, force: true });
  });

  it('registries of memory:name share their entries', async () => {
    await using first = await registry('memory:shared');
    await using second = await registry('memory://shared');
    await using other = await registry('memory:other');
    await first.register(node('a'));
    expect(await new WatchReader(second).next()).toHaveLength(1);
    expect(await new WatchReader(other).next()).toHaveLength(0);
  });

  it('registries of memory: share no entries', async () => {
    await using first = await registry('memory:');
    await using second = await registry('memory:');
    await first.register(node('a'));
    expect(await new WatchReader(first).next()).toHaveLength(1);
    expect(await new WatchReader(second).next()).toHaveLength(0);
  });

  it('the entries of a name are removed when its last registry is disposed', async () => {
    const first = await registry('memory:again');
    await first.register(node('a'));
    await first[Symbol.asyncDispose]();
    await using second = await registry('memory:again');
    expect(await new WatchReader(second).next()).toEqual([]);
  });

  it('file:///path is a file registry with its options', async () => {
    directory = await mkdtemp(join(tmpdir(), 'getty url '));
    await using first = await registry(pathToFileURL(directory).href, {
      ttl: 60_000,
      pollInterval: 5,
    });
    await using second = await registry(pathToFileURL(directory).href);
    await first.register(node('a'));
    await using watch = new WatchReader(second);
    expect(await watch.next()).toHaveLength(1);
    await expect(registry(pathToFileURL(directory).href, { ttl: -1 })).rejects.toMatchObject({
      code: 'BAD_OPTION',
    });
  });

  it.each([
    '',
    'memory',
    'memory:a/b',
    'file:relative',
    'file://host/path',
    'file:///',
    'file:///a?b',
    'file:///a%2Fb',
    'tcp://h:1',
    'etcd://',
    'etcd://h:1/r?x',
    'zookeeper:',
    'zookeeper:///root',
    'zookeeper://h:1/a?b',
    'zookeeper://h:1/%',
  ])('rejects %j and lists the allowed URLs', async (url) => {
    const message = expect.stringMatching(/got .*expected memory:name, file:\/\/\//);
    await expect(registry(url)).rejects.toMatchObject({ code: 'BAD_ADDRESS', message });
  });

  it('hides the password of an unknown URL', async () => {
    await expect(registry('etcd://user:secret@host:2379?x')).rejects.toThrow(/^(?!.*secret)/);
  });

  it.each([
    'zookeeper://user:secret@host:bad/root',
    'zookeeper://user:top/secret@host/root',
    'zookeeper://user:top@secret@host/root',
    'zookeeper://user:secret%@host/root',
    'zookeeper://secret@host/root',
    'zookeeper://user:secret@host/ro?ot',
    'zookeeper://user:secret@host/ro//ot',
  ])('hides the password of %s', async (url) => {
    const error = await registry(url).catch((failure) => failure);
    expect(error?.code).toMatch(/^BAD_/);
    expect(inspect(error)).not.toMatch(/secret|top/);
  });

  it('rejects an invalid ZooKeeper host or port, and names the allowed form', async () => {
    for (const url of [
      'zookeeper://h:70000/a',
      'zookeeper://h:0',
      'zookeeper://h:1,,i:2/a',
      'zookeeper://[h]:1/a',
    ]) {
      await expect(registry(url)).rejects.toMatchObject({
        code: 'BAD_ADDRESS',
        message: expect.stringContaining('expected host:port,host:port'),
      });
    }
  });
});
