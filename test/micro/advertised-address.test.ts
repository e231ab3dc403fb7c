/** The address that a provider publishes, and the default id of its nodes. */
import { syncBuiltinESMExports } from 'node:module';
import os from 'node:os';
import { afterEach, describe, expect, test } from 'vitest';
import {
  advertisedAddress,
  defaultAddress,
  defaultId,
} from '../../src/micro/advertised-address.js';
import { consume, provide } from '../../src/micro/index.js';
import { memory } from '../../src/registries/memory.js';
import { contract, implement, unary } from '../../src/rpc/index.js';
import { identity } from '../fixtures/certificates.js';
import { noLeaks } from '../fixtures/leaks.js';
import { outcome } from '../fixtures/rpc.js';

noLeaks();

const { networkInterfaces } = os;
afterEach(() => {
  os.networkInterfaces = networkInterfaces;
  syncBuiltinESMExports();
});

function machineWith(...addresses: string[]): void {
  const all = ['127.0.0.1', '::1', ...addresses].map((address, index) => ({
    address,
    family: address.includes(':') ? 'IPv6' : 'IPv4',
    internal: index < 2,
  }));
  os.networkInterfaces = () => ({ eth0: all }) as never;
  syncBuiltinESMExports();
}

describe('the advertised address of a listener at all interfaces', () => {
  test.each([
    ['is IPv4 rather than IPv6', ['2001:db8::7', '10.0.0.5'], '10.0.0.5', '10.0.0.5'],
    ['is IPv6 if there is no other', ['fe80::1', '2001:db8::7'], '127.0.0.1', '[2001:db8::7]'],
    [
      'is not a link-local IPv4 address if there is another IPv4 address',
      ['169.254.7.7', '10.0.0.5'],
      '10.0.0.5',
      '10.0.0.5',
    ],
    [
      'is IPv6 rather than a link-local IPv4 address',
      ['169.254.7.7', '2001:db8::7'],
      '169.254.7.7',
      '[2001:db8::7]',
    ],
    ['is not an address with a zone', ['fe80::1', 'FEB0::2'], '127.0.0.1', '127.0.0.1'],
  ])('%s', (_, addresses, four, six) => {
    machineWith(...addresses);
    expect(advertisedAddress('tcp://0.0.0.0:80', undefined)).toBe(`tcp://${four}:80`);
    for (const all of ['tcp://[::]:80', 'tcp://:80'])
      expect(advertisedAddress(all, undefined)).toBe(`tcp://${six}:80`);
  });

  test('is IPv6 by default if the machine has no IPv4 address for others', () => {
    machineWith('2001:db8::7');
    expect(defaultAddress()).toBe('tcp://[::]:0');
    machineWith('10.0.0.5', '2001:db8::7');
    expect(defaultAddress()).toBe('tcp://0.0.0.0:0');
    machineWith();
    expect(defaultAddress()).toBe('tcp://0.0.0.0:0');
  });
});

test.each([
  ['tcp://127.0.0.1:80', undefined, 'tcp://127.0.0.1:80', '127.0.0.1:80'],
  ['tcp://127.0.0.1:80', 'example.org', 'tcp://example.org:80', 'example.org:80'],
  ['tcp://127.0.0.1:80', 'example.org:81', 'tcp://example.org:81', 'example.org:81'],
  ['tcp://[::1]:80', '[2001:db8::7]', 'tcp://[2001:db8::7]:80', '[2001:db8::7]:80'],
  ['ws://127.0.0.1:80/rpc', undefined, 'ws://127.0.0.1:80/rpc', '127.0.0.1:80%2Frpc'],
  ['ws://127.0.0.1:80/a/b', 'example.org:81', 'ws://example.org:81/a/b', 'example.org:81%2Fa%2Fb'],
  ['ws://0.0.0.0:80/rpc', undefined, 'ws://10.0.0.5:80/rpc', '10.0.0.5:80%2Frpc'],
  ['unix:///run/a.sock', undefined, 'unix:///run/a.sock', `${os.hostname()}:%2Frun%2Fa.sock`],
  ['memory://name', undefined, 'memory://name', 'name'],
])('%s with advertise %s becomes %s, with the id %s', (listening, advertise, address, id) => {
  machineWith('10.0.0.5');
  expect(advertisedAddress(listening, advertise)).toBe(address);
  expect(defaultId(address)).toBe(id);
});

test.each([
  ['unix:///run/a.sock', 'example.org'],
  ['tcp://127.0.0.1:80', 'example.org/path'],
  ['tcp://127.0.0.1:80', 'ws://example.org'],
  ['tcp://127.0.0.1:80', 'example.org:0'],
  ['tcp://127.0.0.1:80', 'example.org:65536'],
])('throws BAD_OPTION for %s with advertise %s', (listening, advertise) => {
  expect(() => advertisedAddress(listening, advertise)).toThrow(
    expect.objectContaining({ code: 'BAD_OPTION' }),
  );
});

const Greeter = contract('Greeter', { hello: unary<void, string>() });
const services = [implement(Greeter, { hello: () => 'hello' })];

test.each(['ws://127.0.0.1:0/rpc', `unix:///tmp/getty-advertised-${process.pid}.sock`])(
  'a consumer finds and calls a provider at %s',
  async (address) => {
    await using registry = memory();
    await using provider = await provide({ registry, services, address });
    expect(provider.nodes[0]?.address).toBe(provider.address);
    await using consumer = consume({ registry });
    expect(await consumer.stub(Greeter).hello()).toBe('hello');
  },
);

test('destroy() fails the calls in flight and keeps the entries; close() removes them', async () => {
  await using registry = memory();
  const Slow = contract('Slow', { wait: unary<void, string>() });
  await using provider = await provide({
    registry,
    services: [implement(Slow, { wait: () => new Promise<never>(() => {}) })],
    address: 'tcp://127.0.0.1:0',
  });
  await using consumer = consume({ registry });
  const resolver = consumer.resolver(Slow);
  await resolver.ready();
  const call = outcome(consumer.stub(Slow).wait());
  await new Promise((resolve) => setImmediate(resolve));
  provider.destroy();
  expect(await call).toBe('UNAVAILABLE');
  expect(resolver.nodes()).toHaveLength(1);
  await expect(provider.update({ weight: 1 })).rejects.toMatchObject({ code: 'ENDPOINT_CLOSED' });
  await provider.close();
  await expect.poll(() => resolver.nodes().length).toBe(0);
});

test('reloadTls() of a provider reloads the TLS options of its server', async () => {
  await using registry = memory();
  await using secure = await provide({
    registry,
    services,
    address: 'tls://127.0.0.1:0',
    tls: identity('server'),
  });
  secure.reloadTls(identity('server2'));
  await using plain = await provide({
    registry,
    services,
    address: 'tcp://127.0.0.1:0',
    id: 'other',
  });
  expect(() => plain.reloadTls({})).toThrow(expect.objectContaining({ code: 'BAD_OPTION' }));
});
