/** The admin service of a server. */
import { describe, expect, test } from 'vitest';
import { provide } from '../../../src/micro/index.js';
import { memory } from '../../../src/registries/memory.js';
import {
  Admin,
  auth,
  bearer,
  contract,
  type Interceptor,
  Introspection,
  implement,
  type RpcServerOptions,
  serve,
  unary,
} from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { connectOnce, freeMemoryAddress, Log, TCP } from '../../fixtures/rpc.js';
import { rejection } from '../../fixtures/transports.js';
import { gate, until } from '../../fixtures/waiting.js';

noLeaks();

const Shop = contract('Shop', { wait: unary<void, string>() });

const authenticate = ({ token }: { token: string | undefined }) => {
  if (token === undefined) throw new Error('no token');
  return { subject: token };
};
const operatorOnly = auth({
  authenticate,
  authorize: ({ method, identity }) =>
    method.service !== Admin.name || identity?.subject === 'operator',
});

/** A server with admin and introspection, and an operator that is connected to it. */
async function openServer(options: RpcServerOptions = {}, address = freeMemoryAddress()) {
  const open = gate();
  const wait = async () => {
    await open.promise;
    return 'done';
  };
  const server = await serve(address, [implement(Shop, { wait })], {
    introspection: true,
    admin: true,
    ...options,
  });
  const operator = await connectOnce(server.address);
  return {
    server,
    open: () => open.open(),
    operator,
    admin: operator.stub(Admin),
    sessions: async () => (await operator.stub(Introspection).sessions()).sessions,
    async [Symbol.asyncDispose]() {
      open.open();
      operator.destroy();
      server.destroy();
      await Promise.all([operator.close(), server.close()]);
    },
  };
}

describe('the option admin', () => {
  test.each([
    ['tcp://0.0.0.0:0'],
    ['tcp://[::]:0'],
    ['ws://0.0.0.0:0/path'],
    ['udp://0.0.0.0:0'],
    ['tcp://[::ffff:8.8.8.8]:0'],
    ['tcp://127.evil.example:0'],
    ['tcp://localhost.example:0'],
    ['tcp://192.0.2.1:0'],
  ])('is a BAD_OPTION at %s without authorize', async (address) => {
    const interceptors: Interceptor[] = [auth({ authenticate }), (next) => next];
    for (const options of [{}, { interceptors: [] }, { interceptors }])
      await expect(serve(address, [], { admin: true, ...options })).rejects.toMatchObject({
        code: 'BAD_OPTION',
        message: expect.stringContaining('auth({ authenticate, authorize })'),
      });
  });

  test.each([
    ['tcp://127.0.0.1:0'],
    ['tcp://127.1.2.3:0'],
    ['tcp://[::1]:0'],
    ['tcp://localhost:0'],
    ['ws://LOCALHOST:0/path'],
    ['memory://admin-of-memory'],
    ['unix://@getty-admin-test'],
  ])('needs no authorization at %s', async (address) => {
    const server = await serve(address, [], { admin: true });
    await server.close();
  });

  test('is a BAD_OPTION if one of several addresses needs authorization', async () => {
    const local = freeMemoryAddress();
    await expect(serve([local, 'tcp://0.0.0.0:0'], [], { admin: true })).rejects.toMatchObject({
      code: 'BAD_OPTION',
    });
    await (await serve([local, 'tcp://127.0.0.1:0'], [], { admin: true })).close();
  });

  test('is allowed at all interfaces with authorize', async () => {
    const server = await serve('tcp://0.0.0.0:0', [], {
      admin: true,
      interceptors: [operatorOnly],
    });
    await server.close();
  });

  test('is a BAD_OPTION of provide(), which listens at all interfaces by default', async () => {
    await using registry = memory();
    const services = [implement(Shop, { wait: () => '' })];
    await expect(provide({ registry, services, admin: true })).rejects.toMatchObject({
      code: 'BAD_OPTION',
    });
    expect(await registry.list()).toEqual([]);
  });

  test('is a BAD_OPTION if it is no boolean, or a service has the name', async () => {
    await expect(
      serve(freeMemoryAddress(), [], { admin: 'yes' as unknown as boolean }),
    ).rejects.toMatchObject({ code: 'BAD_OPTION' });
    const own = implement(contract(Admin.name, { drain: unary() }), { drain: () => 'own' });
    await expect(serve(freeMemoryAddress(), [own], { admin: true })).rejects.toMatchObject({
      code: 'BAD_OPTION',
    });
  });

  test('is off by default', async () => {
    await using s = await openServer({ admin: false });
    for (const call of [s.admin.drain(), s.admin.undrain(), s.admin.closeSession({ id: 'x' })])
      expect((await rejection(call)).code).toBe('UNIMPLEMENTED');
  });
});

