/** Nodes and registries that say what they like cost the console a limited amount. */
import { once } from 'node:events';
import { createServer, connect as dial, type Socket } from 'node:net';
import { create, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { describe, expect, onTestFinished, test } from 'vitest';
import { exampleOf, formSchemaOf } from '../../../src/cli/console/call/form-schema.js';
import { SchemaLimit } from '../../../src/cli/console/call/schema-limit.js';
import { consoleService } from '../../../src/cli/console/console-service.js';
import { ConsoleContract } from '../../../src/cli/console/contract.js';
import { EventLog } from '../../../src/cli/console/fleet/event-log.js';
import { Fleet } from '../../../src/cli/console/fleet/fleet.js';
import { ConsoleServer } from '../../../src/cli/console/http/console-server.js';
import { MAX_MESSAGE_BYTES } from '../../../src/cli/console/limits.js';
import type { FormSchema } from '../../../src/cli/console/types.js';
import {
  connect,
  contract,
  implement,
  type MessageDescription,
  serve,
  unary,
} from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { until, within } from '../../fixtures/waiting.js';
import { openConsole, startTerminal, stateOf, Watch } from './open-console.js';

noLeaks();

const Fake = contract('getty.Introspection', {
  services: unary<unknown, unknown>(),
  statistics: unary<unknown, unknown>(),
  sessions: unary<unknown, unknown>(),
  descriptors: unary<unknown, unknown>(),
});

interface Answers {
  readonly services?: () => unknown;
  readonly statistics?: () => unknown;
  readonly sessions?: () => unknown;
  readonly descriptors?: () => unknown;
}

/** A server that answers the questions of the console with `answers`. */
function serveLies({
  services = () => [],
  statistics = () => ({ since: 1, calls: [], served: [] }),
  sessions = () => ({ total: 0, sessions: [] }),
  descriptors = () => ({ fileDescriptorSet: '' }),
}: Answers) {
  return serve('tcp://127.0.0.1:0', [
    implement(Fake, { services, statistics, sessions, descriptors }),
  ]);
}

const LATENCY = { count: 0, sum: 0, mean: 0, p50: 0, p90: 0, p99: 0, max: 0 };
const method = (name: string) => ({
  service: name,
  version: '\u202e<b>v</b>',
  method: '<img src=x onerror=alert(1)>\u001b[2J',
  started: 0,
  succeeded: 0,
  failed: {},
  inFlight: 0,
  bytesSent: 0,
  bytesReceived: 0,
  latency: LATENCY,
});
const COUNTS = { started: 0, succeeded: 0, failed: 0 };
const session = (peer: string) => ({
  peer,
  id: peer,
  age: 1,
  bytesRead: 0,
  bytesWritten: 0,
  queuedBytes: 0,
  pending: 0,
  serving: 0,
  calls: COUNTS,
  served: COUNTS,
});

const countTo = (count: number): number[] => Array.from({ length: count }, (_, at) => at);
const unaryMethod = (at: number, input: object) => ({
  name: `m${at}`,
  kind: 'unary',
  idempotent: true,
  input,
});

/** An object with many properties that refer to one part. */
const referring = (part: object): object => ({
  type: 'object',
  properties: Object.fromEntries(countTo(390).map((at) => [`p${at}`, { $ref: '#/$defs/part' }])),
  $defs: { part },
});

const WIDE_DESCRIPTORS = Buffer.from(
  toBinary(
    FileDescriptorSetSchema,
    create(FileDescriptorSetSchema, {
      file: [
        {
          name: 'a.proto',
          package: 'a',
          syntax: 'proto3',
          enumType: [
            { name: 'E', value: countTo(400).map((number) => ({ name: `V${number}`, number })) },
          ],
          messageType: [
            {
              name: 'M',
              field: countTo(400).map((at) => ({
                name: `f${at}`,
                jsonName: `f${at}`,
                number: at + 1,
                label: 1,
                type: 14,
                typeName: '.a.E',
              })),
            },
          ],
        },
      ],
    }),
  ),
).toString('base64');

/** Answers of a few hundred KB that describe hundreds of MB. */
const REPEATED_PARTS: [string, { methods: object[]; descriptors?: string }][] = [
  [
    'references to one list of required names',
    {
      methods: [
        unaryMethod(0, {
          vendor: 'x',
          jsonSchema: referring({
            type: 'object',
            required: countTo(400).map((at) => `${'r'.repeat(1_000)}${at}`),
          }),
        }),
      ],
    },
  ],
  [
    'references to one enum',
    {
      methods: [
        unaryMethod(0, {
          vendor: 'x',
          jsonSchema: referring({ enum: countTo(400).map((at) => `${'v'.repeat(250)}${at}`) }),
        }),
      ],
    },
  ],
  [
    'those of one Protobuf message for many methods',
    {
      methods: countTo(50).map((at) => unaryMethod(at, { vendor: 'protobuf', type: 'a.M' })),
      descriptors: WIDE_DESCRIPTORS,
    },
  ],
];

async function look(answers: Answers) {
  const server = await serveLies(answers);
  const console = await openConsole(server.address);
  const page = await console.connect();
  const watch = Watch.open(page.stub);
  return {
    page,
    watch,
    async [Symbol.asyncDispose]() {
      watch[Symbol.dispose]();
      page[Symbol.dispose]();
      await console[Symbol.asyncDispose]();
      server.destroy();
      await server.close();
    },
  };
}

describe('a hostile node', () => {
  test('with endless names and control characters has short, printable ones', async () => {
    const name = `<script>alert(1)</script>\u0000${'x'.repeat(50_000)}`;
    await using open = await look({
      services: () => [{ name, version: 'v\n', codecs: ['json'], methods: [] }],
      statistics: () => ({ since: 1, calls: [], served: [method(name)] }),
    });
    const { services, nodes } = await open.watch.until((update) => update.services.length > 0);
    expect(services[0]?.name.length).toBeLessThanOrEqual(160);
    expect(services[0]?.name).toContain('\\u0000');
    expect(services[0]?.version).toBe('v\\u000a');
    // A method without a description is known from its second count on.
    await open.watch.until(() => true);
    await open.watch.until(() => true);
    const { methods } = await open.page.stub.node({ key: nodes[0]?.key ?? '' });
    expect(methods[0]).toMatchObject({
      version: '\\u202e<b>v</b>',
      method: '<img src=x onerror=alert(1)>\\u001b[2J',
    });
  });

  test('with thousands of services, methods and sessions shows some of them', async () => {
    const many = (count: number): string[] => Array.from({ length: count }, (_, at) => `n${at}`);
    await using open = await look({
      services: () =>
        many(900).map((name) => ({
          name,
          version: '',
          codecs: [],
          methods: many(9).map((each) => ({ name: each, kind: 'unary', idempotent: true })),
        })),
      statistics: () => ({ since: 1, calls: [], served: many(900).map(method) }),
      sessions: () => ({ total: 1_000_000, sessions: many(1_000).map(session) }),
    });
    const { nodes } = await open.watch.until((update) => stateOf(update, 'server') === 'up');
    const { services } = await open.watch.until((update) => update.services.length > 0);
    expect(services.length).toBeLessThanOrEqual(200);
    const detail = await open.page.stub.node({ key: nodes[0]?.key ?? '' });
    expect(detail.totalSessions).toBe(1_000_000);
    expect(detail.sessions.length).toBeLessThanOrEqual(200);
    expect(detail.methods.length).toBeLessThanOrEqual(300);
  });

  test.each(REPEATED_PARTS)(
    'whose schemas are %s has methods without a form',
    async (_, { methods, descriptors }) => {
      await using open = await look({
        services: () => [{ name: 'a.S', version: '', codecs: ['json'], methods }],
        descriptors: () => ({ fileDescriptorSet: descriptors ?? '' }),
      });
      const { nodes } = await open.watch.until((update) => stateOf(update, 'server') === 'up');
      const rows = await open.page.stub.methods({ node: nodes[0]?.key ?? '' });
      expect(rows).toHaveLength(methods.length);
      expect(rows.at(-1)?.input).toBeUndefined();
      expect(JSON.stringify(rows).length).toBeLessThan(2 ** 20);
    },
  );

  test.each([
    ['garbage', () => 'garbage'],
    ['a huge answer', () => 'x'.repeat(2 ** 20)],
    ['deep JSON', () => JSON.parse(`${'['.repeat(99)}${']'.repeat(99)}`)],
    ['numbers that are none', () => ({ since: 'now', served: [] })],
  ])('that answers with %s has no introspection', async (_, statistics) => {
    await using open = await look({ statistics });
    const { nodes } = await open.watch.until((update) =>
      ['silent', 'unreachable'].includes(stateOf(update, 'server') ?? ''),
    );
    expect(nodes[0]?.reason.length).toBeLessThanOrEqual(200);
  });

  test('that never answers is unreachable, and the others are asked meanwhile', async () => {
    await using open = await look({ statistics: () => new Promise(() => {}) });
    const first = await open.watch.next();
    expect(first.type).toBe('start');
    const { nodes } = await open.watch.until(
      (update) => stateOf(update, 'server') === 'unreachable',
    );
    expect(nodes[0]?.reason).toBe('it does not answer within 2 s');
    const updates = open.watch.messages.filter(({ type }) => type === 'update');
    // The seconds went on while the node did not answer.
    expect(updates.length).toBeGreaterThanOrEqual(3);
  });

  test('that speaks another protocol is unreachable', async () => {
    // Its first bytes are no frame of rpc.
    const other = createServer((socket) =>
      socket.on('error', () => {}).on('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')),
    );
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as { port: number };
    {
      await using console = await openConsole(`tcp://127.0.0.1:${port}`);
      using page = await console.connect();
      using watch = Watch.open(page.stub);
      const { nodes } = await watch.until((update) => stateOf(update, 'server') === 'unreachable');
      expect(nodes[0]?.reason).toBe('it has another protocol');
    }
    await new Promise((resolve) => other.close(resolve));
  });
});

