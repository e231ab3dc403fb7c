/** `getty top`. */
import { describe, expect, test } from 'vitest';
import type { ServiceNode } from '../../../src/micro/index.js';
import {
  contract,
  Introspection,
  implement,
  RpcError,
  type RpcServer,
  serve,
  unary,
} from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { connectOnce, freeMemoryAddress, testService } from '../../fixtures/rpc.js';
import { serveAsGo } from '../call/go-server.js';
import { Greeter, openFleet, serveGreeter } from '../greeter-servers.js';
import { finished, getty, startGetty } from '../run-getty.js';

noLeaks();

interface Line {
  readonly nodes: number;
  readonly failures: readonly object[];
  readonly eventLoops: readonly object[];
  readonly total?: { readonly rate: number; readonly failures: number };
  readonly methods: readonly {
    readonly service: string;
    readonly method: string;
    readonly node: string;
    readonly rate: number;
  }[];
}

const LATENCY = { count: 0, sum: 0, mean: 0, p50: 0, p90: 0, p99: 0, max: 0 };
const METHOD = {
  service: 'Shop',
  version: 'v1',
  method: 'pay',
  started: 0,
  succeeded: 0,
  failed: {},
  inFlight: 0,
  bytesSent: 0,
  bytesReceived: 0,
  latency: LATENCY,
};
const STATUS = {
  time: 1,
  process: { pid: 1, uptime: 1, nodeVersion: 'v22.0.0', rss: 1, heapUsed: 1 },
  sessions: 1,
  refusals: {},
};

/** A server whose introspection gives the answers of a test. */
function serveFake(statistics: () => unknown, max = 1): Promise<RpcServer> {
  const Fake = contract(Introspection.name, {
    statistics: unary<void, unknown>(),
    status: unary<void, unknown>(),
  });
  const process = { ...STATUS.process, eventLoopDelay: { p50: 1, p99: 1, max } };
  return serve('tcp://127.0.0.1:0', [
    implement(Fake, { statistics, status: () => ({ ...STATUS, process }) }),
  ]);
}

/** One interval. */
const ONCE = ['--count', '1', '--interval', '1ms'];

