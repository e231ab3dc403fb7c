import { describe, expect, test } from 'vitest';
import { contract, implement, serve, unary } from '../../../src/rpc/index.js';
import { SERVER_TLS } from '../../fixtures/certificates.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { freeMemoryAddress, testService } from '../../fixtures/rpc.js';
import { pemPath } from '../../fixtures/tls-endpoints.js';
import { gate, Inbox, until } from '../../fixtures/waiting.js';
import { greeter, openFleet, serveGreeter, temporaryFolder } from '../greeter-servers.js';
import { finished, getty, startGetty } from '../run-getty.js';

noLeaks();

describe('getty call', () => {
  test('writes the reply as JSON', async () => {
    await using server = await serveGreeter();
    expect(await getty('call', server.address, 'Greeter/hello', '"world"')).toEqual({
      code: 0,
      stdout: '"hello, world from greeter"\n',
      stderr: '',
    });
    const add = await getty('call', server.address, 'TestService/Add', '{"A":1,"B":2}');
    expect(add.stdout).toBe('{\n  "Sum": 3\n}\n');
    const inJson = await getty('call', server.address, 'TestService/Add', '{"A":1}', '--json');
    expect(inJson.stdout).toBe('{"Sum":1}\n');
  });

  test('sends metadata and a token', async () => {
    await using server = await serveGreeter();
    const options = ['--meta', 'tenant=north', '--meta', 'a=b=c', '--token', 'secret', '--json'];
    const { stdout } = await getty('call', server.address, 'Greeter/whoami', ...options);
    expect(JSON.parse(stdout)).toEqual({
      tenant: 'north',
      a: 'b=c',
      authorization: 'Bearer secret',
    });
    const running = startGetty(['call', server.address, 'Greeter/whoami', '--json'], {
      environment: { GETTY_TOKEN: 'from-the-environment' },
    });
    expect(JSON.parse((await finished(running)).stdout)).toEqual({
      authorization: 'Bearer from-the-environment',
    });
  });

  test('reads the argument from standard input for -', async () => {
    await using server = await serveGreeter();
    const running = startGetty(['call', server.address, 'Greeter/hello', '-']);
    running.send('"wor');
    running.endInput();
    expect(await finished(running)).toMatchObject({ code: 2 });
    const again = startGetty(['call', server.address, 'Greeter/hello', '-']);
    again.send('"world"');
    again.endInput();
    expect((await finished(again)).stdout).toBe('"hello, world from greeter"\n');
  });

  test('ends on Ctrl-C while it waits for standard input', async () => {
    await using server = await serveGreeter();
    for (const args of [
      ['Greeter/hello', '-', '--kind', 'unary'],
      ['Greeter/sum', '--kind', 'clientStream'],
    ]) {
      const running = startGetty(['call', server.address, ...args]);
      await until(() => server.channels.size > 0, 'the command is connected');
      running.interrupt();
      expect(await finished(running)).toEqual({ code: 1, stdout: '', stderr: '' });
      running.endInput();
      await until(() => server.channels.size === 0, 'the command is disconnected');
    }
  });

  test('calls methods without a reply', async () => {
    const notes = new Inbox<string>('a note');
    await using server = await serveGreeter({ introspection: true }, [greeter('greeter', notes)]);
    expect(await getty('call', server.address, 'Greeter/note', '"one"')).toEqual({
      code: 0,
      stdout: '',
      stderr: 'sent; the server gives no answer\n',
    });
    expect(await getty('call', server.address, 'Greeter/mark', '"two"', '--json')).toEqual({
      code: 0,
      stdout: '',
      stderr: '',
    });
    expect(await notes.take(2)).toEqual(['one', 'two']);
    const nothing = await getty('call', server.address, 'Greeter/nothing');
    expect(nothing).toEqual({ code: 0, stdout: '', stderr: 'done; the method has no reply\n' });
    expect((await getty('call', server.address, 'Greeter/nothing', '--json')).stdout).toBe(
      'null\n',
    );
  });

  test('writes each reply of a stream on one line', async () => {
    await using server = await serveGreeter();
    const { stdout, code } = await getty('call', server.address, 'Greeter/count', '3');
    expect({ code, stdout }).toEqual({ code: 0, stdout: '1\n2\n3\n' });
  });

  test('sends each line of standard input', async () => {
    await using server = await serveGreeter();
    const sum = startGetty(['call', server.address, 'Greeter/sum']);
    for (const line of ['1', '', '41']) sum.send(line);
    sum.endInput();
    expect((await finished(sum)).stdout).toBe('42\n');
    expect((await getty('call', server.address, 'Greeter/sum', '7')).stdout).toBe('7\n');
  });

  test('sends and receives at the same time', async () => {
    await using server = await serveGreeter();
    const echo = startGetty(['call', server.address, 'Greeter/echo']);
    echo.send('{"a":1}');
    expect(await echo.lines.next()).toBe('{"a":1}');
    echo.send('[2]');
    expect(await echo.lines.next()).toBe('[2]');
    echo.endInput();
    expect(await finished(echo)).toMatchObject({ code: 0, stderr: '' });
  });

  test('reports the line of standard input that is not JSON', async () => {
    await using server = await serveGreeter();
    const sum = startGetty(['call', server.address, 'Greeter/sum']);
    sum.send('1');
    sum.send('two');
    const { code, stderr } = await finished(sum);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^getty call: line 2 of standard input: .*\n$/);
  });

  test('is cancelled by Ctrl-C, and then writes no error', async () => {
    const started = gate();
    await using server = await serve(
      freeMemoryAddress(),
      [
        testService({
          test: async (_, { signal }) => {
            started.open();
            await new Promise((resolve) => signal.addEventListener('abort', resolve));
            throw signal.reason;
          },
        }),
      ],
      { introspection: true },
    );
    const running = startGetty(['call', server.address, 'TestService/Test', '{}']);
    await started.promise;
    running.interrupt();
    expect(await finished(running)).toEqual({ code: 1, stdout: '', stderr: '' });
  });

  test('writes a reply that is larger than the limit of other clients', async () => {
    const text = 'x'.repeat(3_000_000);
    await using server = await serve(
      freeMemoryAddress(),
      [testService({ test: () => ({ A: text }) })],
      {
        introspection: true,
        session: { maxMessageBytes: 2 ** 23 },
      },
    );
    const { stdout } = await getty('call', server.address, 'TestService/Test', '{}', '--json');
    expect(stdout).toBe(`{"A":"${text}"}\n`);
  });

  test('writes a large reply on one line, however deep it is nested', async () => {
    const deep = `${'['.repeat(60)}${'0,'.repeat(100_000)}0${']'.repeat(60)}`;
    const Deep = contract('Deep', { get: unary<void, unknown>({ idempotent: true }) });
    await using server = await serveGreeter({ introspection: true }, [
      implement(Deep, { get: () => JSON.parse(deep) }),
    ]);
    const { stdout } = await getty('call', server.address, 'Deep/get');
    expect(stdout).toBe(`${deep}\n`);
  });

  test('escapes what a reply could do to a terminal', async () => {
    await using server = await serveGreeter();
    const evil = '"\\u001b[2J\\u009b1m\\u202e"';
    const { stdout } = await getty('call', server.address, 'Greeter/hello', evil);
    expect(stdout).toBe('"hello, \\u001b[2J\\u009b1m\\u202e from greeter"\n');
    const { stderr } = await getty('call', server.address, 'Greeter/fail', evil);
    expect(stderr).toBe('getty call: NOT_FOUND: \\u001b[2J\\u009b1m\\u202e\n');
  });
});

