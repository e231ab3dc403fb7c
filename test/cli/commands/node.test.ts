/** `getty node`. */
import { describe, expect, test } from 'vitest';
import { consume } from '../../../src/micro/index.js';
import { Admin, auth, contract, implement, serve, unary } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { connectOnce, freeMemoryAddress } from '../../fixtures/rpc.js';
import { gate } from '../../fixtures/waiting.js';
import { Greeter, greeter, openFleet, serveGreeter } from '../greeter-servers.js';
import { finished, getty, startGetty } from '../run-getty.js';

noLeaks();

describe('getty node', () => {
  test('drains a provider, publishes it again and changes its weight', async () => {
    await using fleet = openFleet();
    const a = await fleet.provide('a', { group: 'bj' });
    await fleet.provide('b');
    const listed = async (): Promise<string[]> => (await fleet.registry.list()).map(({ id }) => id);

    const drained = await getty('node', 'drain', a.address);
    expect(drained).toMatchObject({ code: 0, stderr: 'state: draining\n' });
    const [titles, row] = drained.stdout.split('\n').map((line) => line.split(/ {2,}/));
    expect(titles).toEqual('SERVICE VERSION GROUP CODEC ADDRESS WEIGHT PUBLISHED'.split(' '));
    expect(row).toEqual(['Greeter', 'v1', 'bj', 'json', a.address, '100', 'no']);
    expect(await listed()).toEqual(['b']);

    const { code, stdout } = await getty('node', 'undrain', a.address, '--json');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ state: 'published', id: 'a', total: 1 });
    expect(await listed()).toEqual(['a', 'b']);

    await getty('node', 'weight', a.address, '7');
    expect(a.nodes[0]?.metadata['getty-weight']).toBe('7');
    await getty('node', 'weight', a.address, '8', '--service', 'Greeter', '--codec', 'json');
    expect((await fleet.registry.list())[0]?.metadata['getty-weight']).toBe('8');
  });

  test.each([
    [['stop', 'tcp://127.0.0.1:1'], 'ACTION: got "stop", expected one of drain, undrain, weight'],
    [['drain', 'file:///x'], 'ADDRESS: got the registry "file:///x"'],
    [['drain', 'node2'], 'ADDRESS: got "node2", expected an address such as tcp://host:port, wss:'],
    [['drain', 'tcp://127.0.0.1:1', '5'], 'drain: a weight and the options of a service are for'],
    [['undrain', 'tcp://127.0.0.1:1', '--service', 'x'], 'undrain: a weight and the options'],
    [['undrain', 'tcp://127.0.0.1:1', '--wait', '1s'], '--wait: this option is for drain, not for'],
    [['undrain', 'tcp://127.0.0.1:1', '--registry', 'file:///x'], '--registry: this option is for'],
    [['drain', 'tcp://127.0.0.1:1', '--force'], '--force: this option needs --registry'],
    [['drain', 'tcp://127.0.0.1:1', '--registry', 'tcp://x:1'], 'REGISTRY: got the address'],
    [['weight', 'tcp://127.0.0.1:1'], 'WEIGHT: got nothing, expected a whole number'],
    [['weight', 'tcp://127.0.0.1:1', '-5'], 'WEIGHT: got "-5", expected a whole number'],
    [['weight', 'tcp://127.0.0.1:1', '1000001'], 'expected a whole number from 0 to 1000000'],
    [['weight', 'tcp://127.0.0.1:1', '1', '--codec', 'xml'], '--codec: got "xml"'],
    [['weight', 'tcp://127.0.0.1:1', '1', '--codec', 'json'], 'they need --service'],
  ])('%j is a wrong command line', async (args, message) => {
    const { code, stdout, stderr } = await getty('node', ...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(message);
    expect(stderr.trim().split('\n')).toHaveLength(1);
  });

  test('says which option a server needs, and that serve() has nothing to drain', async () => {
    await using plain = await serveGreeter();
    expect(await getty('node', 'drain', plain.address)).toMatchObject({
      code: 12,
      stderr: expect.stringContaining('it needs the option `admin: true`'),
    });
    await using server = await serveGreeter({ admin: true });
    expect(await getty('node', 'drain', server.address)).toMatchObject({
      code: 9,
      stderr: expect.stringContaining('it was started by serve(), not by provide()'),
    });
  });

  test('waits with --wait until consumers and clients have left', async () => {
    await using fleet = openFleet();
    const provider = await fleet.provide('a');
    await using consumer = consume({ registry: fleet.registry });
    await consumer.stub(Greeter).hello('x');
    const client = await connectOnce(provider.address);
    const drain = startGetty(['node', 'drain', provider.address, '--wait', '1m']);
    expect(await drain.errors.next()).toBe('state: draining');
    // The consumer leaves by itself.
    let line = '';
    do line = await drain.errors.next();
    while (line !== 'sessions: 1, calls in flight: 0');
    client.destroy();
    const { code, stderr } = await finished(drain);
    expect(code).toBe(0);
    expect(stderr).toMatch(/\nno sessions are left\n$/);
  });

  test('ends --wait with a line of JSON when no sessions are left', async () => {
    await using fleet = openFleet();
    const { address } = await fleet.provide('a');
    const { code, stdout } = await getty('node', 'drain', address, '--wait', '1m', '--json');
    expect(code).toBe(0);
    const [status, end] = stdout.trim().split('\n');
    expect(JSON.parse(status ?? '')).toMatchObject({ state: 'draining' });
    expect(JSON.parse(end ?? '')).toEqual({ sessions: 0, calls: 0 });
  });

  test('says on Ctrl-C in --wait that the provider stays drained', async () => {
    await using fleet = openFleet();
    const { address } = await fleet.provide('a');
    const client = await connectOnce(address);
    const drain = startGetty(['node', 'drain', address, '--wait', '1m']);
    while ((await drain.errors.next()) !== 'sessions: 1, calls in flight: 0');
    drain.interrupt();
    const { code, stderr } = await finished(drain);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      new RegExp(`\nthe provider stays drained; \`getty node undrain ${address}\` publishes it`),
    );
    expect(await fleet.registry.list()).toEqual([]);

    const inJson = startGetty(['node', 'drain', address, '--wait', '1m', '--json']);
    await inJson.lines.next();
    inJson.interrupt();
    const ended = await finished(inJson);
    expect(ended.code).toBe(1);
    expect(JSON.parse(ended.stderr)).toEqual({
      state: 'draining',
      undo: `getty node undrain ${address}`,
    });
    client.destroy();
  });

  test('says what is left after --wait, and ends with 4', async () => {
    await using fleet = openFleet();
    const started = gate();
    const opened = gate();
    const wait = () => {
      started.open();
      return opened.promise;
    };
    const waiting = contract('Waiting', { wait: unary<void, void>() });
    const services = [implement(waiting, { wait })];
    const provider = await fleet.provide('a', { services });
    await using client = await connectOnce(provider.address);
    const call = client.stub(waiting).wait();
    await started.promise;
    const args = ['node', 'drain', provider.address, '--wait', '1ms'];
    const { code, stderr } = await getty(...args);
    expect(code).toBe(4);
    expect(stderr).toContain(
      'getty node: DEADLINE_EXCEEDED: the provider is in use after 1 ms: sessions: 1, calls in ' +
        'flight: 1 (wait longer with --wait; `getty sessions ADDRESS` shows the peers)\n',
    );
    opened.open();
    await call;
  });

  test('changes nothing with --wait if the server does not tell its sessions', async () => {
    await using fleet = openFleet();
    const provider = await fleet.provide('a', { introspection: false });
    const { code, stderr } = await getty('node', 'drain', provider.address, '--wait', '1s');
    expect(code).toBe(12);
    expect(stderr).toContain('introspection: true');
    expect(await fleet.registry.list()).toHaveLength(1);
  });

  test('with --registry refuses to drain the last node of a service', async () => {
    await using fleet = openFleet();
    const shop = contract('Shop', { close: unary<void, void>() }, { version: 'v2' });
    const services = [implement(shop, { close: () => undefined })];
    const a = await fleet.provide('a');
    await fleet.provide('b', { group: 'sh', services: [greeter('b'), ...services] });
    const safely = ['node', 'drain', a.address, '--registry', fleet.url];
    const listed = async (): Promise<string[]> => (await fleet.registry.list()).map(({ id }) => id);
    // The other Greeter is in another group.
    expect(await getty(...safely)).toEqual({
      code: 2,
      stdout: '',
      stderr:
        `getty node: drain: no other node in "${fleet.url}" offers Greeter v1 json; nothing is ` +
        'changed; --force drains the provider\n',
    });
    expect(await listed()).toContain('a');
    const base = { service: 'Greeter', version: 'v1', group: '', protocol: 'json' } as const;
    const dead = { ...base, id: 'dead', address: 'tcp://127.0.0.1:1', metadata: {} };
    await fleet.registry.register(dead);
    expect((await getty(...safely)).stderr).toContain('no other node that can be reached in');
    await fleet.provide('c');
    expect(await getty(...safely)).toMatchObject({ code: 0, stderr: 'state: draining\n' });
    expect(await listed()).not.toContain('a');
    // It is drained already, so it is not the last node.
    expect((await getty(...safely)).code).toBe(0);

    const [b] = (await fleet.registry.list()).filter(({ id }) => id === 'b');
    const last = await getty('node', 'drain', b?.address ?? '', '--registry', fleet.url);
    expect(last.stderr).toContain('offers Greeter v1 json in the group sh, Shop v2 json in the');
    const args = ['node', 'drain', b?.address ?? '', '--registry', fleet.url, '--force'];
    expect(await getty(...args)).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/^warning: no other node in .*\nstate: draining\n$/),
    });
  });

  test('with --registry refuses a registry that does not list the provider', async () => {
    await using fleet = openFleet();
    await using other = openFleet();
    const { address } = await fleet.provide('a');
    await other.provide('b');
    const wrong = await getty('node', 'drain', address, '--registry', other.url);
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain('does not list this provider, a; is it the right one?');
    const file = await getty('node', 'drain', address, '--registry', 'etcd://127.0.0.1:1/x');
    expect(file.code).toBe(1);
    expect(file.stderr).toContain('REGISTRY_FAILED');
    expect(await fleet.registry.list()).toHaveLength(1);
  });

  test('fails after undrain if the registry does not have the entries yet', async () => {
    const Fake = contract(Admin.name, { undrain: unary<void, unknown>() });
    const answer = { state: 'waiting', reason: 'etcd is away', id: 'a', total: 0, entries: [] };
    await using server = await serve(freeMemoryAddress(), [
      implement(Fake, { undrain: () => answer }),
    ]);
    const { code, stderr } = await getty('node', 'undrain', server.address);
    expect(code).toBe(14);
    expect(stderr).toMatch(
      /^state: waiting: etcd is away\ngetty node: UNAVAILABLE: .* yet: etcd is away \(.*doctor.*\n$/,
    );
  });

  test('shows the entries of a provider to ask for', async () => {
    await using fleet = openFleet();
    const { address } = await fleet.provide('a');
    const { code, stderr } = await getty('node', 'weight', address, '1', '--service', 'Gretter');
    expect(code).toBe(3);
    expect(stderr).toMatch(/got "Gretter", expected an entry of this provider: Greeter v1 json/);
  });

  test('sends the token, and says that it is not the right one', async () => {
    const interceptors = [
      auth({
        authenticate: ({ token = '' }) => ({ subject: token }),
        authorize: ({ identity }) => identity?.subject === 'operator',
      }),
    ];
    await using fleet = openFleet();
    const { address } = await fleet.provide('a', { interceptors });
    const guest = startGetty(['node', 'drain', address], { environment: { GETTY_TOKEN: 'guest' } });
    expect(await finished(guest)).toMatchObject({
      code: 7,
      stderr: expect.stringContaining('is it the right --token?'),
    });
    expect(await getty('node', 'drain', address, '--token', 'operator')).toMatchObject({ code: 0 });
  });

  test.each([
    ['no object', 7],
    ['an unknown state', { state: 'gone', id: 'a', total: 0, entries: [] }],
    ['an unknown codec', { state: 'published', id: 'a', total: 1, entries: [{ codec: 'xml' }] }],
    ['a weight that is a text', { state: 'published', id: 'a', total: 1, entries: [entryOf('1')] }],
  ])('fails in one line for a server that answers with %s', async (_, answer) => {
    const Fake = contract(Admin.name, { drain: unary<void, unknown>() });
    await using server = await serve(freeMemoryAddress(), [
      implement(Fake, { drain: () => answer }),
    ]);
    const { code, stderr } = await getty('node', 'drain', server.address);
    expect(code).toBe(13);
    expect(stderr).toMatch(/does it run another version of getty\?\n$/);
  });

  test('shows names of a server without control characters', async () => {
    const Fake = contract(Admin.name, { drain: unary<void, unknown>() });
    const entries = [{ ...entryOf(1), service: '\u001b[2J' }];
    const answer = { state: 'waiting', reason: '\u001b[1m', id: 'a', total: 9, entries };
    await using server = await serve(freeMemoryAddress(), [
      implement(Fake, { drain: () => answer }),
    ]);
    const { stdout, stderr } = await getty('node', 'drain', server.address);
    expect(stdout).toContain('\\u001b[2J');
    expect(stderr).toBe('state: waiting: \\u001b[1m; 1 of 9 are shown\n');
  });
});

function entryOf(weight: unknown): object {
  return { service: 'S', version: '', group: '', codec: 'json', address: 'tcp://x:1', weight };
}
