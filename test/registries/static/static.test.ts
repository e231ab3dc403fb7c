/** The registry of given addresses, as an object and as a URL. */
import { expect, it } from 'vitest';
import { consume, provide, weighted } from '../../../src/micro/index.js';
import { registry } from '../../../src/registries/index.js';
import { type StaticNode, staticRegistry } from '../../../src/registries/static/index.js';
import { contract, implement, serve, unary } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { node, WatchReader } from '../../fixtures/registries.js';
import { noTimersLeft } from '../../fixtures/timers.js';

noLeaks();
noTimersLeft();

const Greeter = contract('Greeter', { hello: unary<string, string>() }, { version: 'v1' });
const services = [implement(Greeter, { hello: (name) => `hello ${name}` })];
const A = 'tcp://10.0.0.1:20000';
const B = 'tcp://10.0.0.2:20000';

it('a node serves what the query asks for, and says which fields it does not know', async () => {
  await using list = staticRegistry([A]);
  const query = { service: 'S', group: 'bj', version: 'v2', protocol: 'protobuf' } as const;
  await using watch = new WatchReader(list, query);
  const assumed = ['service', 'group', 'version', 'protocol'];
  const id = '10.0.0.1:20000';
  expect(await watch.next()).toEqual([{ id, ...query, address: A, metadata: {}, assumed }]);
  await using wide = new WatchReader(list, { service: 'S' });
  expect(await wide.next()).toMatchObject([{ group: '', version: '', protocol: 'json' }]);
  expect(await list.list()).toMatchObject([{ service: '*', group: '', address: A, assumed }]);
});

it('a node, or the options, say what is served', async () => {
  const nodes = [A, { address: B, service: 'T', group: 'sh', protocol: 'protobuf' }] as const;
  await using list = staticRegistry(nodes, { service: 'S', version: 'v1', group: 'bj' });
  const idsOf = async (query: Parameters<typeof list.watch>[0]): Promise<string> => {
    await using watch = new WatchReader(list, query);
    return (await watch.next())?.map(({ id }) => id).join() ?? '';
  };
  expect(await idsOf({ service: 'S' })).toBe('10.0.0.1:20000');
  expect(await idsOf({ service: 'S', group: 'sh' })).toBe('');
  expect(await idsOf({ service: 'S', version: 'v2' })).toBe('');
  expect(await idsOf({ service: 'T', group: 'sh' })).toBe('10.0.0.2:20000');
  expect(await idsOf({ service: 'T', protocol: 'json' })).toBe('');
});

it('update() gives each watch the new list, and keeps the old one if the new one is invalid', async () => {
  await using list = staticRegistry([A]);
  await using watch = new WatchReader(list);
  await watch.ids('10.0.0.1:20000');
  list.update([{ address: B, weight: 7, id: 'b' }]);
  expect((await watch.ids('b'))[0]?.metadata).toEqual({ 'getty-weight': '7' });
  expect(() => list.update([A, 'tcp://no-port'])).toThrow(
    expect.objectContaining({ code: 'BAD_ADDRESS' }),
  );
  expect(await list.list()).toMatchObject([{ id: 'b' }]);
  list.update([]);
  await watch.ids();
});

it('disposing it ends its watches, and then it refuses updates', async () => {
  const list = staticRegistry([A]);
  const watch = new WatchReader(list);
  await watch.next();
  const next = watch.next();
  await list[Symbol.asyncDispose]();
  expect(await next).toBeUndefined();
  const closed = { code: 'REGISTRY_FAILED' };
  expect(() => list.update([])).toThrow(expect.objectContaining(closed));
  await expect(list.list()).rejects.toMatchObject(closed);
  await expect(list.register(node('a'))).rejects.toMatchObject(closed);
});

it('refuses a provider, and says what to do', async () => {
  await using list = staticRegistry([A]);
  const providing = provide({ registry: list, services, address: 'tcp://127.0.0.1:0' });
  await expect(providing).rejects.toMatchObject({
    code: 'BAD_OPTION',
    message: expect.stringContaining('start this server with serve() of getty-ts/rpc'),
  });
});