test.each(['tcp', 'ws', 'udp', 'unix'])('getty call reaches a server at %s://', async (scheme) => {
  await using folder = await temporaryFolder();
  const address = scheme === 'unix' ? `unix://${folder.path}/socket` : `${scheme}://127.0.0.1:0`;
  await using server = await serve(address, [greeter()], { introspection: true });
  const { stdout, stderr } = await getty('call', server.address, 'Greeter/hello', '"x"', '--json');
  expect({ stdout, stderr }).toEqual({ stdout: '"hello, x from greeter"\n', stderr: '' });
});

test.each(['tls', 'wss'])('getty call reaches a server at %s:// with --ca', async (scheme) => {
  await using server = await serve(`${scheme}://127.0.0.1:0`, [greeter()], { tls: SERVER_TLS });
  const args = ['call', server.address, 'Greeter/hello', '"x"', '--json'];
  const trusted = await getty(...args, '--ca', pemPath('authority'));
  expect(trusted).toEqual({ code: 0, stdout: '"hello, x from greeter"\n', stderr: '' });
  const untrusted = await getty(...args);
  expect(untrusted.code).toBe(1);
  expect(JSON.parse(untrusted.stderr).error.code).toBe('CONNECT_FAILED');
});

describe('a registry as the target of getty call', () => {
  test('calls one of its nodes, and --node chooses it', async () => {
    await using fleet = openFleet();
    await fleet.provide('a', { group: 'bj' });
    await fleet.provide('b', { group: 'sh' });
    for (const [id, ...options] of [
      ['b', '--node', 'b'],
      ['a', '--group', 'bj'],
    ] as const) {
      const { stdout, stderr } = await getty('call', fleet.url, 'Greeter/hello', '"x"', ...options);
      expect(stdout).toBe(`"hello, x from ${id}"\n`);
      expect(stderr).toMatch(new RegExp(`^node ${id} at tcp://127.0.0.1:\\d+\\n$`));
    }
  });

  test('calls another node if one cannot be reached', async () => {
    await using fleet = openFleet();
    await fleet.provide('a');
    const [published] = await fleet.registry.list();
    await fleet.registry.register({
      ...(published as NonNullable<typeof published>),
      id: 'dead',
      address: 'tcp://127.0.0.1:1',
    });
    for (let i = 0; i < 4; i++) {
      const { stdout } = await getty('call', fleet.url, 'Greeter/hello', '"x"', '--json');
      expect(stdout).toBe('"hello, x from a"\n');
    }
    const dead = await getty('call', fleet.url, 'Greeter/hello', '"x"', '--node', 'dead');
    expect(dead.code).toBe(1);
    expect(dead.stderr).toMatch(/CONNECT_FAILED/);
  });

  test('reports that no node offers the service', async () => {
    await using fleet = openFleet();
    expect(await getty('call', fleet.url, 'Greeter/hello')).toMatchObject({
      code: 14,
      stderr:
        'getty call: UNAVAILABLE: no node offers Greeter (the registry is empty; is it the root that providers use?)\n',
    });
    await fleet.provide('a');
    const misspelled = await getty('call', fleet.url, 'Greter/hello');
    expect(misspelled.stderr).toMatch(/\(did you mean Greeter\?\)\n$/);
    const group = await getty('call', fleet.url, 'Greeter/hello', '--group', 'sh');
    expect(group.stderr).toMatch(/no node offers Greeter group sh \(`getty ls/);
  });
});
