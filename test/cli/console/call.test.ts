/** Calls that the page makes through the console. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestService as descriptor } from '../../../demo/test_service_pb.js';
import { asCommand, asTypeScript } from '../../../src/cli/console/page/call/copied-text.js';
import type { CallInput, CallOutput, CallRequest } from '../../../src/cli/console/types.js';
import {
  auth,
  contract,
  implement,
  type MethodKind,
  type RpcServer,
  serve,
} from '../../../src/rpc/index.js';
import { until, within } from '../../fixtures/waiting.js';
import { Greeter, greeter } from '../greeter-servers.js';
import { words } from '../help-examples.js';
import { getty } from '../run-getty.js';
import { type OpenConsole, openConsole, stateOf, Watch } from './open-console.js';

const Encoded = contract(descriptor, { oneway: ['Event'] });

let server: RpcServer;
let console: OpenConsole;
let page: Awaited<ReturnType<OpenConsole['connect']>>;
let node: string;

beforeAll(async () => {
  server = await serve(
    'tcp://127.0.0.1:0',
    [
      greeter(),
      implement(Encoded, {
        test: ({ A }) => ({ A }),
        add: ({ A, B }) => ({ Sum: A + B }),
        err: () => ({}),
        event: () => ({}),
      }),
    ],
    { introspection: true },
  );
  console = await openConsole(server.address);
  page = await console.connect();
  using watch = Watch.open(page.stub);
  const { nodes } = await watch.until((update) => stateOf(update, 'server') === 'up');
  node = nodes[0]?.key ?? '';
});

afterAll(async () => {
  page[Symbol.dispose]();
  await console[Symbol.asyncDispose]();
  server.destroy();
});

const requestOf = (method: string, kind: MethodKind, rest: Partial<CallRequest> = {}) => ({
  node,
  service: Greeter.name,
  version: Greeter.version,
  method,
  kind,
  codec: 'json',
  metadata: {},
  ...rest,
});

async function outputsOf(request: CallRequest, ...messages: string[]): Promise<CallOutput[]> {
  const input: CallInput[] = [{ open: request }, ...messages.map((message) => ({ message }))];
  return within(collect(page.stub.call(input)), `the end of ${request.method}`);
}

async function collect(outputs: AsyncIterable<CallOutput>): Promise<CallOutput[]> {
  const all: CallOutput[] = [];
  for await (const output of outputs) all.push(output);
  return all;
}

const OK = { type: 'end', code: 'OK', message: '' };

describe('a call', () => {
  test('has its reply, its code and its duration', async () => {
    const [reply, end] = await outputsOf(requestOf('hello', 'unary'), '"you"');
    expect(reply).toEqual({ type: 'reply', json: '"hello, you from greeter"', cut: 0 });
    expect(end).toMatchObject(OK);
    expect((end as { duration: number }).duration).toBeGreaterThan(0);
  });

  test('that fails has the code and the message of the node', async () => {
    expect(await outputsOf(requestOf('fail', 'unary'), '"gone"')).toMatchObject([
      { type: 'end', code: 'NOT_FOUND', message: 'gone' },
    ]);
  });

  test.each<[MethodKind, string, string[], unknown[]]>([
    ['oneway', 'note', ['"x"'], []],
    ['noReply', 'mark', ['"x"'], []],
    ['serverStream', 'count', ['3'], [1, 2, 3]],
    ['clientStream', 'sum', ['1', '41'], [42]],
    ['duplex', 'echo', ['1', '{"a":2}'], [1, { a: 2 }]],
  ])('of the kind %s', async (kind, method, messages, replies) => {
    const outputs = await outputsOf(requestOf(method, kind), ...messages);
    expect(outputs.at(-1)).toMatchObject(OK);
    const found = outputs
      .slice(0, -1)
      .map((output) => JSON.parse((output as { json: string }).json));
    expect(found).toEqual(replies);
  });

  test('sends metadata', async () => {
    const request = requestOf('whoami', 'unary', { metadata: { tenant: 'north' } });
    const [reply] = await outputsOf(request, '');
    expect(JSON.parse((reply as { json: string }).json)).toEqual({ tenant: 'north' });
  });

  test('ends with its timeout', async () => {
    const request = requestOf('echo', 'duplex', { timeout: 20 });
    const inputs: CallInput[] = [{ open: request }];
    // An input without an end.
    const next = (): Promise<IteratorResult<CallInput, void>> => {
      const value = inputs.shift();
      return value === undefined ? new Promise(() => {}) : Promise.resolve({ value });
    };
    const endless = { [Symbol.asyncIterator]: () => ({ next }) };
    const outputs = await within(collect(page.stub.call(endless)), 'the end of the call');
    expect(outputs).toMatchObject([{ type: 'end', code: 'DEADLINE_EXCEEDED' }]);
  });

  test('in Protobuf uses the descriptors of the node', async () => {
    const request = requestOf('Add', 'unary', {
      service: Encoded.name,
      version: '',
      codec: 'protobuf',
    });
    const [reply, end] = await outputsOf(request, '{"A":1,"B":2}');
    expect(end).toMatchObject(OK);
    expect(JSON.parse((reply as { json: string }).json)).toEqual({ Sum: 3 });
    expect(await outputsOf(request, '{"nope":1}')).toMatchObject([
      { type: 'end', message: expect.stringContaining('nope') },
    ]);
  });

  test('with an argument that is no JSON fails before it is sent', async () => {
    expect(await outputsOf(requestOf('hello', 'unary'), '{')).toMatchObject([
      { type: 'end', code: 'INVALID_ARGUMENT' },
    ]);
  });

  test('with a long reply is cut', async () => {
    const long = 'x'.repeat(100_000);
    const [reply] = await outputsOf(requestOf('hello', 'unary'), JSON.stringify(long));
    expect(reply).toMatchObject({ cut: expect.any(Number) });
    expect((reply as { json: string }).json.length).toBe(65_536);
  });

  test.each<[string, unknown]>([
    ['nothing', {}],
    ['no node', { open: { ...requestOf('hello', 'unary'), node: 5 } }],
    ['an unknown kind', { open: { ...requestOf('hello', 'unary'), kind: 'odd' } }],
    ['a message first', { message: '1' }],
  ])('that begins with %s is refused', async (_, first) => {
    await expect(collect(page.stub.call([first as CallInput]))).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });

  test('of the admin service is refused without --allow-admin', async () => {
    const open = requestOf('drain', 'unary', { service: 'getty.Admin', version: '' });
    await expect(collect(page.stub.call([{ open }]))).rejects.toMatchObject({
      code: 'PERMISSION_DENIED',
    });
  });

  test('of an unknown node is refused', async () => {
    const open = { ...requestOf('hello', 'unary'), node: 'tcp://10.0.0.1:1' };
    await expect(collect(page.stub.call([{ open }]))).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});

test('the token of a call replaces that of the console', async () => {
  await using guarded = await serve('tcp://127.0.0.1:0', [greeter()], {
    introspection: true,
    interceptors: [auth({ authenticate: ({ token = '' }) => ({ subject: token }) })],
  });
  await using other = await openConsole(guarded.address, ['--token', 'console']);
  using client = await other.connect();
  using watch = Watch.open(client.stub);
  const { nodes } = await watch.until((update) => stateOf(update, 'server') === 'up');
  const open = { ...requestOf('whoami', 'unary', { token: 'mine' }), node: nodes[0]?.key ?? '' };
  const outputs = await collect(client.stub.call([{ open }, { message: '' }]));
  expect(outputs.at(-1)).toMatchObject(OK);
  expect(JSON.stringify(outputs)).toContain('Bearer mine');
});

describe('a copied call', () => {
  const copied = (method: string, kind: MethodKind, argument: string) => ({
    address: server.address,
    request: requestOf(method, kind, { metadata: { a: "it's" }, timeout: 2_000, token: 'secret' }),
    argument,
  });

  test('as a command runs', async () => {
    const text = asCommand(copied('hello', 'unary', '"you"'));
    expect(text).not.toContain('secret');
    const [program, ...args] = words(text.replace("'a=it'\\''s'", 'a=its'));
    expect(program).toBe('getty');
    expect(await getty(...args)).toMatchObject({ code: 0, stdout: '"hello, you from greeter"\n' });
  });

  test.each<[string, MethodKind, string, string]>([
    ['hello', 'unary', '"you"', 'console.log(await client.stub(Service).hello("you", { metadata:'],
    ['count', 'serverStream', '3', 'for await (const reply of client.stub(Service).count(3,'],
    ['sum', 'clientStream', '', 'console.log(await client.stub(Service).sum([], '],
    ['odd-name', 'unary', '', 'client.stub(Service)["odd-name"](undefined, '],
  ])('as TypeScript: %s', (method, kind, argument, line) => {
    const text = asTypeScript(copied(method, kind, argument));
    expect(text).toContain(line);
    expect(text).not.toContain('secret');
    // The variable may be undefined, which bearer() does not accept.
    expect(text).toContain(`bearer(process.env.GETTY_TOKEN ?? '')`);
  });
});

describe('at the same time', () => {
  /** Begins calls that wait for their arguments. Ends them when `count` are refused. */
  async function refusedCalls(
    pages: (typeof page)[],
    callsOfEach: number,
    count: number,
  ): Promise<number> {
    const codes: string[] = [];
    const abort = new AbortController();
    const input = async function* () {
      yield { open: requestOf('hello', 'unary') };
      await new Promise((resolve) => abort.signal.addEventListener('abort', resolve));
    };
    const calls = pages.flatMap(({ stub }) =>
      Array.from({ length: callsOfEach }, async () => {
        const outputs = stub.call(input(), { signal: abort.signal })[Symbol.asyncIterator]();
        await outputs.next().then(
          () => codes.push('answered'),
          (error) => codes.push(error.code),
        );
      }),
    );
    await until(() => codes.length >= count, `${count} calls are refused`);
    abort.abort();
    await Promise.all(calls);
    expect(new Set(codes)).toEqual(new Set(['CANCELLED', 'RESOURCE_EXHAUSTED']));
    return codes.filter((code) => code === 'RESOURCE_EXHAUSTED').length;
  }

  test('a page makes 15 calls, besides its stream of updates', async () => {
    using other = await console.connect();
    using watch = Watch.open(other.stub);
    await watch.next();
    expect(await refusedCalls([other], 16, 1)).toBe(1);
  });

  test('all pages make 100 calls', async () => {
    const pages: (typeof page)[] = [];
    try {
      for (let at = 0; at < 7; at++) pages.push(await console.connect());
      expect(await refusedCalls(pages, 15, 5)).toBe(5);
    } finally {
      for (const opened of pages) opened[Symbol.dispose]();
    }
  });
});
