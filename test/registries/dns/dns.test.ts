/** The registry of a name in DNS, with a name server that this test runs. */
import { Resolver } from 'node:dns/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { consume, type Registry } from '../../../src/micro/index.js';
import { type DnsRegistryOptions, dns } from '../../../src/registries/dns/index.js';
import { parseSearchDomains } from '../../../src/registries/dns/search-domains.js';
import { registry } from '../../../src/registries/index.js';
import { contract, implement, serve, unary } from '../../../src/rpc/index.js';
import { type DnsRecord, type DnsReply, DnsServer } from '../../fixtures/dns-server.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { node, RecordingLogger, WatchReader } from '../../fixtures/registries.js';
import { noTimersLeft } from '../../fixtures/timers.js';
import { turnCounter, until, within } from '../../fixtures/waiting.js';

noLeaks();
noTimersLeft();

const NAME = 'orders.example:20000';
const SRV_NAME = '_getty._tcp.orders.example';
let server: DnsServer;
let logger: RecordingLogger;
beforeEach(async () => {
  server = await DnsServer.start();
  logger = new RecordingLogger();
});
afterEach(() => server[Symbol.asyncDispose]());
afterEach(() => void vi.restoreAllMocks());

const a = (address: string, ttl = 0): DnsRecord => ({ type: 'A', address, ttl });
const srv = (target: string, given: object = {}): DnsRecord => ({
  type: 'SRV',
  target,
  port: 1,
  ...given,
});
const answers = (reply: DnsReply): void => {
  server.reply = () => reply;
};
const open = (options: DnsRegistryOptions = {}, name = NAME): Registry =>
  dns(name, {
    servers: [server.address],
    minInterval: 100,
    pollInterval: 100,
    maxInterval: 200,
    requestTimeout: 60_000,
    logger,
    ...options,
  });

describe('addresses', () => {
  it('become nodes that serve what the query asks for', async () => {
    answers([a('10.0.0.2'), a('10.0.0.1'), a('10.0.0.1')]);
    await using list = open({ scheme: 'wss', path: '/rpc' });
    await using watch = new WatchReader(list);
    expect(await watch.next()).toMatchObject([
      { id: '10.0.0.1:20000', address: 'wss://10.0.0.1:20000/rpc', service: 'TestService' },
      { id: '10.0.0.2:20000' },
    ]);
    expect(await list.list()).toMatchObject([{ service: '*' }, { service: '*' }]);
  });

  it('are read, and then given to watches, in turns of their own', async () => {
    let counter: ReturnType<typeof turnCounter> | undefined;
    vi.spyOn(Resolver.prototype, 'resolve4').mockImplementation(async () => {
      counter ??= turnCounter();
      return [a('10.0.0.1')] as never;
    });
    await using list = open();
    await using watch = new WatchReader(list);
    await watch.ids('10.0.0.1:20000');
    counter?.stop();
    expect(counter?.turns).toBeGreaterThanOrEqual(2);
  });

  it('are those of IPv6 if there are none of IPv4', async () => {
    answers([{ type: 'AAAA', address: 'fd00::1' }]);
    await using list = open();
    expect((await list.list())[0]?.address).toBe('tcp://[fd00::1]:20000');
    expect(server.questions.map(({ type }) => type)).toEqual(['A', 'AAAA']);
    await using six = open({ family: 6 });
    expect(await six.list()).toHaveLength(1);
    await using four = open({ family: 4 });
    expect(await four.list()).toEqual([]);
  });

  it('are asked for again when the ttl has ended, and watches get the changes', async () => {
    answers([a('10.0.0.1')]);
    await using list = open();
    await using watch = new WatchReader(list);
    await watch.ids('10.0.0.1:20000');
    answers([a('10.0.0.1'), a('10.0.0.2')]);
    await watch.ids('10.0.0.1:20000', '10.0.0.2:20000');
    answers([a('10.0.0.2')]);
    await watch.ids('10.0.0.2:20000');
  });

  it('of a ttl of 2^31 - 1 s are asked for after maxInterval', async () => {
    answers([a('10.0.0.1', 2 ** 31 - 1)]);
    await using list = open({ minInterval: 100, maxInterval: 150 });
    await using watch = new WatchReader(list);
    await watch.ids('10.0.0.1:20000');
    answers([a('10.0.0.2', 2 ** 31)]);
    await watch.ids('10.0.0.2:20000');
    answers([a('10.0.0.3', 2 ** 32 - 1)]);
    await watch.ids('10.0.0.3:20000');
  });

  it('of a ttl of 0 are not asked for before minInterval', async () => {
    answers([a('10.0.0.1')]);
    await using list = open({ minInterval: 400, maxInterval: 400 });
    await using _watch = new WatchReader(list);
    const start = performance.now();
    void _watch.next();
    await within(server.asked(3), 'three questions');
    expect(performance.now() - start).toBeGreaterThanOrEqual(790);
  });

  it('that no node can have are left out, with one log line', async () => {
    answers([a('0.0.0.0'), a('10.0.0.1')]);
    await using list = open();
    expect(await list.list()).toHaveLength(1);
    await list.list();
    expect(logger.linesWith('left out')).toHaveLength(1);
  });

  it('beyond maxNodes are left out, also of an answer that needs TCP', async () => {
    answers(Array.from({ length: 600 }, (_, i) => a(`10.0.${i >> 8}.${i & 255}`)));
    await using list = open({ maxNodes: 500 });
    expect(await list.list()).toHaveLength(500);
    expect(server.questions.map(({ transport }) => transport)).toEqual(['udp', 'tcp']);
    expect(logger.linesWith('left out')).toHaveLength(1);
  });
});

