/** rpc servers at the path of an HTTP server, and their health checks. */
import { expect, it } from 'vitest';
import { provide } from '../../src/micro/index.js';
import { memory } from '../../src/registries/memory.js';
import {
  auth,
  connect,
  contract,
  implement,
  type RpcServerOptions,
  serve,
  unary,
} from '../../src/rpc/index.js';
import type { HttpServerAddress } from '../../src/transport/index.js';
import { createHttpServer, listenHttp } from '../fixtures/http-servers.js';
import { noLeaks } from '../fixtures/leaks.js';
import { LONG_TIMEOUT } from '../fixtures/rpc.js';
import { rejection } from '../fixtures/transports.js';
import { gate, within } from '../fixtures/waiting.js';

noLeaks();

const Greeter = contract('Greeter', { hello: unary<string, string>() });
const greeter = implement(Greeter, { hello: (name) => `hello, ${name}` });

async function statusAt(address: string): Promise<number> {
  const response = await fetch(address.replace(/^ws:/, 'http:').replace(/\/rpc$/, '/healthz'));
  await response.text();
  return response.status;
}

it('serves calls beside the requests of the HTTP server, and drains at close()', async () => {
  await using http = await listenHttp();
  const started = gate();
  const end = gate();
  const slowGreeter = implement(Greeter, {
    async hello(name) {
      started.open();
      await end.promise;
      return `hello, ${name}`;
    },
  });
  const server = await serve({ server: http.server, path: '/rpc' }, [slowGreeter], {
    drainTimeout: LONG_TIMEOUT,
  });
  expect(server.address).toBe(http.at('/rpc'));
  await using client = await connect(server.address, { reconnect: false });
  const call = client.stub(Greeter).hello('Ann', { timeout: LONG_TIMEOUT });
  await started.promise;
  expect(await (await fetch(http.url)).text()).toBe('app /');
  const closed = server.close();
  end.open();
  expect(await call).toBe('hello, Ann');
  await within(closed, 'the server to close');
  expect(http.server.listenerCount('upgrade')).toBe(0);
  expect(await (await fetch(http.url)).text()).toBe('app /');
});

it('admin needs authorization, unless the HTTP server listens at loopback already', async () => {
  const at = (server: HttpServerAddress['server'], options?: RpcServerOptions) =>
    serve({ server, path: '/rpc' }, [greeter], { admin: true, ...options });
  expect(await rejection(at(createHttpServer()))).toMatchObject({ code: 'BAD_OPTION' });
  const ofAll = Object.assign(createHttpServer(), { address: () => ({ address: '::', port: 1 }) });
  expect(await rejection(at(ofAll as never))).toMatchObject({ code: 'BAD_OPTION' });
  const interceptors = [auth({ authenticate: () => ({ subject: 'Ann' }), authorize: () => true })];
  await (await at(createHttpServer(), { interceptors })).close();
  await using http = await listenHttp();
  await (await at(http.server)).close();
  expect(await rejection(at({} as HttpServerAddress['server']))).toMatchObject({
    code: 'BAD_OPTION',
  });
});

it('provide() publishes the address of an HTTP server that listens', async () => {
  await using registry = memory();
  await using http = await listenHttp();
  const address = { server: http.server, path: '/rpc' };
  await using provider = await provide({ registry, services: [greeter], address });
  expect(provider.nodes.map((node) => node.address)).toEqual([http.at('/rpc')]);
  const later = createHttpServer();
  expect(
    await rejection(
      provide({ registry, services: [greeter], address: { server: later, path: '/rpc' } }),
    ),
  ).toMatchObject({
    code: 'BAD_OPTION',
    message: 'address: got an object, expected an HTTP server that listens at a port already',
  });
  expect(later.listenerCount('upgrade')).toBe(0);
});

it('the health check of an rpc server calls isHealthy too', async () => {
  let isHealthy = true;
  await using server = await serve('ws://127.0.0.1:0/rpc', [greeter], {
    websocket: { health: { path: '/healthz', isHealthy: () => isHealthy } },
  });
  expect(await statusAt(server.address)).toBe(200);
  isHealthy = false;
  expect(await statusAt(server.address)).toBe(503);
  expect(
    await rejection(
      serve('ws://127.0.0.1:0', [greeter], {
        websocket: { health: { path: '/', isHealthy: 1 } as never },
      }),
    ),
  ).toMatchObject({ code: 'BAD_OPTION' });
});

it('the health check of a provider answers 503 while it drains', async () => {
  await using registry = memory();
  await using provider = await provide({
    registry,
    services: [greeter],
    address: 'ws://127.0.0.1:0/rpc',
    websocket: { health: '/healthz' },
  });
  expect(await statusAt(provider.address)).toBe(200);
  await provider.drain();
  expect(await statusAt(provider.address)).toBe(503);
  await provider.undrain();
  expect(await statusAt(provider.address)).toBe(200);
});
