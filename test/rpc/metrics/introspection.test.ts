/** The introspection service. */
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { protobufJsonCodec } from '../../../src/rpc/codecs/protobuf/json/json-codec.js';
import {
  auth,
  contract,
  Introspection,
  implement,
  oneway,
  type RpcServerOptions,
  type Service,
  type SessionsRequest,
  serve,
  serverStream,
  unary,
} from '../../../src/rpc/index.js';
import {
  type IntrospectionSource,
  withIntrospection,
} from '../../../src/rpc/metrics/introspection.js';
import { type ReportedChannel, sessionsReport } from '../../../src/rpc/metrics/session-report.js';
import { RpcCounters } from '../../../src/rpc/metrics/statistics.js';
import { noLeaks } from '../../fixtures/leaks.js';
import {
  ListsSchema,
  MapValuesSchema,
  OneofsSchema,
  ScalarsSchema,
} from '../../fixtures/protobuf/proto3_pb.js';
import { RawPeer } from '../../fixtures/raw-peer.js';
import { connectOnce, freeMemoryAddress, testService } from '../../fixtures/rpc.js';
import { gate, until } from '../../fixtures/waiting.js';

noLeaks();

import { rejection } from '../../fixtures/transports.js';

const Shop = contract(
  'Shop',
  {
    price: unary({
      input: z.object({ item: z.string() }),
      output: z.number(),
      idempotent: true,
      timeout: 700,
    }),
    wait: unary<void, string>(),
    tell: oneway<string>(),
    list: serverStream<number, string>(),
  },
  { version: 'v2' },
);

function shopService(open: Promise<void> = Promise.resolve()): Service {
  return implement(Shop, {
    price: ({ item }) => item.length,
    async wait() {
      await open;
      return 'done';
    },
    tell() {},
    list: () => [],
  });
}

async function openShop(
  options: RpcServerOptions = { introspection: true },
  services: readonly Service[] = [shopService()],
) {
  const server = await serve(freeMemoryAddress(), services, options);
  const client = await connectOnce(server.address);
  return {
    server,
    client,
    introspection: client.stub(Introspection),
    shop: client.stub(Shop),
    async [Symbol.asyncDispose]() {
      client.destroy();
      server.destroy();
      await Promise.all([client.close(), server.close()]);
    },
  };
}