describe('a hostile client', () => {
  /** Sends `request`, and never closes its side. */
  function send(url: string, request: string): Socket {
    const { port, host } = new URL(url);
    const socket = dial({ port: Number(port), host: '127.0.0.1', allowHalfOpen: true });
    socket.on('error', () => {});
    socket.write(`${request}\r\nHost: ${host}\r\n`);
    return socket;
  }

  test('that keeps refused WebSockets open does not lock the console', async () => {
    await using server = await serveLies({});
    await using console = await openConsole(server.address);
    const sockets = Array.from({ length: 200 }, () => {
      const socket = send(console.url, 'GET /rpc HTTP/1.1');
      socket.write('Connection: Upgrade\r\nUpgrade: websocket\r\nOrigin: http://evil\r\n\r\n');
      return socket;
    });
    const answers = await Promise.all(sockets.map((socket) => once(socket, 'data')));
    for (const [answer] of answers) expect(String(answer)).toMatch(/^HTTP\/1\.1 403 /);
    // None of the 200 sockets, the most that the console accepts, has closed its side.
    await until(
      () =>
        fetch(console.url).then(
          ({ status }) => status === 200,
          () => false,
        ),
      'an answer',
      5_000,
    );
    for (const socket of sockets) socket.destroy();
  });

  test('that sends half a request, reads nothing, or has a silent WebSocket is closed', async () => {
    using server = await ConsoleServer.start(
      implement(contract('Echo', { echo: unary() }), { echo: () => undefined }),
      {
        listen: { host: '127.0.0.1', port: 0 },
        hosts: [],
        needsToken: false,
        httpTimeout: 200,
        socketTimeout: 200,
      },
    );
    const { origin, host } = new URL(server.url);
    const half = send(server.url, 'GET / HTTP/1.1');
    const silent = send(server.url, 'GET /rpc HTTP/1.1');
    silent.write(`Connection: Upgrade\r\nUpgrade: websocket\r\nOrigin: ${origin}\r\n`);
    silent.write(
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    );
    const [answer] = await within(once(silent, 'data'), 'the answer');
    expect(String(answer)).toMatch(/^HTTP\/1\.1 101 /);
    // It reads none of its answers, which are more than the system keeps.
    const unread = send(server.url, 'GET / HTTP/1.1').pause();
    const rest = `GET /page.js HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
    unread.write(`\r\n${rest.repeat(500)}`);
    await Promise.all(
      [half, silent].map((each) => within(once(each.resume(), 'end'), 'the end of a connection')),
    );
    await until(() => {
      if (!unread.destroyed) unread.write('x');
      return unread.destroyed;
    }, 'the reset of the third one');
    for (const each of [half, silent, unread]) each.destroy();
  });
});

test('a registry with thousands of nodes shows some of them, and says how many are left out', () => {
  using fleet = new Fleet({ kind: 'registry', url: 'file:///srv' }, {}, startTerminal());
  fleet.follow(
    Array.from({ length: 3_000 }, (_, at) => ({
      id: `n${at}`,
      service: `s${at}`,
      group: '',
      version: '',
      protocol: 'json' as const,
      address: `tcp://10.0.0.1:${at + 1}`,
      metadata: {},
    })),
  );
  const { nodes, omitted } = fleet.update();
  expect({ nodes: nodes.length, omitted }).toEqual({ nodes: 500, omitted: 2_500 });
});