describe('Admin', () => {
  test('is refused to a caller with the wrong identity', async () => {
    await using s = await openServer({ interceptors: [operatorOnly] }, TCP);
    expect((await rejection(s.admin.drain())).code).toBe('UNAUTHENTICATED');
    await using guest = await connectOnce(s.server.address, { interceptors: [bearer('guest')] });
    const { sessions } = await guest.stub(Introspection).sessions();
    const [{ id } = { id: '' }] = sessions;
    for (const call of [
      guest.stub(Admin).drain(),
      guest.stub(Admin).weight({ weight: 1 }),
      guest.stub(Admin).closeSession({ id }),
    ])
      expect((await rejection(call)).code).toBe('PERMISSION_DENIED');
    expect(s.server.channels.size).toBe(2);
    await using operator = await connectOnce(s.server.address, {
      interceptors: [bearer('operator')],
    });
    expect((await rejection(operator.stub(Admin).drain())).code).toBe('FAILED_PRECONDITION');
    await operator.stub(Admin).closeSession({ id });
    await until(() => s.server.channels.size === 2, 'the session is closed');
  });

  test('says that a server of serve() has nothing to drain', async () => {
    await using s = await openServer();
    for (const call of [s.admin.drain(), s.admin.undrain(), s.admin.weight({ weight: 1 })])
      expect(await rejection(call)).toMatchObject({
        code: 'FAILED_PRECONDITION',
        message: expect.stringContaining('it was started by serve(), not by provide()'),
      });
  });

  test('closes one session after its calls in flight', async () => {
    await using s = await openServer();
    await using client = await connectOnce(s.server.address);
    await using _other = await connectOnce(s.server.address);
    const waiting = client.stub(Shop).wait();
    await until(
      () => [...s.server.channels].some(({ serving }) => serving > 0),
      'a call in flight',
    );
    const before = await s.sessions();
    const victim = before[1];
    expect(await s.admin.closeSession({ id: victim?.id ?? '' })).toEqual({ peer: victim?.peer });
    s.open();
    expect(await waiting).toBe('done');
    await until(() => s.server.channels.size === 2, 'the session is closed');
    const left = (await s.sessions()).map((session) => session.id);
    expect(left).toEqual(before.flatMap((each) => (each === victim ? [] : [each.id])));
    expect((await rejection(s.admin.closeSession({ id: victim?.id ?? '' }))).code).toBe(
      'NOT_FOUND',
    );
  });

  test('closes one session at once', async () => {
    await using s = await openServer();
    await using client = await connectOnce(s.server.address);
    const waiting = rejection(client.stub(Shop).wait());
    await until(
      () => [...s.server.channels].some(({ serving }) => serving > 0),
      'a call in flight',
    );
    const [, victim] = await s.sessions();
    await s.admin.closeSession({ id: victim?.id ?? '', now: true });
    expect((await waiting).code).toBe('UNAVAILABLE');
  });

  test('answers before it closes the session of its caller', async () => {
    await using s = await openServer();
    const [own] = await s.sessions();
    expect(await s.admin.closeSession({ id: own?.id ?? '' })).toEqual({ peer: own?.peer });
    await until(() => s.server.channels.size === 0, 'the session is closed');
  });

  test('finds no session by the id of another server, or a guessed one', async () => {
    await using one = await openServer();
    await using other = await openServer();
    const [{ id } = { id: '' }] = await one.sessions();
    const number = id.replace(/^.*-/, '');
    for (const guess of [
      number,
      `-${number}`,
      `0000000000000000-${number}`,
      '',
      '__proto__',
      `${id}0`,
    ])
      expect((await rejection(one.admin.closeSession({ id: guess }))).code).toBe('NOT_FOUND');
    expect((await rejection(other.admin.closeSession({ id }))).code).toBe('NOT_FOUND');
    expect([one.server.channels.size, other.server.channels.size]).toEqual([1, 1]);
  });

  test.each<[unknown]>([
    [undefined],
    [null],
    ['x'],
    [[]],
    [{}],
    [{ id: 7 }],
    [{ id: 'x'.repeat(1_025) }],
    [{ id: ['x'] }],
    [{ id: 'x', now: 'yes' }],
    [{ id: 'x', other: 1 }],
    [JSON.parse('{"id":"x","__proto__":{}}')],
  ])('refuses the session %j with INVALID_ARGUMENT', async (request) => {
    await using s = await openServer();
    const error = await rejection(s.admin.closeSession(request as never));
    expect(error.code).toBe('INVALID_ARGUMENT');
    expect(error.message.length).toBeLessThan(300);
  });

  test.each<[unknown]>([
    [undefined],
    [{}],
    [{ weight: '5' }],
    [{ weight: -1 }],
    [{ weight: 1.5 }],
    [{ weight: 1_000_001 }],
    [{ weight: null }],
    [{ weight: 1, service: 7 }],
    [{ weight: 1, service: 'x'.repeat(100_000) }],
    [{ weight: 1, service: 'x'.repeat(1_000) }],
    [{ weight: 1, version: 'v1' }],
    [{ weight: 1, codec: 'json' }],
    [{ weight: 1, service: 'Shop', codec: 'xml' }],
    [{ weight: 1, service: 'Shop', codec: 'protobuf' }],
    [{ weight: 1, service: 'Shop', version: 'v9' }],
    [{ weight: 1, ['x'.repeat(100_000)]: 1 }],
  ])('refuses a weight of a provider with INVALID_ARGUMENT', async (request) => {
    await using registry = memory();
    await using provider = await provide({
      registry,
      address: TCP,
      admin: true,
      services: [implement(Shop, { wait: () => '' })],
    });
    await using operator = await connectOnce(provider.address);
    const error = await rejection(operator.stub(Admin).weight(request as never));
    expect(error.code).toBe('INVALID_ARGUMENT');
    expect(error.message.length).toBeLessThan(300);
    expect(provider.nodes[0]?.metadata).toEqual({});
  });

  test('logs each change with its caller', async () => {
    const lines: [object, string][] = [];
    const logger = {
      info: (details: object, message: string) => void lines.push([details, message]),
      warn: () => {},
    };
    await using s = await openServer({ logger, interceptors: [operatorOnly] });
    const metadata = { authorization: 'Bearer operator' };
    const { sessions } = await s.operator.stub(Introspection).sessions(undefined, { metadata });
    const [{ id } = { id: '' }] = sessions;
    await s.admin.closeSession({ id }, { metadata });
    expect(lines).toEqual([
      [
        expect.objectContaining({ identity: 'operator', session: id, now: false }),
        'admin: closeSession',
      ],
    ]);
  });
});

