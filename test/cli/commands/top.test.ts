/** `getty top`. */
import { describe, expect, test } from 'vitest';
import { contract, Introspection, implement, serve, unary } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { connectOnce, freeMemoryAddress } from '../../fixtures/rpc.js';
import { serveAsGo } from '../call/go-server.js';
import { Greeter, openFleet, serveGreeter } from '../greeter-servers.js';
import { finished, getty, startGetty } from '../run-getty.js';

noLeaks();

interface Line {
  readonly nodes: number;
  readonly failures: readonly { readonly node: string; readonly reason: string }[];
  readonly methods: readonly {
    readonly method: string;
    readonly node: string;
    readonly rate: number;
  }[];
}

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
    expect(line.failures).toEqual([{ node: 'b', reason: expect.stringMatching(/Introspection/) }]);
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
    const latency = { count: 0, sum: 0, mean: 0, p50: 0, p90: 0, p99: 0, max: 0 };
    const method = {
      service: '\u001b[2J',
      version: '\u009b',
      method: 'x'.repeat(1_000),
      started: 0,
      succeeded: 0,
      failed: { '\u001b': 1 },
      inFlight: 0,
      bytesSent: 0,
      bytesReceived: 0,
      latency,
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
