import { describe, expect, test } from 'vitest';
import { auth, RpcError } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { testService } from '../../fixtures/rpc.js';
import { serveAsGo } from '../call/go-server.js';
import { openFleet, serveGreeter } from '../greeter-servers.js';
import { getty } from '../run-getty.js';

noLeaks();

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
    [['file://tmp/registry', 'Greeter/hello'], /expected three slashes .* file:\/\/\/directory/],
    [['tcp://127.0.0.1:1', 'Greeter'], /SERVICE\/METHOD: got "Greeter"/],
    [['tcp://127.0.0.1:1', 'Greeter/hello', '{'], /JSON: .*write it as JSON/],
    [['tcp://127.0.0.1:1', 'Greeter/hello', '--meta', 'x'], /--meta: got "x"/],
    [['tcp://127.0.0.1:1', 'Greeter/hello', '--codec', 'xml'], /--codec: got "xml"/],
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

  test('is 14 for a version that no node offers, and the line names the nearest one', async () => {
    await using fleet = openFleet();
    await fleet.provide('a');
    const args = ['call', fleet.url, 'Greeter/hello', '"x"', '--service-version', 'v2'];
    expect((await getty(...args)).stderr).toMatch(/ \(did you mean version v1\?\)\n$/);
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
    const args = ['TestService/Test', '{}', '--timeout', '500ms', '--kind', 'unary'];
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
    const asUnary = await getty('call', server.address, 'Greeter/count', '2');
    expect(asUnary.code).toBe(13);
    expect(asUnary.stderr).toMatch(
      / a single reply \(call it with --kind serverStream, or .*\)\n$/,
    );
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

test('an error of the server is bounded', async () => {
  await using server = await serveGreeter();
  const long = JSON.stringify('x'.repeat(60_000));
  const { stderr } = await getty('call', server.address, 'Greeter/fail', long);
  expect(stderr).toHaveLength(2_001);
});