test('a page receives the most nodes with the most services', async () => {
  const terminal = startTerminal();
  using fleet = new Fleet({ kind: 'registry', url: 'file:///srv' }, {}, terminal);
  fleet.follow(
    countTo(500 * 50).map((at) => ({
      id: `node-${at % 500}`,
      service: `org.example.shop.v1.Service${Math.floor(at / 500)}`,
      group: 'north',
      version: 'v1',
      protocol: 'json' as const,
      address: `tcp://10.0.0.1:${1 + (at % 500)}`,
      metadata: {},
    })),
  );
  using server = await ConsoleServer.start(consoleService(fleet, {}, terminal), {
    listen: { host: '127.0.0.1', port: 0 },
    hosts: [],
    needsToken: false,
  });
  const { host, origin } = new URL(server.url);
  // As the page connects.
  const client = await connect(`ws://${host}/rpc`, {
    reconnect: false,
    session: { maxMessageBytes: MAX_MESSAGE_BYTES },
    maxDecodedObjects: 1_000_000,
    websocket: { headers: { Origin: origin } },
  });
  onTestFinished(() => client.destroy());
  using watch = Watch.open(client.stub(ConsoleContract));
  const { nodes } = await watch.until(() => true);
  expect(nodes).toHaveLength(500);
  expect(nodes.every(({ services }) => services.length === 50)).toBe(true);
});

