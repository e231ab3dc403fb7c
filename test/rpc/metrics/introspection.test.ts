/** The introspection service. */
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { protobufJsonCodec } from '../../../src/rpc/codecs/protobuf/json/json-codec.js';
import {
  auth,
  type Channel,
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
import { DescriptorSets } from '../../../src/rpc/metrics/descriptor-set.js';
import { withIntrospection } from '../../../src/rpc/metrics/introspection.js';
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
      peer: peers[0],
      extended: true,
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

  test('reports as many sessions as the limit permits within the defaults of a client', async () => {
    const limit = 3_000;
    const counts = { started: 9_999_999_999, succeeded: 9_999_999_999, failed: 9_999_999_999 };
    // Linux permits paths of Unix sockets up to 107 bytes.
    const peer = `unix://${'/'.padEnd(107, 'a')}#10000000`;
    const channel = { peer, extended: false, pending: 65_536, serving: 65_536 };
    const statistics = { calls: counts, served: counts };
    const channels = Array.from({ length: limit + 1 }, () => ({ ...channel, statistics }));
    const services = withIntrospection(
      [],
      new Set(channels as unknown as Channel[]),
      new RpcCounters(),
      new DescriptorSets([]),
    );
    await using s = await openShop({}, services);
    const { total, sessions } = await s.introspection.sessions({ limit });
    expect([total, sessions.length]).toEqual([limit + 1, limit]);
    expect(sessions[limit - 1]).toEqual({ ...channel, calls: counts, served: counts });
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