describe('the status of a server', () => {
  test('has its process, its sessions and its refusals', async () => {
    const log = new Log('the server');
    await using s = await openServer({ maxSessions: 1, logger: log, onRefused: () => {} }, TCP);
    const introspection = s.operator.stub(Introspection);
    // On TCP the server accepts the connection before it refuses the peer.
    await connectOnce(s.server.address).then(
      (client) => client.close(),
      () => {},
    );
    await until(() => s.server.refusals.limit > 0, 'a refusal');
    const status = await introspection.status();
    expect(status).toMatchObject({
      sessions: 1,
      refusals: { ...s.server.refusals },
      process: { pid: process.pid, nodeVersion: process.version, version: expect.any(String) },
    });
    expect(Math.abs(status.time - Date.now())).toBeLessThan(60_000);
    expect(status.process.uptime).toBeGreaterThan(0);
    expect(status.process.rss).toBeGreaterThan(status.process.heapUsed / 2);
    expect(status).not.toHaveProperty('provider');
    await until(
      async () => (await introspection.status()).process.eventLoopDelay !== undefined,
      'a measurement of the event loop',
    );
  });

  test('starts no measurement and no timer before the first request', async () => {
    const active = (): string[] => process.getActiveResourcesInfo().sort();
    const before = active();
    const plain = await serve(freeMemoryAddress(), []);
    const plainResources = active();
    const operated = await serve(freeMemoryAddress(), [], { introspection: true, admin: true });
    expect(active()).toEqual(plainResources);
    await Promise.all([plain.close(), operated.close()]);
    expect(active()).toEqual(before);
  });
});