describe('getty top', () => {
  test('shows the calls of each interval until Ctrl-C', async () => {
    await using server = await serveGreeter();
    await using client = await connectOnce(server.address);
    const stub = client.stub(Greeter);
    await stub.hello('x');
    const top = startGetty(['top', server.address, '--interval', '1ms', '--json']);
    await top.lines.next();
    await stub.fail('x').catch(() => {});
    for (;;) {
      const { methods }: Line = JSON.parse(await top.lines.next());
      const failing = methods.find(({ method }) => method === 'fail');
      if (failing === undefined || failing.rate === 0) continue;
      expect(methods[0]).toMatchObject({ service: 'Greeter', method: 'fail', node: 'server' });
      expect(methods[0]).toMatchObject({ codes: { NOT_FOUND: expect.any(Number) } });
      expect(methods.map(({ method }) => method)).not.toContain('statistics');
      break;
    }
    top.interrupt();
    expect(await finished(top)).toMatchObject({ code: 0, stderr: '' });
  });

  test('writes a table, which a terminal redraws', async () => {
    await using server = await serveGreeter();
    await using client = await connectOnce(server.address);
    await client.stub(Greeter).hello('x');
    const args = ['top', server.address, '--interval', '1ms', '--count', '2'];
    const { code, stdout } = await getty(...args);
    expect(code).toBe(0);
    expect(stdout).not.toContain('\u001b');
    expect(stdout).toMatch(/^\d\d:\d\d:\d\d {2}nodes: 1 {2}calls\/s: 0\nMETHOD +VERSION +NODE/);
    expect(stdout).toMatch(/\nGreeter\/hello +v1 +server +0 +0 +0 +– +– +–\n/);
    const onTerminal = await finished(startGetty(args, { isTTY: true }));
    expect(onTerminal.stdout.split('\u001b[H\u001b[J')).toHaveLength(3);
  });

  test('cuts the table to the rows and columns of a terminal', async () => {
    const served = Array.from({ length: 30 }, (_, at) => ({ ...METHOD, method: `method${at}` }));
    await using server = await serveFake(() => ({ since: 1, served }), 450);
    const size = { columns: 40, rows: 8 };
    const top = startGetty(['top', server.address, ...ONCE], { isTTY: true, size });
    const { stdout } = await finished(top);
    const lines = stdout.replace('\u001b[H\u001b[J', '').split('\n');
    expect(lines).toHaveLength(8);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(40);
    expect(lines.at(-3)).toMatch(/^Shop\/method3/);
    expect(lines.slice(-2)).toEqual(['event loop blocked: server (450 ms)', '']);
  });

  test('shows one service, with its total', async () => {
    await using server = await serveGreeter();
    await using client = await connectOnce(server.address);
    const top = startGetty(['top', server.address, 'Greeter', '--interval', '1ms', '--json']);
    await top.lines.next();
    await client.stub(Greeter).hello('x');
    await client
      .stub(Greeter)
      .fail('x')
      .catch(() => {});
    let line: Line;
    let calls = 0;
    do {
      line = JSON.parse(await top.lines.next());
      calls += line.methods.length > 0 ? (line.total?.rate ?? 0) : 0;
      const sum = line.methods.reduce((total, { rate }) => total + rate, 0);
      expect(line.total?.rate).toBeCloseTo(sum);
    } while (calls === 0 || line.methods.length < 2);
    expect(new Set(line.methods.map(({ service }) => service))).toEqual(new Set(['Greeter']));
    top.interrupt();
    await top.ended;
    const { stdout } = await getty('top', server.address, 'Greeter', ...ONCE);
    expect(stdout).toMatch(/\ntotal +0 +0 +0 +– +– +–\n$/);
    expect((await getty('top', server.address, ...ONCE)).stdout).not.toMatch(/\ntotal/);
  });

  test('shows services of getty itself only by name', async () => {
    await using fleet = openFleet();
    const { address } = await fleet.provide('a');
    await getty('node', 'weight', address, '7');
    await getty('sessions', address);
    for (const service of ['getty.Admin', 'getty.Introspection'])
      for (const target of [address, fleet.url])
        expect((await getty('top', target, service, ...ONCE)).stdout).toContain(`${service}/`);
    expect((await getty('top', fleet.url, ...ONCE)).stdout).not.toContain('getty.');
  });

  test('asks only the nodes of a service, and names the one that was meant', async () => {
    await using fleet = openFleet();
    const { address } = await fleet.provide('a');
    await fleet.provide('b', { services: [testService()] });
    const { stdout } = await getty('top', fleet.url, 'Greeter', ...ONCE, '--json');
    expect(JSON.parse(stdout)).toMatchObject({ nodes: 1 });
    expect(await getty('top', fleet.url, 'Greter')).toMatchObject({
      code: 14,
      stderr: expect.stringContaining('did you mean Greeter?'),
    });
    expect(await getty('top', address, 'Greter')).toMatchObject({
      code: 12,
      stderr: expect.stringContaining('did you mean Greeter?'),
    });
  });

  test('asks a busy node once more, and then says that it is overloaded', async () => {
    await using fleet = openFleet();
    await fleet.provide('a');
    let asked = 0;
    let refused = 1;
    await using busy = await serveFake(() => {
      if (asked++ < refused) throw new RpcError('RESOURCE_EXHAUSTED', 'refused');
      return { since: 1, served: [METHOD] };
    });
    const entry = (await fleet.registry.list())[0] as ServiceNode;
    await fleet.registry.register({ ...entry, id: 'busy', address: busy.address });
    const first: Line = JSON.parse((await getty('top', fleet.url, ...ONCE, '--json')).stdout);
    expect(first.failures).toEqual([]);
    refused = Number.POSITIVE_INFINITY;
    const { stdout } = await getty('top', fleet.url, ...ONCE);
    expect(stdout).toMatch(/\nno answer from busy: .*refused \(the node is overloaded: .*\)\n$/);
    const json: Line = JSON.parse((await getty('top', fleet.url, ...ONCE, '--json')).stdout);
    expect(json.failures).toMatchObject([
      { node: 'busy', advice: expect.stringContaining('overloaded') },
    ]);
    expect(await getty('top', busy.address)).toMatchObject({
      code: 8,
      stderr: expect.stringContaining('overloaded'),
    });
  });

  test('says which nodes have a blocked event loop', async () => {
    await using fleet = openFleet();
    const served = () => ({ since: 1, served: [METHOD] });
    await using free = await serveFake(served, 20);
    await using blocked = await serveFake(served, 450.4);
    await fleet.provide('c');
    const entry = (await fleet.registry.list())[0] as ServiceNode;
    await fleet.registry.register({ ...entry, id: 'a', address: free.address });
    await fleet.registry.register({ ...entry, id: 'b', address: blocked.address });
    const table = (await getty('top', fleet.url, ...ONCE)).stdout;
    expect(table).toMatch(/\nevent loop blocked: b \(450 ms\)\n$/);
    const byNode = (await getty('top', fleet.url, '--nodes', ...ONCE)).stdout;
    expect(byNode).toMatch(/ P99 +EVENT LOOP +CODES\n/);
    expect(byNode).toMatch(/\nShop\/pay +v1 +a .* ok\n/);
    expect(byNode).toMatch(/\nShop\/pay +v1 +b .* blocked 450 ms\n/);
    const { eventLoops }: Line = JSON.parse(
      (await getty('top', fleet.url, ...ONCE, '--json')).stdout,
    );
    expect(eventLoops).toContainEqual({ node: 'a', max: 20, isBlocked: false });
    expect(eventLoops).toContainEqual({ node: 'b', max: 450.4, isBlocked: true });
  });

  test('adds the nodes of a registry, and follows its changes', async () => {
    await using fleet = openFleet();
    const first = await fleet.provide('a');
    await using client = await connectOnce(first.address);
    await client.stub(Greeter).hello('x');
    const top = startGetty(['top', fleet.url, '--nodes', '--interval', '1ms', '--json']);
    expect(JSON.parse(await top.lines.next())).toMatchObject({ nodes: 1, failures: [] });
    const second = await fleet.provide('b', { introspection: false });
    let line: Line;
    do line = JSON.parse(await top.lines.next());
    while (line.failures.length === 0);
    expect(line.failures).toMatchObject([
      { node: 'b', reason: expect.stringMatching(/Introspection/) },
    ]);
    expect(line.methods[0]).toMatchObject({ method: 'hello', node: 'a' });
    await second.close();
    do line = JSON.parse(await top.lines.next());
    while (line.nodes === 2);
    expect(line.failures).toEqual([]);
    top.interrupt();
    expect((await finished(top)).code).toBe(0);
  });

  test('shows 40 rows at most, without control characters', async () => {
    const Fake = contract(Introspection.name, { statistics: unary<void, unknown>() });
    const method = {
      ...METHOD,
      service: '\u001b[2J',
      method: 'x'.repeat(1_000),
      failed: { '\u001b': 1 },
    };
    const served = Array.from({ length: 50 }, (_, at) => ({ ...method, version: `\u009b${at}` }));
    const statistics = () => ({ since: 1, served });
    await using server = await serve(freeMemoryAddress(), [implement(Fake, { statistics })]);
    const args = ['top', server.address, '--count', '1', '--interval', '1ms'];
    const { stdout } = await getty(...args);
    const lines = stdout.trim().split('\n');
    expect(lines).toHaveLength(42);
    expect(lines[2]).toMatch(/^\\u001b\[2J\/x+… +\\u009b0 +server/);
    for (const character of '\u001b\u009b') expect(stdout).not.toContain(character);
  });

  test('reports that no node gives statistics', async () => {
    await using server = await serveGreeter({});
    const { code, stderr } = await getty('top', server.address);
    expect(code).toBe(12);
    expect(stderr).toMatch(/^getty top: UNIMPLEMENTED: .*introspection: true.*\n$/);
    await using go = await serveAsGo();
    expect((await getty('top', go.address)).code).toBe(14);
    await using fleet = openFleet();
    expect(await getty('top', fleet.url)).toMatchObject({
      code: 14,
      stderr: expect.stringMatching(/the registry has no nodes/),
    });
    expect((await getty('top', 'tcp://127.0.0.1:1')).stderr).toMatch(/ECONNREFUSED/);
  });
});
