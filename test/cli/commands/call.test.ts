/** `getty call`. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { file_test_service } from '../../../demo/test_service_pb.js';
import { auth, RpcError, serve } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { freeMemory, testService } from '../../fixtures/rpc.js';
import { gate, Inbox } from '../../fixtures/waiting.js';
import { writeDescriptorSet } from '../call/descriptor-files.js';
import { serveAsGo } from '../call/go-server.js';
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
      freeMemory(),
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
    await using server = await serve(freeMemory(), [testService({ test: () => ({ A: text }) })], {
      introspection: true,
      session: { maxMessageBytes: 2 ** 23 },
    });
    const { stdout } = await getty('call', server.address, 'TestService/Test', '{}', '--json');
    expect(stdout).toBe(`{"A":"${text}"}\n`);
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

describe('the exit code of getty call', () => {
  test('is the number of the code of the failed call', async () => {
    await using server = await serveGreeter();
    expect(await getty('call', server.address, 'Greeter/fail', '"no order 7"')).toEqual({
      code: 5,
      stdout: '',
      stderr: 'getty call: NOT_FOUND: no order 7\n',
    });
    const { stderr } = await getty('call', server.address, 'Greeter/fail', '"gone"', '--json');
    expect(JSON.parse(stderr)).toEqual({ error: { code: 'NOT_FOUND', message: 'gone' } });
  });

  test.each([
    [['nowhere', 'Greeter/hello'], /TARGET: got "nowhere"/],
    [['tcp://127.0.0.1:1', 'Greeter'], /SERVICE\/METHOD: got "Greeter"/],
    [['tcp://127.0.0.1:1', 'Greeter/hello', '{'], /JSON: .*write it as JSON/],
    [['tcp://127.0.0.1:1', 'Greeter/hello', '--meta', 'x'], /--meta: got "x"/],
    [['tcp://127.0.0.1:1', 'Greeter/hello', '--codec', 'xml'], /--codec: got "xml"/],
    [['tcp://127.0.0.1:1', 'Greeter/hello', '--codec', 'protobuf'], /--proto FILE/],
    [['tcp://127.0.0.1:1', 'Greeter/hello', '--kind', 'x'], /--kind: got "x"/],
    [['tcp://127.0.0.1:1', 'Greeter/hello', '--timeout', '0s'], /--timeout: got "0s"/],
    [['tcp://127.0.0.1:1', 'Greeter/hello', '--proto', '/none'], /--proto: \/none is no desc/],
    [['tls://127.0.0.1:1', 'Greeter/hello', '--ca', '/none'], /--ca: the file cannot be read/],
    [['tcp://127.0.0.1', 'Greeter/hello'], /BAD_ADDRESS: /],
    [['tcp://127.0.0.1:1', 'Greeter/hello', '--tok', 'x'], /Did you mean --token\?\); see/],
    [['tcp://127.0.0.1:1'], /missing required argument 'service\/method'; see `getty call --help`/],
  ])('is 2 for the command line %j', async (args, message) => {
    const { code, stdout, stderr } = await getty('call', ...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/^getty call: .*\n$/);
  });

  test('is 1 for a refused connection', async () => {
    const { code, stderr } = await getty('call', 'tcp://127.0.0.1:1', 'Greeter/hello');
    expect(code).toBe(1);
    expect(stderr).toMatch(/^getty call: CONNECT_FAILED: .*ECONNREFUSED.* \(is the server .*\)\n$/);
  });

  test('is 12 for an unknown service, version or method, and the line names the nearest one', async () => {
    await using server = await serveGreeter();
    for (const [name, advice, ...options] of [
      ['Greter/hello', 'the server does not offer Greter (did you mean Greeter?)'],
      ['Greeter/helo', 'Greeter has no method helo (did you mean hello?)'],
      ['Quite/other', 'the server does not offer Quite (there are Greeter, TestService)'],
      [
        'Greeter/hello',
        'the server does not offer Greeter v2 (did you mean v1?)',
        '--service-version',
        'v2',
      ],
    ] as const) {
      const { code, stderr } = await getty('call', server.address, name, ...options);
      expect({ code, stderr }).toEqual({
        code: 12,
        stderr: `getty call: UNIMPLEMENTED: ${advice}\n`,
      });
    }
  });

  test('is 3 for an argument that the schema refuses', async () => {
    await using server = await serveGreeter();
    const { code, stderr } = await getty('call', server.address, 'Greeter/price', '{"item":1}');
    expect(code).toBe(3);
    expect(stderr).toMatch(/^getty call: INVALID_ARGUMENT: .*item.* \(`getty describe .*\n$/);
  });

  test('is 4 for a call that takes too long', async () => {
    await using server = await serveGreeter({ introspection: true }, [
      testService({ test: () => new Promise(() => {}) }),
    ]);
    const args = ['TestService/Test', '{}', '--timeout', '50ms', '--kind', 'unary'];
    const { code, stderr } = await getty('call', server.address, ...args);
    expect(code).toBe(4);
    expect(stderr).toMatch(/DEADLINE_EXCEEDED: .*--timeout\)\n$/);
  });

  test('is 16 without credentials', async () => {
    const authenticate = () => {
      throw new RpcError('UNAUTHENTICATED', 'no token');
    };
    await using server = await serveGreeter({
      introspection: true,
      interceptors: [auth({ authenticate })],
    });
    const { code, stderr } = await getty('call', server.address, 'Greeter/hello', '"x"');
    expect(code).toBe(16);
    expect(stderr).toMatch(/UNAUTHENTICATED: .*--token/);
  });
});

describe('a server without introspection', () => {
  test('is called as if the method were unary, unless --kind says another kind', async () => {
    await using server = await serveGreeter({});
    const hello = await getty('call', server.address, 'Greeter/hello', '"x"');
    expect(hello.stdout).toBe('"hello, x from greeter"\n');
    const count = await getty(
      'call',
      server.address,
      'Greeter/count',
      '2',
      '--kind',
      'serverStream',
    );
    expect(count.stdout).toBe('1\n2\n');
    const unknown = await getty('call', server.address, 'Greeter/helo', '"x"');
    expect(unknown.code).toBe(12);
    expect(unknown.stderr).toMatch(/UNIMPLEMENTED: .* \(`getty describe TARGET`/);
  });

  test('such as one of Go is called in JSON', async () => {
    await using server = await serveAsGo();
    const { stdout, stderr } = await getty(
      'call',
      server.address,
      'TestService/Add',
      '{"A":1,"B":10}',
    );
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toEqual({ Sum: 11 });
    const failed = await getty('call', server.address, 'TestService/Err', '{"A":1}');
    expect(failed).toMatchObject({
      code: 2,
      stderr: 'getty call: UNKNOWN: this is a error test\n',
    });
    const lost = await getty('call', server.address, 'TestService/Nope', '{}', '--kind', 'unary');
    expect(lost.code).toBe(14);
    expect(lost.stderr).toMatch(/UNAVAILABLE: .*a server of Go does so/);
  });
});

describe('getty call --proto', () => {
  test('calls a server of Go in Protobuf', async () => {
    await using folder = await temporaryFolder();
    const proto = await writeDescriptorSet(folder.path, file_test_service);
    await using server = await serveAsGo();
    const args = ['TestService/Add', '{"A":1,"B":10}', '--proto', proto, '--json'];
    const { stdout, stderr } = await getty('call', server.address, ...args);
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toEqual({ Sum: 11 });
  });

  test('calls in the codec of --codec, and writes default values too', async () => {
    await using folder = await temporaryFolder();
    const proto = await writeDescriptorSet(folder.path, file_test_service);
    const codecs = new Inbox<string>('a codec');
    await using server = await serveGreeter({}, [
      testService({
        add: ({ A, B }, { codec }) => {
          codecs.push(codec);
          return { Sum: A + B };
        },
      }),
    ]);
    const args = ['TestService/Add', '--proto', proto, '--json'];
    expect((await getty('call', server.address, ...args)).stdout).toBe('{"Sum":0}\n');
    const inJson = await getty('call', server.address, ...args, '--codec', 'json');
    expect(inJson.stdout).toBe('{"Sum":0}\n');
    expect(codecs.all).toEqual(['protobuf', 'json']);
  });

  test('calls a method without a reply with --kind', async () => {
    await using folder = await temporaryFolder();
    const proto = await writeDescriptorSet(folder.path, file_test_service);
    const events = new Inbox<string>('an event');
    await using server = await serveGreeter({}, [
      testService({
        event: ({ A }) => {
          events.push(A);
        },
      }),
    ]);
    const args = ['TestService/Event', '{"A":"hi"}', '--proto', proto, '--kind', 'oneway'];
    expect((await getty('call', server.address, ...args)).code).toBe(0);
    expect(await events.next()).toBe('hi');
  });

  test('reports what does not fit the descriptors', async () => {
    await using folder = await temporaryFolder();
    const proto = await writeDescriptorSet(folder.path, file_test_service);
    const empty = join(folder.path, 'text');
    await writeFile(empty, 'message X {}');
    await using server = await serveGreeter({});
    for (const [args, message] of [
      [['TestService/Add', '{"A":"x"}', '--proto', proto], /JSON: .*AddRequest.*A/],
      [['TestService/Add', '{"C":1}', '--proto', proto], /JSON: .*"C" is unknown/],
      [['TestService/Ad', '{}', '--proto', proto], /has no method "Ad".*did you mean Add\?/],
      [['TestServic/Add', '{}', '--proto', proto], /got "TestServic".*did you mean TestService\?/],
      [['TestService/Add', '{}', '--proto', empty], /is no descriptor set/],
      [['TestService/Add', '{}', '--proto', proto, '--kind', 'duplex'], /--kind: got duplex/],
    ] as const) {
      const { code, stderr } = await getty('call', server.address, ...args);
      expect(stderr).toMatch(message);
      expect(stderr.split('\n')).toHaveLength(2);
      expect(code).toBe(2);
    }
  });
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
        'getty call: UNAVAILABLE: no node offers Greeter in json (the registry is empty; is it the root that providers use?)\n',
    });
    await fleet.provide('a');
    const misspelled = await getty('call', fleet.url, 'Greter/hello');
    expect(misspelled.stderr).toMatch(/\(did you mean Greeter\?\)\n$/);
    const group = await getty('call', fleet.url, 'Greeter/hello', '--group', 'sh');
    expect(group.stderr).toMatch(/no node offers Greeter group sh in json \(`getty ls/);
  });
});

test('an error of the server is bounded', async () => {
  await using server = await serveGreeter();
  const long = JSON.stringify('x'.repeat(60_000));
  const { stderr } = await getty('call', server.address, 'Greeter/fail', long);
  expect(stderr).toHaveLength(2_001);
});