describe('Introspection', () => {
  test('is absent unless the option is set', async () => {
    for (const options of [{}, { introspection: false }]) {
      await using s = await openShop(options);
      for (const call of [
        s.introspection.services(),
        s.introspection.statistics(),
        s.introspection.sessions(),
      ]) {
        expect((await rejection(call)).code).toBe('UNIMPLEMENTED');
      }
    }
  });

  test('reports services, methods and messages', async () => {
    await using s = await openShop({ introspection: true }, [shopService(), testService()]);
    const [shop, demo, introspection, ...others] = await s.introspection.services();
    expect(others).toEqual([]);
    expect(shop).toEqual({
      name: 'Shop',
      version: 'v2',
      codecs: ['json'],
      methods: [
        {
          name: 'price',
          kind: 'unary',
          idempotent: true,
          timeout: 700,
          input: {
            vendor: 'zod',
            jsonSchema: {
              $schema: 'https://json-schema.org/draft/2020-12/schema',
              type: 'object',
              properties: { item: { type: 'string' } },
              required: ['item'],
            },
          },
          output: {
            vendor: 'zod',
            jsonSchema: {
              $schema: 'https://json-schema.org/draft/2020-12/schema',
              type: 'number',
            },
          },
        },
        { name: 'wait', kind: 'unary', idempotent: false },
        { name: 'tell', kind: 'oneway', idempotent: false },
        { name: 'list', kind: 'serverStream', idempotent: false },
      ],
    });
    expect(demo).toMatchObject({ version: 'v1.0', codecs: ['protobuf', 'json'] });
    const add = demo?.methods.find(({ name }) => name === 'Add');
    expect(add?.input).toMatchObject({
      vendor: 'protobuf',
      fields: [{ name: 'A', number: 1, type: 'int32' }, {}],
    });
    const event = demo?.methods.find(({ name }) => name === 'Event');
    expect(event).toMatchObject({ kind: 'oneway', input: { vendor: 'protobuf' } });
    expect(event?.output).toBeUndefined();
    expect(introspection).toMatchObject({
      name: 'getty.Introspection',
      version: '',
      methods: [
        { name: 'services' },
        { name: 'statistics' },
        { name: 'sessions' },
        { name: 'status' },
        { name: 'descriptors' },
      ],
    });
  });

  test('reports the fields of Protobuf messages as a .proto file declares them', () => {
    const typesOf = (schema: Parameters<typeof protobufJsonCodec>[0]) =>
      protobufJsonCodec(schema)
        .describe?.()
        .fields?.map(({ type }) => type) ?? [];
    expect(typesOf(ScalarsSchema)).toEqual(
      expect.arrayContaining(['double', 'int64', 'sfixed32', 'bool', 'string', 'bytes']),
    );
    expect(typesOf(ListsSchema)).toEqual(
      expect.arrayContaining([
        'repeated double',
        'repeated getty.test.proto3.Color',
        'repeated getty.test.proto3.Small',
      ]),
    );
    expect(typesOf(MapValuesSchema)).toEqual(
      expect.arrayContaining(['map<string, double>', 'map<string, getty.test.proto3.Small>']),
    );
    const { vendor, type, fields = [] } = protobufJsonCodec(OneofsSchema).describe?.() ?? {};
    expect([vendor, type]).toEqual(['protobuf', OneofsSchema.typeName]);
    expect(fields.some(({ oneof }) => oneof !== undefined)).toBe(true);
    for (const { name, number } of fields)
      expect(OneofsSchema.fields.find((field) => field.name === name)?.number).toBe(number);
  });

  test('reports statistics as JSON', async () => {
    await using s = await openShop();
    for (const item of ['a', 'bb']) await s.shop.price({ item });
    await rejection(s.shop.price({ item: 7 as unknown as string }));
    const { since, calls, served } = await s.introspection.statistics();
    expect(since).toBe(s.server.statistics().since);
    expect(calls).toEqual([]);
    const [price, introspection] = served;
    expect(price).toMatchObject({
      service: 'Shop',
      method: 'price',
      started: 3,
      succeeded: 2,
      failed: { INVALID_ARGUMENT: 1 },
      inFlight: 0,
    });
    expect(Object.keys(price?.latency ?? {}).sort()).toEqual([
      'count',
      'max',
      'mean',
      'p50',
      'p90',
      'p99',
      'sum',
    ]);
    expect(introspection).toMatchObject({
      service: 'getty.Introspection',
      started: 1,
      inFlight: 1,
    });
  });

  test('reports buckets of latencies only if the request asks for them', async () => {
    await using s = await openShop();
    for (let call = 0; call < 40; call++) await s.shop.price({ item: 'a' });
    expect(await s.introspection.statistics({ buckets: false })).not.toHaveProperty('limits');
    const { limits = [], served } = await s.introspection.statistics({ buckets: true });
    const { count, buckets = [] } = served[0]?.latency ?? { count: 0 };
    expect(limits).toHaveLength(89);
    // One quick call in 16 is timed.
    expect(count).toBeGreaterThan(20);
    expect(buckets.at(-1)).toBe(count);
    expect(buckets.length).toBeLessThanOrEqual(limits.length);
    expect(
      (await rejection(s.introspection.statistics({ buckets: 'yes' as unknown as boolean }))).code,
    ).toBe('INVALID_ARGUMENT');
  });

  test('reports sessions, up to the limit of the request', async () => {
    const open = gate();
    await using s = await openShop({ introspection: true }, [shopService(open.promise)]);
    await using rawPeer = await RawPeer.connect(s.server.address);
    const waiting = s.shop.wait();
    await until(
      () => [...s.server.channels].some(({ serving }) => serving === 1),
      'the server handles the call',
    );
    await until(() => s.server.channels.size === 2, 'both peers are connected');
    const { total, sessions } = await s.introspection.sessions();
    expect(total).toBe(2);
    const peers = [...s.server.channels].map(({ peer }) => peer);
    expect(sessions.map(({ peer }) => peer)).toEqual(peers);
    expect(sessions[0]).toEqual({
      id: expect.stringMatching(/^[0-9a-f]{16}-\d+$/),
      peer: peers[0],
      extended: true,
      age: expect.any(Number),
      bytesRead: expect.any(Number),
      bytesWritten: expect.any(Number),
      queuedBytes: 0,
      pending: 0,
      serving: 1,
      calls: { started: 0, succeeded: 0, failed: 0 },
      served: { started: 2, succeeded: 0, failed: 0 },
    });
    expect(sessions[1]).not.toHaveProperty('extended');
    expect(rawPeer.errors).toEqual([]);
    expect((await s.introspection.sessions({ limit: 1 })).sessions.map(({ peer }) => peer)).toEqual(
      peers.slice(0, 1),
    );
    expect(await s.introspection.sessions({ limit: 0 })).toEqual({ total: 2, sessions: [] });
    open.open();
    await waiting;
  });

  test.each([
    ['short', 'tcp://10.20.30.40:50100', undefined, 2_700],
    // Linux permits paths of Unix sockets up to 107 bytes.
    ['long', `unix://${'/'.padEnd(107, 'a')}#10000000`, 'Ä'.repeat(300), 1_000],
    ['escaped', `unix://${'/'.padEnd(107, 'a')}#10000000`, '\u0000'.repeat(300), 1_000],
  ])('reports sessions with %s names within the defaults of a client', async (...row) => {
    const [, peer, subject, least] = row;
    const counts = { started: 9_999_999_999, succeeded: 9_999_999_999, failed: 9_999_999_999 };
    const bytes = { bytesRead: 1e15, bytesWritten: 1e15, queuedBytes: 1e9 };
    const channel = { peer, subject, extended: false, pending: 65_536, serving: 65_536, age: 1e12 };
    const channels = Array.from({ length: 3_001 }, (_, index) => ({
      ...channel,
      sessionNumber: 1e7 + index,
      statistics: { calls: counts, served: counts, ...bytes },
    })) as unknown as ReportedChannel[];
    const source: IntrospectionSource = {
      counters: new RpcCounters(),
      sessions: (request) => sessionsReport('0123456789abcdef', new Set(channels), request),
      status: () => expect.fail('not called'),
      descriptors: () => expect.fail('not called'),
    };
    await using s = await openShop({}, withIntrospection([], source));
    const { total, sessions } = await s.introspection.sessions({ limit: 3_000 });
    expect(total).toBe(3_001);
    expect(sessions.length).toBeGreaterThanOrEqual(least);
    expect(sessions[0]).toMatchObject({ peer, age: 1e12, calls: counts, ...bytes });
    expect(sessions[0]?.identity?.length).toBe(subject === undefined ? undefined : 64);
  });

  test('reports the identity that auth() accepted last, and the traffic of a session', async () => {
    const authenticate = ({ token }: { token: string | undefined }) => {
      if (token === undefined) throw new Error('no');
      return { subject: token };
    };
    await using s = await openShop({ introspection: true, interceptors: [auth({ authenticate })] });
    const as = (token: string) => ({ metadata: { authorization: `Bearer ${token}` } });
    const first = await s.introspection.sessions(undefined, as('anna'));
    expect(first.sessions[0]).toMatchObject({ identity: 'anna' });
    await rejection(s.introspection.sessions());
    expect([...s.server.channels][0]?.subject).toBe('anna');
    const second = (await s.introspection.sessions(undefined, as('bert'))).sessions[0];
    expect(second).toMatchObject({ id: first.sessions[0]?.id, identity: 'bert' });
    expect(second?.age).toBeGreaterThanOrEqual(first.sessions[0]?.age as number);
    expect(second?.bytesRead).toBeGreaterThan(first.sessions[0]?.bytesRead as number);
    expect(second?.bytesWritten).toBeGreaterThan(first.sessions[0]?.bytesWritten as number);
  });

  test.each<[unknown]>([
    [{ limit: 3_001 }],
    [{ limit: -1 }],
    [{ limit: 0.5 }],
    [{ limit: '5' }],
    [{ limit: null }],
  ])('refuses an invalid limit with INVALID_ARGUMENT: %j', async (request) => {
    await using s = await openShop();
    expect((await rejection(s.introspection.sessions(request as SessionsRequest))).code).toBe(
      'INVALID_ARGUMENT',
    );
  });

  test.each<[unknown, string]>([
    [{ service: 'Nope' }, 'NOT_FOUND'],
    [{ service: '__proto__' }, 'NOT_FOUND'],
    [{ service: 5 }, 'INVALID_ARGUMENT'],
    [{ service: null }, 'INVALID_ARGUMENT'],
    [{ service: {} }, 'INVALID_ARGUMENT'],
  ])('refuses to describe services that it does not have: %j', async (request, code) => {
    await using s = await openShop();
    expect((await rejection(s.introspection.services(request as object))).code).toBe(code);
  });

  test('runs behind the interceptors like each service', async () => {
    const authenticate = ({ token }: { token: string | undefined }) => {
      if (token !== 'sesame') throw new Error('no');
      return { subject: 'anna' };
    };
    await using s = await openShop({ introspection: true, interceptors: [auth({ authenticate })] });
    for (const call of [
      s.introspection.services(),
      s.introspection.statistics(),
      s.introspection.sessions(),
      s.introspection.status(),
    ]) {
      expect((await rejection(call)).code).toBe('UNAUTHENTICATED');
    }
    const metadata = { authorization: 'Bearer sesame' };
    expect(await s.introspection.services(undefined, { metadata })).toHaveLength(2);
  });

  test('throws BAD_OPTION when a service has its name', async () => {
    const ownService = implement(
      contract('getty.Introspection', { services: unary() }, { version: 'v7' }),
      { services: () => 'own' },
    );
    await expect(
      serve(freeMemoryAddress(), [ownService], { introspection: true }),
    ).rejects.toMatchObject({
      code: 'BAD_OPTION',
    });
    const server = await serve(freeMemoryAddress(), [ownService]);
    await server.close();
    await expect(
      serve(freeMemoryAddress(), [], { introspection: 'yes' as unknown as boolean }),
    ).rejects.toMatchObject({ code: 'BAD_OPTION' });
    await expect(
      serve(freeMemoryAddress(), {} as Service[], { introspection: true }),
    ).rejects.toMatchObject({ code: 'BAD_OPTION' });
  });
});
