/** What the process of the console tells its page. */
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { describe, expect, test } from 'vitest';
import { Fleet, followRegistry } from '../../../src/cli/console/fleet/fleet.js';
import type { ServiceNode } from '../../../src/micro/index.js';
import { serve } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { Inbox, until, within } from '../../fixtures/waiting.js';
import { Greeter, greeter, openFleet, serveGreeter } from '../greeter-servers.js';
import { openConsole, startTerminal, stateOf, Watch } from './open-console.js';

noLeaks();

describe('the watch', () => {
  test('begins with the history, and goes on each second', async () => {
    await using fleet = openFleet();
    await fleet.provide('a', { weight: 30, group: 'north' });
    await using console = await openConsole(fleet.url);
    using page = await console.connect();
    using watch = Watch.open(page.stub);
    expect(await watch.next()).toMatchObject({ type: 'start', isAdminAllowed: false });
    const first = await watch.until((update) => stateOf(update, 'a') === 'up');
    expect(first.target).toEqual({ kind: 'registry', url: fleet.url, isAway: false, reason: '' });
    expect(first.nodes).toMatchObject([
      { id: 'a', reason: '', services: [{ name: 'Greeter', group: 'north', weight: 30 }] },
    ]);
    const second = await watch.until(({ time }) => time > first.time);
    expect(second.services).toMatchObject([
      { name: 'Greeter', version: 'v1', nodes: 1, answering: 1, groups: ['north'] },
    ]);
    using again = Watch.open(page.stub);
    const { times } = (await again.next()) as unknown as { times: readonly number[] };
    expect(times.length).toBeGreaterThanOrEqual(2);
    const histories = [await again.next(), await again.next()];
    expect(histories).toMatchObject([
      { type: 'history', service: { name: 'Greeter', version: 'v1' } },
      { type: 'history', node: first.nodes[0]?.key },
    ]);
    for (const history of histories) {
      const { rate } = history as unknown as { rate: readonly unknown[] };
      expect(rate).toHaveLength(times.length);
    }
  });

  test('has the calls of a method, its failures and their codes', async () => {
    await using server = await serveGreeter();
    await using console = await openConsole(server.address);
    using page = await console.connect();
    using watch = Watch.open(page.stub);
    const { nodes } = await watch.until((update) => stateOf(update, 'server') === 'up');
    const { key } = nodes[0] as { key: string };
    const call = (method: string, message: string): Promise<string> =>
      lastCode(page.stub.call(requestOf(key, method, message)));
    // The calls of one second are what the next answer of the node has more than the last one.
    let isDone = false;
    const calling = (async () => {
      while (!isDone) {
        await call('hello', '"you"');
        await call('fail', '"no"');
      }
    })();
    const { services } = await watch.until(({ services: [row] }) => (row?.point[1] ?? 0) > 0);
    const detail = await page.stub.service({ name: 'Greeter', version: 'v1' });
    isDone = true;
    await calling;
    expect(services[0]?.point[0]).toBeGreaterThan(services[0]?.point[1] ?? 0);
    expect(detail.methods.find(({ method }) => method === 'fail')?.codes.NOT_FOUND).toBeGreaterThan(
      0,
    );
    expect(detail.methods.map(({ method }) => method)).toContain('echo');
    expect(detail.nodes).toMatchObject([{ key }]);
    await watch.event(/% of the calls of Greeter v1 fail/);
  });
});