test('events have a limited number and length', () => {
  const log = new EventLog();
  for (let at = 0; at < 5_000; at++)
    log.add({ kind: 'node', level: 'info', text: `${at}\n${'x'.repeat(10_000)}` });
  const events = log.since(0);
  expect(events.length).toBeLessThanOrEqual(1_000);
  expect(events[0]?.text.length).toBeLessThanOrEqual(300);
  expect(events.at(-1)?.text).toMatch(/too many events/);
  expect(log.since(log.last)).toEqual([]);
});

describe('the schema of a form', () => {
  const form = (jsonSchema: object) => formSchemaOf({ vendor: 'x', jsonSchema }, new SchemaLimit());
  const sizeOf = (schema: FormSchema): number =>
    1 + Object.values(schema.properties ?? {}).reduce((sum, each) => sum + sizeOf(each), 0);

  test('has a limited size, also if the given one contains itself', () => {
    const wide = Object.fromEntries(
      Array.from({ length: 9_000 }, (_, at) => [`p${at}`, { type: 'string' }]),
    );
    expect(sizeOf(form({ type: 'object', properties: wide }) as FormSchema)).toBeLessThan(500);
    const self = { $ref: '#/$defs/a' };
    const endless = { ...self, $defs: { a: { type: 'object', properties: { a: self, b: self } } } };
    expect(sizeOf(form(endless) as FormSchema)).toBeLessThan(500);
    expect(form({ $ref: '#' })).toEqual({});
  });

  test('of Protobuf has no more levels than a list, also for a type of many', () => {
    const type = `${'repeated '.repeat(50_000)}int32`;
    const schema = formSchemaOf(
      { vendor: 'protobuf', fields: [{ name: 'a', number: 1, type }] },
      new SchemaLimit(),
    );
    expect(schema?.properties?.a).toMatchObject({ type: 'array', items: { type: 'object' } });
  });

  test.each<[object, FormSchema]>([
    [{ type: ['string', 'null'] }, { type: 'string' }],
    [{ anyOf: [{ type: 'null' }, { type: 'integer' }] }, { type: 'integer' }],
    [{ enum: ['a', { b: 1 }, 2] }, { enum: ['a', 2] }],
    [{ const: 'x' }, { enum: ['x'] }],
    [
      { type: 'array', items: { type: 'number' } },
      { type: 'array', items: { type: 'number' } },
    ],
    [{ type: 'nonsense', properties: 5 }, {}],
  ])('of %j', (given, expected) => expect(form(given)).toMatchObject(expected));

  test('of Protobuf has the JSON types of its fields', () => {
    const fields: MessageDescription['fields'] = [
      { name: 'id', number: 1, type: 'int64' },
      { name: 'tags', number: 2, type: 'repeated string' },
      { name: 'item', number: 3, type: 'shop.Item' },
    ];
    const schema = formSchemaOf({ vendor: 'protobuf', fields }, new SchemaLimit());
    expect(schema?.properties).toMatchObject({
      id: { type: 'string' },
      tags: { type: 'array', items: { type: 'string' } },
      item: { type: 'object' },
    });
    expect(JSON.stringify(exampleOf(schema))).toBe('{"id":"","tags":[],"item":{}}');
  });
});
