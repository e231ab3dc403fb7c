/** `getty ls`. */
import { describe, expect, test } from 'vitest';
import { file } from '../../../src/registries/file/index.js';
import { INSTALL_TIMEOUT } from '../../fixtures/debian.js';
import { EtcdServer } from '../../fixtures/etcd-server.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { node } from '../../fixtures/registries.js';
import { openFleet, temporaryFolder } from '../greeter-servers.js';
import { finished, getty, startGetty } from '../run-getty.js';

noLeaks();

/** The lines of a table, as cells. */
const cellsOf = (text: string): string[][] =>
  text
    .trim()
    .split('\n')
    .map((line) => line.split(/ {2,}/));

describe('getty ls', () => {
  test('lists services, versions, groups, codecs, nodes and weights', async () => {
    await using fleet = openFleet();
    await fleet.registry.register(
      node('a', { metadata: { 'getty-weight': '5', 'getty-micro-meta-key': 'zone 1' } }),
    );
    await fleet.registry.register(
      node('a', {
        protocol: 'protobuf',
        metadata: { 'getty-weight': '5', 'getty-micro-meta-key': 'zone 1' },
      }),
    );
    await fleet.registry.register(node('b', { service: 'Shop', group: '', version: '' }));
    const { code, stdout, stderr } = await getty('ls', fleet.url);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    const titles = 'SERVICE VERSION GROUP CODECS NODE ADDRESS WEIGHT META'.split(' ');
    const [first, b, a] = cellsOf(stdout);
    expect(first).toEqual(titles);
    expect(b).toEqual(['Shop', 'json', 'b', 'tcp://127.0.0.1:12000', '100']);
    expect(a).toEqual([
      'TestService',
      'v1.0',
      'bj',
      'json,protobuf',
      'a',
      'tcp://127.0.0.1:12000',
      '5',
      'zone 1',
    ]);
  });

  test('has a column for zones if a node has one', async () => {
    await using fleet = openFleet();
    await fleet.registry.register(node('a', { metadata: { 'getty-zone': 'eu-1a' } }));
    await fleet.registry.register(node('b', { service: 'Shop' }));
    const [titles, shop, test] = cellsOf((await getty('ls', fleet.url)).stdout);
    expect(titles?.slice(-2)).toEqual(['META', 'ZONE']);
    expect([shop?.at(-1), test?.at(-1)]).toEqual(['100', 'eu-1a']);
  });

  test('writes JSON, without the secrets of addresses', async () => {
    await using fleet = openFleet();
    await fleet.registry.register(
      node('a', { address: 'ws://me:secret@host:1/path', metadata: { zone: 'z1' } }),
    );
    const { stdout } = await getty('ls', fleet.url, '--json');
    expect(JSON.parse(stdout)).toEqual({
      nodes: [
        {
          service: 'TestService',
          version: 'v1.0',
          group: 'bj',
          codec: 'json',
          node: 'a',
          address: 'ws://***@host:1/path',
          weight: 100,
          metadata: { zone: 'z1' },
        },
      ],
    });
  });

  test('lists one service, and names the one that was meant', async () => {
    await using fleet = openFleet();
    await fleet.registry.register(node('a'));
    await fleet.registry.register(node('b', { service: 'Shop' }));
    const { stdout } = await getty('ls', fleet.url, 'Shop', '--json');
    expect(JSON.parse(stdout).nodes).toMatchObject([{ service: 'Shop', node: 'b' }]);
    expect(await getty('ls', fleet.url, 'Shp')).toEqual({
      code: 14,
      stdout: '',
      stderr: 'getty ls: UNAVAILABLE: no node offers Shp (did you mean Shop?)\n',
    });
    const args = ['ls', fleet.url, 'Cart', '--watch', '--interval', '1ms', '--json'];
    const watch = startGetty(args);
    await fleet.registry.register(node('c', { service: 'Other' }));
    await fleet.registry.register(node('d', { service: 'Cart' }));
    expect(JSON.parse(await watch.lines.next())).toMatchObject({ node: { node: 'd' } });
    watch.interrupt();
    expect((await finished(watch)).code).toBe(0);
  });

  test('says that a registry is empty', async () => {
    await using fleet = openFleet();
    expect(await getty('ls', fleet.url)).toEqual({
      code: 0,
      stdout: '',
      stderr: 'the registry has no nodes\n',
    });
    expect((await getty('ls', fleet.url, '--json')).stdout).toBe('{"nodes":[]}\n');
  });

  test('escapes what a node has published', async () => {
    await using fleet = openFleet();
    await fleet.registry.register(
      node('a', { metadata: { 'getty-micro-meta-key': '\u001b[2J\u009b31m\u202eevil' } }),
    );
    const { stdout } = await getty('ls', fleet.url);
    expect(stdout).toContain('\\u001b[2J\\u009b31m\\u202eevil');
    const { stdout: json } = await getty('ls', fleet.url, '--json');
    expect(json).toContain('"\\u001b[2J\\u009b31m\\u202eevil"');
  });

  test('with --watch writes each change until Ctrl-C', async () => {
    await using fleet = openFleet();
    const first = await fleet.registry.register(node('a'));
    const watch = startGetty(['ls', fleet.url, '--watch', '--interval', '1ms']);
    expect(await watch.lines.next()).toMatch(/^SERVICE/);
    expect(await watch.lines.next()).toMatch(/^TestService/);
    await fleet.registry.register(node('b'));
    expect(await watch.lines.next()).toMatch(
      /^\d\d:\d\d:\d\d {2}added {4}TestService v1.0 group bj json: b at tcp:/,
    );
    await fleet.registry.register(node('b', { metadata: { 'getty-weight': '7' } }));
    expect(await watch.lines.next()).toMatch(/updated .*weight 7$/);
    await first[Symbol.asyncDispose]();
    expect(await watch.lines.next()).toMatch(/removed .* a at /);
    watch.interrupt();
    expect(await finished(watch)).toMatchObject({ code: 0, stderr: '' });
  });

  test('with --watch --json writes a line of JSON for each change', async () => {
    await using fleet = openFleet();
    await fleet.registry.register(node('a'));
    const watch = startGetty(['ls', fleet.url, '--watch', '--interval', '1ms', '--json']);
    expect(JSON.parse(await watch.lines.next())).toMatchObject({
      change: 'added',
      node: { node: 'a' },
    });
    watch.interrupt();
    expect((await finished(watch)).code).toBe(0);
  });

  test('with --watch keeps the list while the registry is away', async () => {
    await using folder = await temporaryFolder();
    await using registry = file(folder.path, { ttl: 60_000 });
    await registry.register(node('a'));
    const watch = startGetty(['ls', folder.url, '--watch', '--interval', '1ms']);
    await watch.lines.take(2);
    await folder[Symbol.asyncDispose]();
    expect(await watch.errors.next()).toMatch(/is not there.*; the last list is kept/);
    watch.interrupt();
    expect((await finished(watch)).code).toBe(0);
  });

  test('reports a registry that is away in one line', async () => {
    const { code, stdout, stderr } = await getty('ls', 'etcd://127.0.0.1:1/getty');
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(
      /^getty ls: REGISTRY_FAILED: .*ECONNREFUSED.* \(is the registry .*\)\n$/,
    );
  });

  test('reports a wrong argument in one line', async () => {
    const { code, stderr } = await getty('ls', '127.0.0.1:2379');
    expect(code).toBe(2);
    expect(stderr).toBe(
      'getty ls: TARGET: got "127.0.0.1:2379", expected a scheme; did you mean tcp://127.0.0.1:2379?\n',
    );
    expect((await getty('ls', 'tcp://127.0.0.1:1')).stderr).toMatch(/got the address/);
    expect((await getty('ls', 'file:///x', '--interval', 'soon')).stderr).toMatch(
      /^getty ls: --interval: got "soon", expected a duration such as 500ms/,
    );
  });
});

test('lists the nodes of an etcd', { timeout: INSTALL_TIMEOUT }, async () => {
  const server = await EtcdServer.started();
  try {
    const url = server.url('/cli');
    const { registry } = await import('../../../src/registries/index.js');
    await using fleet = openFleet(url, await registry(url));
    await fleet.provide('a', { group: 'bj' });
    const { stdout, stderr } = await getty('ls', url);
    expect(stderr).toBe('');
    expect(cellsOf(stdout)[1]?.slice(0, 5)).toEqual(['Greeter', 'v1', 'bj', 'json', 'a']);
    const call = await getty('call', url, 'Greeter/hello', '"world"', '--json');
    expect(call).toEqual({ code: 0, stdout: '"hello, world from a"\n', stderr: '' });
  } finally {
    await server.stop();
  }
});