describe('a node', () => {
  test('is unreachable within two seconds after it has ended, and is back', async () => {
    await using fleet = openFleet();
    const server = await serve('tcp://127.0.0.1:0', [greeter()], { introspection: true });
    const { address } = server;
    await using _ = await fleet.registry.register({ ...NODE, id: 'b', address });
    await using console = await openConsole(fleet.url);
    using page = await console.connect();
    using watch = Watch.open(page.stub);
    const { time } = await watch.until((update) => stateOf(update, 'b') === 'up');
    server.destroy();
    const update = await watch.until((update) => stateOf(update, 'b') === 'unreachable');
    expect(update.time).toBeGreaterThan(time);
    expect(await watch.event(/^b at tcp:.* is unreachable/)).toMatchObject({ level: 'bad' });
    await using again = await serve(address, [greeter()], { introspection: true });
    await watch.until((update) => stateOf(update, 'b') === 'up');
    await watch.event(/^b at tcp:.* answers again, as a new process/);
    expect(again.address).toBe(address);
  });

  test('comes, changes its weight and goes', async () => {
    await using fleet = openFleet();
    await fleet.provide('a');
    await using console = await openConsole(fleet.url);
    using page = await console.connect();
    using watch = Watch.open(page.stub);
    await watch.until((update) => stateOf(update, 'a') === 'up');
    const node = { ...NODE, id: 'n', address: 'tcp://127.0.0.1:1' };
    const entry = await fleet.registry.register(node);
    await watch.event(/^n at tcp:\/\/127.0.0.1:1 is in the registry/);
    const heavier = { ...node, metadata: { 'getty-weight': '7' } };
    const other = await fleet.registry.register(heavier);
    await watch.event(/^n at .* has the weight 7, and had 100/);
    await other[Symbol.asyncDispose]();
    await entry[Symbol.asyncDispose]();
    await watch.event(/^n at .* left the registry/);
    expect((await watch.until(() => true)).nodes.at(-1)).toMatchObject({ id: 'n', state: 'gone' });
  });

  test('is told from others whose addresses look the same', async () => {
    await using fleet = openFleet();
    const addresses = [
      'ws://127.0.0.1:1/x?token=1',
      'ws://127.0.0.1:1/x?token=2',
      `ws://127.0.0.1:1/${'x'.repeat(200)}1`,
      `ws://127.0.0.1:1/${'x'.repeat(200)}2`,
    ];
    for (const [at, address] of addresses.entries())
      await fleet.registry.register({ ...NODE, id: `n${at}`, address });
    await using console = await openConsole(fleet.url);
    using page = await console.connect();
    using watch = Watch.open(page.stub);
    const { nodes } = await watch.until((update) => update.nodes.length >= 4);
    expect(nodes.map(({ id }) => id).sort()).toEqual(['n0', 'n1', 'n2', 'n3']);
    expect(JSON.stringify(nodes)).not.toMatch(/token=\d/);
  });

  test('without introspection is shown as such, with the reason', async () => {
    await using server = await serveGreeter({});
    await using console = await openConsole(server.address);
    using page = await console.connect();
    using watch = Watch.open(page.stub);
    const { nodes } = await watch.until((update) => stateOf(update, 'server') === 'silent');
    expect(nodes[0]?.reason).toMatch(/introspection: true/);
    const { key } = nodes[0] as { key: string };
    expect((await page.stub.node({ key })).missing).toEqual([nodes[0]?.reason]);
    await expect(page.stub.methods({ node: key })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  test('tells its sessions and its methods with their schemas', async () => {
    await using server = await serveGreeter();
    await using console = await openConsole(server.address);
    using page = await console.connect();
    using watch = Watch.open(page.stub);
    const { nodes } = await watch.until((update) => stateOf(update, 'server') === 'up');
    const { key } = nodes[0] as { key: string };
    const { sessions, totalSessions, missing } = await page.stub.node({ key });
    expect({ totalSessions, missing }).toEqual({ totalSessions: 1, missing: [] });
    expect(sessions[0]?.served).toBeGreaterThan(0);
    const methods = await page.stub.methods({ node: key });
    expect(methods.find(({ method }) => method === 'price')).toMatchObject({
      kind: 'unary',
      timeout: 700,
      input: { type: 'object', properties: { item: { type: 'string' } }, required: ['item'] },
      example: '{\n  "item": ""\n}',
    });
    expect(methods.find(({ method }) => method === 'Add')).toMatchObject({
      input: { type: 'object', properties: { A: { type: 'integer' } } },
    });
    await expect(page.stub.node({ key: 'nope' })).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});

describe('with --allow-admin', () => {
  test('a node is drained, shown as draining, and takes calls again', async () => {
    await using fleet = openFleet();
    await fleet.provide('a', { admin: true });
    await using console = await openConsole(fleet.url, ['--allow-admin']);
    using page = await console.connect();
    using watch = Watch.open(page.stub);
    expect(await watch.next()).toMatchObject({ isAdminAllowed: true });
    const { nodes } = await watch.until((update) => stateOf(update, 'a') === 'up');
    const { key: node } = nodes[0] as { key: string };
    await page.stub.admin({ node, action: 'weight', weight: 7 });
    await watch.event(/^a at .* has the weight 7, and had 100/);
    await page.stub.admin({ node, action: 'drain' });
    await watch.until((update) => stateOf(update, 'a') === 'draining');
    await watch.event(/^a at .* left the registry/);
    await watch.event(/^a at .* is draining/);
    await page.stub.admin({ node, action: 'undrain' });
    await watch.until((update) => stateOf(update, 'a') === 'up');
    await watch.event(/^a at .* takes calls again/);
    await expect(page.stub.admin({ node, action: 'weight', weight: -1 })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });

  test('a node without the admin service says so', async () => {
    await using server = await serveGreeter();
    await using console = await openConsole(server.address, ['--allow-admin']);
    using page = await console.connect();
    using watch = Watch.open(page.stub);
    const { nodes } = await watch.until((update) => stateOf(update, 'server') === 'up');
    const { key: node } = nodes[0] as { key: string };
    await expect(page.stub.admin({ node, action: 'drain' })).rejects.toMatchObject({
      code: 'UNIMPLEMENTED',
      message: expect.stringContaining('admin: true'),
    });
  });
});

test('sessions that a node refuses are an event', async () => {
  await using server = await serve('tcp://127.0.0.1:0', [greeter()], {
    introspection: true,
    maxSessions: 1,
    onRefused: () => {},
  });
  await using console = await openConsole(server.address);
  using page = await console.connect();
  using watch = Watch.open(page.stub);
  await watch.until((update) => stateOf(update, 'server') === 'up');
  const refused = createConnection(Number(new URL(server.address).port), '127.0.0.1');
  await within(once(refused.resume(), 'close'), 'the refusal');
  const event = await watch.event(/^server at .* has refused sessions: 1 \(\w+ 1\)/);
  expect(event).toMatchObject({ kind: 'refused', level: 'warning' });
});

test('a registry that is away, and back, is told as state and as events', async () => {
  const end = new AbortController();
  const terminal = { ...startTerminal(), signal: end.signal };
  using fleet = new Fleet({ kind: 'registry', url: 'file:///srv/registry' }, {}, terminal);
  const answers = new Inbox<readonly ServiceNode[] | Error>('an answer of the registry');
  const list = async (): Promise<readonly ServiceNode[]> => {
    const answer = await answers.next();
    if (answer instanceof Error) throw answer;
    return answer;
  };
  const following = followRegistry(fleet, list, end.signal);
  const node = { ...NODE, id: 'n', address: 'tcp://127.0.0.1:1' };
  answers.push([node]);
  await until(() => fleet.update().nodes.length === 1, 'the node');
  answers.push(new Error('no answer'));
  await until(() => fleet.update().target.isAway, 'the outage');
  // The nodes of the last list stay.
  expect(fleet.update()).toMatchObject({
    target: { isAway: true, reason: 'no answer' },
    nodes: [{ id: 'n', state: 'connecting' }],
  });
  answers.push([node]);
  await until(() => !fleet.update().target.isAway, 'the end of the outage');
  expect(fleet.events.since(0).map(({ text }) => text)).toEqual([
    'the registry is away: no answer',
    'the registry answers again',
  ]);
  end.abort();
  answers.push([]);
  await following;
});

const NODE = {
  service: Greeter.name,
  group: '',
  version: Greeter.version,
  protocol: 'json',
  metadata: {},
} as const;

function requestOf(node: string, method: string, message: string) {
  const open = {
    node,
    service: Greeter.name,
    version: Greeter.version,
    method,
    kind: 'unary',
    codec: 'json',
    metadata: {},
  } as const;
  return [{ open }, { message }];
}

async function lastCode(outputs: AsyncIterable<{ type: string; code?: string }>): Promise<string> {
  let code = '';
  for await (const output of outputs) code = output.code ?? '';
  return code;
}
