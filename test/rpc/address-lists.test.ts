/** Servers, clients and providers with several addresses. */
import { expect, it } from 'vitest';
import { consume, provide } from '../../src/micro/index.js';
import { memory } from '../../src/registries/memory.js';
import { staticRegistry } from '../../src/registries/static/index.js';
import { connect, serve } from '../../src/rpc/index.js';
import { ADDRESS, Greeter, greeter } from '../fixtures/greeter.js';
import { noLeaks } from '../fixtures/leaks.js';
import { freeMemoryAddress } from '../fixtures/rpc.js';
import { until } from '../fixtures/waiting.js';

noLeaks();

it('a server answers at all its addresses', async () => {
  await using server = await serve([ADDRESS, 'ws://127.0.0.1:0'], [greeter('a')]);
  expect(server.addresses.length).toBe(2);
  expect(server.address).toBe(server.addresses[0]);
  for (const address of server.addresses) {
    await using client = await connect(address);
    expect(await client.stub(Greeter).hello('x')).toBe('a: x');
  }
});

it('a client calls the next server when its server closes', async () => {
  const first = await serve(freeMemoryAddress(), [greeter('first')]);
  await using second = await serve(freeMemoryAddress(), [greeter('second')]);
  const addresses = [freeMemoryAddress(), first.address, second.address];
  const reconnect = { initialDelay: 1 };
  await using client = await connect(addresses, { reconnect });
  expect(client.addresses).toEqual(addresses);
  const { hello } = client.stub(Greeter);
  expect(await hello('x')).toBe('first: x');
  await first.close();
  // The session was open for less than a second, so calls fail until the next attempt begins.
  const answer = (): Promise<string> => hello('x').catch((error) => error.code);
  await until(async () => (await answer()) === 'second: x', 'the second server answers');
  expect(client.reconnectAttempts).toBe(0);
});

it('a client counts its attempts, and names all addresses in errors of calls', async () => {
  const server = await serve(freeMemoryAddress(), [greeter('a')]);
  const unused = freeMemoryAddress();
  const reconnect = { initialDelay: 1, maxDelay: 2 };
  await using client = await connect([server.address, unused], { reconnect });
  await server.close();
  await until(() => client.reconnectAttempts > 2, 'the client has tried three times');
  const failure = client.stub(Greeter).hello('x');
  await expect(failure).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  await expect(failure).rejects.toThrow(`no session with ${server.address}, ${unused}: `);
});

it('a provider listens at all its addresses, and publishes the first', async () => {
  await using registry = memory();
  const address = [ADDRESS, freeMemoryAddress()];
  await using provider = await provide({ registry, address, services: [greeter('a')] });
  expect(provider.addresses).toEqual([provider.address, address[1]]);
  expect(new Set(provider.nodes.map((node) => node.address))).toEqual(new Set([provider.address]));
  await using consumer = consume({ registry });
  expect(await consumer.stub(Greeter).hello('x')).toBe('a: x');
  await using client = await connect(address[1] as string);
  expect(await client.stub(Greeter).hello('x')).toBe('a: x');
});

it('a consumer uses an option of the socket at the nodes that have it', async () => {
  await using server = await serve([freeMemoryAddress(), ADDRESS], [greeter('a')]);
  for (const address of server.addresses) {
    await using registry = staticRegistry([address]);
    await using consumer = consume({ registry, socket: { noDelay: false } });
    expect(await consumer.stub(Greeter).hello('x')).toBe('a: x');
  }
  await using registry = staticRegistry([]);
  expect(() => consume({ registry, socket: { noDelay: 1 as unknown as boolean } })).toThrow(
    'socket.noDelay: got 1, expected a boolean',
  );
});