it('a consumer calls its nodes, and explain() has each of them once', async () => {
  await using server = await serve('tcp://127.0.0.1:0', services);
  await using list = staticRegistry([server.address]);
  await using consumer = consume({ registry: list, group: 'bj', balancer: weighted() });
  expect(await consumer.stub(Greeter).hello('Ann')).toBe('hello Ann');
  const { candidates, leftOut } = await consumer.explain(Greeter);
  expect([candidates.length, leftOut.length]).toEqual([1, 0]);
  list.update([{ address: server.address, group: 'sh' }]);
  await consumer.resolver(Greeter).ready();
  const changed = await consumer.explain(Greeter);
  expect(changed.leftOut[0]?.reason).toContain('its group is "sh", this consumer needs "bj"');
});

it.each<[string, readonly unknown[]]>([
  ['an address without a scheme', ['10.0.0.1:20000']],
  ['port 0', ['tcp://10.0.0.1:0']],
  ['a path at tcp', ['tcp://10.0.0.1:1/a']],
  ['no string', [5]],
  ['no address', [{}]],
  ['an unknown name', [{ address: A, wieght: 5 }]],
  ['a weight out of range', [{ address: A, weight: 1.5 }]],
  ['the same id twice', [A, A]],
  ['the same id for any service', [{ address: A, service: 'S' }, A]],
  ['a codec that does not exist', [{ address: A, protocol: 'xml' }]],
  ['an id with a slash', [{ address: A, id: 'a/b' }]],
  ['metadata of 64 KiB', [{ address: A, metadata: { a: 'x'.repeat(65_536) } }]],
  ['more than 10,000 nodes', Array.from({ length: 10_001 }, (_, i) => `tcp://h${i}:1`)],
])('refuses %s', (_, nodes) => {
  expect(() => staticRegistry(nodes as StaticNode[])).toThrow(
    expect.objectContaining({ code: expect.stringMatching(/^BAD_(?:OPTION|ADDRESS)$/) }),
  );
});

it('one address may have several services', async () => {
  await using list = staticRegistry([
    { address: A, service: 'S' },
    { address: A, service: 'T' },
  ]);
  expect((await list.list()).map(({ service }) => service)).toEqual(['S', 'T']);
});

it('static: has addresses, and what they serve', async () => {
  await using list = await registry(`static:${A},${B}?service=S&group=g%26h&version=v1`);
  expect(await list.list()).toMatchObject([
    { address: A, service: 'S', group: 'g&h', version: 'v1', assumed: ['protocol'] },
    { address: B },
  ]);
  await using other = await registry('static:ws://h:1/a%252Cb%3Fx=1', { service: 'T' });
  expect(await other.list()).toMatchObject([
    { service: 'T', address: 'ws://h:1/a%2Cb?x=1', id: 'h:1%2Fa%252Cb' },
  ]);
});

it.each([
  'static:',
  'static:?service=S',
  'static:tcp://h:1,',
  'static:tcp://h:1?servcie=S',
  'static:tcp://h:1?service=S&service=T',
  'static:tcp://h:1#a',
  'static:tcp://h:%',
  'static:h:1',
])('refuses %s', async (url) => {
  await expect(registry(url)).rejects.toMatchObject({ code: 'BAD_ADDRESS' });
});

it.each([
  'static:ws://me:hunter2@h:99999',
  'static:ws://h:99999%3Ftoken=hunter2',
  'static:tcp://h:1?hunter2',
  'static:tcp://h:1#hunter2',
  'static:ws://me:hunter2%zz@h:1',
])('does not show the secret of %s', async (url) => {
  await expect(registry(url)).rejects.toThrow(/^(?!.*hunter2)/s);
});

it('the id of a node has no user and no query', async () => {
  await using list = staticRegistry(['ws://me:hunter2@h:1/a?token=hunter2']);
  expect((await list.list())[0]?.id).toBe('h:1%2Fa');
});
