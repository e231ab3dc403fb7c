/** `getty describe`. */
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { contract, Introspection, implement, serve, unary } from '../../../src/rpc/index.js';
import { serve as listen, raw } from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { freeMemoryAddress } from '../../fixtures/rpc.js';
import { serveAsGo } from '../call/go-server.js';
import { nestedService } from '../call/nested-service.js';
import { greeter, openFleet, serveGreeter } from '../greeter-servers.js';
import { getty } from '../run-getty.js';

noLeaks();

describe('getty describe', () => {
  test('shows the services and methods of a server', async () => {
    await using server = await serveGreeter();
    const { code, stdout, stderr } = await getty('describe', server.address);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const lines = stdout.split('\n');
    expect(lines[0]).toBe('Greeter v1 (json)');
    expect(lines[1]).toMatch(/^ {2}METHOD +KIND +INPUT +OUTPUT +TIMEOUT +IDEMPOTENT$/);
    expect(lines[2]).toMatch(/^ {2}hello +unary +yes$/);
    expect(lines[3]).toMatch(/^ {2}price +unary +zod schema +zod schema +700 ms$/);
    expect(stdout).toContain('\nTestService v1.0 (json, protobuf)\n');
    expect(stdout).toMatch(/\n {2}Add +unary +AddRequest +AddReply/);
    expect(stdout).not.toContain('getty.Introspection');
  });

  test('shows the fields of a method, and a command that calls it', async () => {
    await using server = await serveGreeter();
    const { stdout } = await getty('describe', server.address, 'TestService/Add');
    expect(stdout).toContain('TestService v1.0 (json, protobuf)  Add: unary, idempotent\n');
    expect(stdout).toMatch(/input: AddRequest\n {2}FIELD +NUMBER +TYPE.*\n {2}A +1 +int32\n/);
    expect(stdout).toMatch(/output: AddReply\n/);
    const commandLine = stdout.trim().split('\n').at(-1) as string;
    expect(commandLine).toBe(
      `getty call ${server.address} TestService/Add '{"A":0,"B":0}' --service-version v1.0`,
    );
    const [, ...args] = commandLine.replaceAll("'", '').split(' ');
    expect((await getty(...args, '--json')).stdout).toBe('{"Sum":0}\n');
  });

  test('shows the JSON Schema of a method, and a command that calls it', async () => {
    await using server = await serveGreeter();
    const { stdout } = await getty('describe', server.address, 'Greeter/price');
    expect(stdout.split('\n')).toEqual([
      'Greeter v1 (json)  price: unary, timeout 700 ms',
      '',
      'input: object (a schema of zod)',
      '  FIELD  TYPE    REQUIRED  RULES',
      '  item   string  yes',
      '',
      'output: number (a schema of zod)',
      '',
      `getty call ${server.address} Greeter/price '{"item":""}' --service-version v1`,
      '',
    ]);
    const inJson = await getty('describe', server.address, 'Greeter/price', '--json');
    const [{ methods }] = JSON.parse(inJson.stdout).services;
    expect(methods[0]).toMatchObject({
      input: { jsonSchema: { type: 'object', required: ['item'] } },
      example: { item: '' },
    });
  });

  test('shows nested messages and enums, and an example with them', async () => {
    await using server = await serveGreeter({ introspection: true }, [nestedService()]);
    const { stdout } = await getty('describe', server.address, 'test.nested.Orders/Put');
    expect(stdout).toMatch(/\n {2}items +2 +repeated test\.nested\.Item\n/);
    expect(stdout).toMatch(/\nmessage test\.nested\.Item\n {2}FIELD .*\n {2}name +1 +string\n/);
    expect(stdout).toContain('\nenum test.nested.Color: RED = 0, BLUE = 1\n');
    const commandLine = stdout.trim().split('\n').at(-1) as string;
    const example = JSON.parse(/'(.*)'/.exec(commandLine)?.[1] ?? '');
    expect(example).toEqual({
      item: { name: '', size: 0 },
      items: [{ name: '', size: 0 }],
      color: 'RED',
      id: '0',
      at: '1970-01-01T00:00:00Z',
      tags: {},
    });
    const [, ...args] = commandLine.replaceAll("'", '').split(' ');
    const reply = await getty(...args, '--json');
    expect(JSON.parse(reply.stdout)).toMatchObject({ color: 0, items: [{ name: '' }] });
  });

  test('says that JSON Schema cannot express a schema', async () => {
    const Dates = contract('Dates', { next: unary({ input: z.date(), output: v.string() }) });
    const dates = implement(Dates, { next: String });
    await using server = await serveGreeter({ introspection: true }, [dates]);
    const { stdout } = await getty('describe', server.address, 'Dates/next');
    const unknown = 'whose fields the server does not tell';
    expect(stdout).toContain(`input: a schema of zod, ${unknown}: JSON Schema cannot express it\n`);
    expect(stdout).toContain(`output: a schema of valibot, ${unknown}\n`);
    expect(stdout).toContain('Dates/next JSON\n');
  });

  test('says what the server does not tell', async () => {
    await using server = await serveGreeter();
    const hello = await getty('describe', server.address, 'Greeter/hello');
    expect(hello.stdout).toContain('input: not described; the contract has types, and no schema');
  });

  test('writes JSON with an example of the argument', async () => {
    await using server = await serveGreeter();
    const { stdout } = await getty('describe', server.address, 'TestService/Add', '--json');
    expect(JSON.parse(stdout)).toMatchObject({
      services: [
        {
          name: 'TestService',
          version: 'v1.0',
          codecs: ['json', 'protobuf'],
          methods: [{ name: 'Add', kind: 'unary', example: { A: 0, B: 0 } }],
        },
      ],
    });
  });

  test('asks one node for each service of a registry', async () => {
    await using fleet = openFleet();
    await fleet.provide('a');
    await fleet.provide('b', { introspection: false });
    const { code, stdout } = await getty('describe', fleet.url, '--json');
    expect(code).toBe(0);
    const { services } = JSON.parse(stdout);
    expect(services.map(({ name }: { name: string }) => name)).toEqual(['Greeter']);
    expect((await getty('describe', fleet.url, 'Greter')).stderr).toMatch(/did you mean Greeter\?/);
  });

  test('reports a name that does not exist, with the nearest one', async () => {
    await using server = await serveGreeter();
    expect(await getty('describe', server.address, 'Greter')).toEqual({
      code: 12,
      stdout: '',
      stderr: 'getty describe: UNIMPLEMENTED: there is no service Greter (did you mean Greeter?)\n',
    });
    const { stderr } = await getty('describe', server.address, 'Greeter/helo');
    expect(stderr).toMatch(/Greeter has no method helo \(did you mean hello\?\)/);
  });

  test('reports a server without introspection, such as one of Go', async () => {
    await using server = await serveGreeter({});
    const { code, stderr } = await getty('describe', server.address);
    expect(code).toBe(12);
    expect(stderr).toMatch(/UNIMPLEMENTED: .*\(it needs the option `introspection: true`/);
    await using go = await serveAsGo();
    const lost = await getty('describe', go.address);
    expect(lost.code).toBe(14);
    expect(lost.stderr).toMatch(/servers of Go have no introspection/);
  });
});

test('a server of another protocol is reported by each command', async () => {
  await using server = await listen(freeMemoryAddress(), {
    codec: raw(),
    listener: {
      onOpen: (session) => void session.write(Buffer.from('SSH-2.0-OpenSSH_9.2\r\n'.repeat(9))),
      onMessage() {},
    },
  });
  for (const [command, ...args] of [
    ['describe'],
    ['sessions'],
    ['top'],
    ['call', 'Greeter/hello'],
  ] as const) {
    const { code, stderr } = await getty(command, server.address, ...args);
    expect(stderr).toMatch(
      /^getty \w+: UNAVAILABLE: .*\(the server speaks another protocol: .*\n$/,
    );
    expect(code).toBe(14);
  }
  const doctor = await getty('doctor', server.address);
  expect(doctor.code).toBe(1);
  expect(doctor.stdout).toMatch(/failed +answer: .*another program listens there/);
});

describe('a hostile server', () => {
  const Fake = contract(Introspection.name, { services: unary<void, unknown>() });
  const serveAnswer = (answer: unknown) =>
    serve(freeMemoryAddress(), [implement(Fake, { services: () => answer }), greeter()]);

  test('cannot control the terminal by its names', async () => {
    const evil = '\u001b[31m\u009b\u202e';
    const method = { name: evil, kind: 'unary', idempotent: false, input: { vendor: evil } };
    await using server = await serveAnswer([
      { name: evil, version: evil, codecs: ['json'], methods: [method] },
    ]);
    const escaped = '\\u001b[31m\\u009b\\u202e';
    for (const args of [[], [`${evil}/${evil}`], ['Nope'], ['--json']]) {
      const { stdout, stderr } = await getty('describe', server.address, ...args);
      expect(stdout + stderr).toContain(escaped);
      for (const character of evil.replace(/\[31m/, ''))
        expect(stdout + stderr).not.toContain(character);
    }
  });

  test('cannot control the terminal or the example by its JSON Schema', async () => {
    const evil = '\u001b[31m\u009b\u202e';
    const property = { enum: [evil], default: evil, format: evil, pattern: evil };
    const jsonSchema = { type: 'object', properties: { [evil]: property }, required: [evil] };
    const input = { vendor: 'zod', jsonSchema };
    const method = { name: 'x', kind: 'unary', idempotent: false, input };
    await using server = await serveAnswer([
      { name: 'A', version: '', codecs: ['json'], methods: [method] },
    ]);
    for (const args of [['A/x'], ['A/x', '--json']]) {
      const { code, stdout } = await getty('describe', server.address, ...args);
      expect(code).toBe(0);
      expect(stdout).toContain('\\u001b[31m');
      for (const character of evil.replace(/\[31m/, '')) expect(stdout).not.toContain(character);
    }
  });

  test('cannot fill the terminal by a long name', async () => {
    const name = 'x'.repeat(100_000);
    await using server = await serveAnswer([{ name, version: '', codecs: [], methods: [] }]);
    const { stdout } = await getty('describe', server.address);
    expect(stdout.split('\n')[0]).toHaveLength(160);
  });

  test.each([
    [null],
    ['text'],
    [[null]],
    [[{ name: 1, version: '', codecs: [], methods: [] }]],
    [[{ name: 'A', version: '', codecs: 'json', methods: [] }]],
    [[{ name: 'A', version: '', codecs: [], methods: [{ name: 'x', kind: 'dance' }] }]],
    [[{ name: 'A', version: '', codecs: [], methods: {} }]],
    [
      [
        {
          name: 'A',
          version: '',
          codecs: [],
          methods: [{ name: 'x', kind: 'unary', input: { vendor: 'zod', jsonSchema: [] } }],
        },
      ],
    ],
  ])('that answers %j is reported in one line', async (answer) => {
    await using server = await serveAnswer(answer);
    const { code, stderr } = await getty('describe', server.address);
    expect(code).toBe(13);
    expect(stderr).toMatch(/^getty describe: INTERNAL: the introspection of this server .*\n$/);
  });
});