describe('SRV records', () => {
  it('have the port and the weight of each node', async () => {
    answers([srv('B.example', { port: 2, weight: 0 }), srv('a.example', { weight: 50 })]);
    await using list = open({}, SRV_NAME);
    expect(await list.list()).toMatchObject([
      { id: 'a.example:1', address: 'tcp://a.example:1', metadata: { 'getty-weight': '50' } },
      { address: 'tcp://b.example:2', metadata: { 'getty-weight': '1' } },
    ]);
  });

  it('have no weight if all weights are 0', async () => {
    answers([srv('a.example'), srv('b.example')]);
    await using list = open({}, SRV_NAME);
    expect((await list.list()).map(({ metadata }) => metadata)).toEqual([{}, {}]);
  });

  it('of a higher priority number are left out', async () => {
    answers([srv('a.example', { priority: 5 }), srv('b.example', { priority: 4 })]);
    await using list = open({}, SRV_NAME);
    expect((await list.list()).map(({ id }) => id)).toEqual(['b.example:1']);
  });

  it('without a host, or with a hostile one, are left out', async () => {
    const targets = ['.', 'a b', 'a/b', 'a@b.example', '\x00\x01', 'ä.example', '127.0.0.1'];
    answers([...targets.map((target) => srv(target)), srv('a.example', { port: 0 })]);
    await using list = open({}, SRV_NAME);
    expect(await list.list()).toEqual([]);
    expect(list.failure?.message).toContain('the name has no addresses');
  });

  it('are asked for again after pollInterval', async () => {
    answers([srv('a.example')]);
    await using list = open({}, SRV_NAME);
    await using watch = new WatchReader(list);
    await watch.ids('a.example:1');
    answers([srv('b.example')]);
    await watch.ids('b.example:1');
  });
});

describe('search domains', () => {
  it('are asked in their order, after the name itself', async () => {
    server.reply = ({ name }) => (name === 'orders.svc.b' ? [a('10.0.0.1')] : 'nxdomain');
    await using list = open({ search: ['a', 'b', 'c'] }, 'orders.svc:20000');
    expect(await list.list()).toHaveLength(1);
    const names = server.questions.map(({ name }) => name);
    expect(names).toEqual(['orders.svc', 'orders.svc.a', 'orders.svc.b']);
  });

  it('are not used for a name with a dot at its end', async () => {
    answers('nxdomain');
    await using list = open({ search: ['a'] }, 'orders.svc.:20000');
    expect(await list.list()).toEqual([]);
    expect(server.questions.map(({ name }) => name)).toEqual(['orders.svc']);
  });

  it('that do not answer are a failure, also if the name does not exist', async () => {
    server.reply = ({ name }) => (name === 'orders.svc' ? 'nxdomain' : 'servfail');
    await using list = open({ search: ['a'] }, 'orders.svc:20000');
    await expect(list.list()).rejects.toMatchObject({ code: 'REGISTRY_FAILED' });
  });

  it('of resolv.conf are those of the last line, at most 8', () => {
    const text = '# a\nsearch x\ndomain y\n search default.svc.cluster.local. b  c_d -x a/b\n';
    expect(parseSearchDomains(text)).toEqual(['default.svc.cluster.local', 'b', 'c_d']);
    expect(parseSearchDomains(`search ${'a '.repeat(50)}`)).toHaveLength(8);
    expect(parseSearchDomains('')).toEqual([]);
  });
});

describe('failures', () => {
  const FAILURES = ['servfail', 'refused', 'garbage', 'silence'] as const;
  it.each(FAILURES)('%s keeps the list, and failure has the reason', async (reply) => {
    answers([a('10.0.0.1')]);
    // Without an answer that can be read, only the limit ends a query.
    const hasLimit = reply === 'silence' || reply === 'garbage';
    await using list = open(hasLimit ? { requestTimeout: 1_000 } : {});
    await using watch = new WatchReader(list);
    await watch.ids('10.0.0.1:20000');
    answers(reply);
    await until(() => list.failure !== undefined, 'the failure');
    expect(list.failure).toMatchObject({
      code: 'REGISTRY_FAILED',
      message: expect.stringContaining(`the dns registry ${NAME} cannot be resolved`),
    });
    await expect(list.list()).rejects.toMatchObject({ code: 'REGISTRY_FAILED' });
    answers([a('10.0.0.1'), a('10.0.0.2')]);
    await watch.ids('10.0.0.1:20000', '10.0.0.2:20000');
    expect(watch.seen).toHaveLength(2);
    expect(list.failure).toBeUndefined();
    if (hasLimit) return;
    expect(logger.linesWith('the last list is kept')).toHaveLength(1);
    expect(logger.linesWith('answers again')).toHaveLength(1);
  });

  it('an answer that is truncated over TCP too keeps the list', async () => {
    answers([a('10.0.0.1')]);
    await using list = open({ requestTimeout: 1_000 });
    await using watch = new WatchReader(list);
    await watch.ids('10.0.0.1:20000');
    answers('truncated');
    await within(server.asked(server.questions.length + 4), 'more questions');
    answers([a('10.0.0.2')]);
    await watch.until((nodes) => nodes[0]?.id === '10.0.0.2:20000', 'the new address');
  });

  it('gives the first list to a watch that begins when the last one ends', async () => {
    answers([a('10.0.0.1')]);
    await using list = open();
    const begin = () => list.watch({ service: 'S' })[Symbol.asyncIterator]();
    const first = begin();
    await first.next();
    void first.return?.();
    const second = begin();
    expect((await within(second.next(), 'the first list')).value).toHaveLength(1);
    void second.return?.();
  });

  it.each<[string, DnsReply]>([
    ['NXDOMAIN', 'nxdomain'],
    ['an answer without records', []],
  ])('%s removes the nodes, and failure has the reason', async (_, reply) => {
    answers([a('10.0.0.1')]);
    await using list = open();
    await using watch = new WatchReader(list);
    await watch.ids('10.0.0.1:20000');
    answers(reply);
    await watch.ids();
    expect(list.failure?.message).toContain('the name has no addresses');
    expect(await list.list()).toEqual([]);
    expect(logger.linesWith('has no addresses')).toHaveLength(1);
    answers([a('10.0.0.1')]);
    await watch.ids('10.0.0.1:20000');
    expect(list.failure).toBeUndefined();
  });

  it('the list is empty when no name server has answered for keepTime', async () => {
    answers([a('10.0.0.1')]);
    await using list = open({ keepTime: 0 });
    await using watch = new WatchReader(list);
    await watch.ids('10.0.0.1:20000');
    answers('servfail');
    await watch.ids();
  });

  it('a call waits for the first answer, and its error has the name and the reason', async () => {
    answers('servfail');
    await using list = open();
    const Greeter = contract('Greeter', { hello: unary<string, string>() });
    await using consumer = consume({ registry: list, timeout: 500 });
    const error = await consumer
      .stub(Greeter)
      .hello('a')
      .catch((failure: unknown) => failure);
    expect(error).toMatchObject({ code: 'DEADLINE_EXCEEDED', unsent: true });
    await until(() => list.failure !== undefined, 'the failure');
    expect((await consumer.explain(Greeter)).registryFailure).toContain(NAME);
  });

  it('a disposal ends a query without an answer', async () => {
    answers('silence');
    const list = open({ requestTimeout: 600_000 });
    const watch = new WatchReader(list);
    const next = watch.next();
    const listing = list.list();
    await within(server.asked(1), 'a question');
    await list[Symbol.asyncDispose]();
    expect(await next).toBeUndefined();
    await expect(listing).rejects.toMatchObject({ code: 'REGISTRY_FAILED' });
  });
});

it('a consumer calls the addresses of a name', async () => {
  answers([a('127.0.0.1')]);
  const Greeter = contract('Greeter', { hello: unary<string, string>() }, { version: 'v1' });
  const services = [implement(Greeter, { hello: (name) => `hello ${name}` })];
  await using greeter = await serve('tcp://127.0.0.1:0', services);
  await using list = open({}, `orders.example:${greeter.address.split(':').at(-1)}`);
  await using consumer = consume({ registry: list });
  expect(await consumer.stub(Greeter).hello('Ann')).toBe('hello Ann');
  const { candidates, leftOut } = await consumer.explain(Greeter);
  expect([candidates.length, leftOut.length]).toEqual([1, 0]);
});

it('refuses a registration', async () => {
  await using list = open();
  await expect(list.register(node('a'))).rejects.toMatchObject({
    code: 'BAD_OPTION',
    message: expect.stringContaining('serve()'),
  });
});

it('dns: has the name server, the name and what is served', async () => {
  answers([a('10.0.0.1')]);
  const url = `dns://${server.address}/${NAME}?scheme=tls&service=S&group=bj`;
  await using list = await registry(url, { logger });
  expect(await list.list()).toMatchObject([
    { address: 'tls://10.0.0.1:20000', service: 'S', group: 'bj' },
  ]);
});

it.each([
  'dns:',
  'dns:h',
  'dns:h:0',
  'dns:h:65536',
  'dns:10.0.0.1:80',
  'dns:[::1]:80',
  'dns:_a._tcp.h:80',
  'dns:a b:80',
  `dns:${'a.'.repeat(127)}b:80`,
  'dns://h',
  'dns:h:80?shceme=tls',
  'dns:h:80#a',
  'dns:me:hunter2@h:80',
  'dns:h:80?hunter2',
  'dns:h:%zzhunter2',
])('refuses %s without its secrets', async (url) => {
  const refusing = registry(url);
  await expect(refusing).rejects.toMatchObject({ code: 'BAD_ADDRESS' });
  await expect(refusing).rejects.toThrow(/^(?!.*hunter2)/s);
});

it.each<DnsRegistryOptions>([
  { scheme: 'unix' as 'tcp' },
  { family: 5 as 4 },
  { servers: [] },
  { servers: ['a.example'] },
  { servers: [5 as never] },
  { search: ['a b'] },
  { search: Array(9).fill('a') },
  { minInterval: 99 },
  { minInterval: 500, maxInterval: 400 },
  { maxNodes: 0 },
  { maxNodes: 10_001 },
  { path: '/rpc' },
  { path: 5 as never },
  { protocol: 'xml' as 'json' },
])('refuses the options %j', (options) => {
  expect(() => dns(NAME, options)).toThrow(
    expect.objectContaining({ code: expect.stringMatching(/^BAD_(?:OPTION|ADDRESS)$/) }),
  );
});
