/**
 * No error, warning, log or address property shows a secret of an address. Every public function
 * that takes an address is called with each form of it.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { inspect } from 'node:util';
import { afterEach, expect, it, vi } from 'vitest';
import { consume, provide, type Registry } from '../../src/micro/index.js';
import { type EtcdOptions, etcd } from '../../src/registries/etcd/index.js';
import { registry } from '../../src/registries/index.js';
import { memory } from '../../src/registries/memory.js';
import { ZooKeeperClient, zookeeper } from '../../src/registries/zookeeper/index.js';
import {
  contract,
  implement,
  connect as rpcConnect,
  serve as rpcServe,
  unary,
} from '../../src/rpc/index.js';
import { connect, raw, serve } from '../../src/transport/index.js';
import { connect as webConnect } from '../../src/web/index.js';
import { connect as webRpcConnect } from '../../src/web/rpc.js';
import { noLeaks } from '../fixtures/leaks.js';
import { within } from '../fixtures/waiting.js';

noLeaks();
afterEach(() => void vi.restoreAllMocks());

const SECRET = 'hunter2';
const HOST = '127.0.0.1:1';
const setup = { codec: raw(), listener: { onMessage() {}, onError() {} } };
const Echo = contract('Echo', { say: unary<string, string>() });
const services = [implement(Echo, { say: (text) => text })];

const SCHEMES = [
  'tcp',
  'tls',
  'udp',
  'ws',
  'wss',
  'memory',
  'unix',
  'etcd',
  'etcds',
  'zookeeper',
  'file',
  'http',
  'tpc',
  'WS',
];
/** Well formed or not. */
const FORMS: readonly ((scheme: string) => string)[] = [
  (scheme) => `${scheme}://me:${SECRET}@${HOST}`,
  (scheme) => `${scheme}://${SECRET}@${HOST}/path`,
  (scheme) => `${scheme}://me:${SECRET}@`,
  (scheme) => `${scheme}://me:${SECRET}@/srv/path`,
  (scheme) => `${scheme}://${HOST}?token=${SECRET}`,
  (scheme) => `${scheme}://${HOST}/path?token=a@${SECRET}`,
  (scheme) => `${scheme}:///no/such/directory/a?token=${SECRET}`,
  (scheme) => `${scheme}://name?token=${SECRET}`,
  (scheme) => `${scheme}://${HOST}/path#${SECRET}`,
  (scheme) => `${scheme}://me:${SECRET}@host:99999`,
  (scheme) => `${scheme}://me:${SECRET}@[::1`,
  (scheme) => `${scheme}://me:${SECRET}@a b`,
  (scheme) => `${scheme}://me:%zz${SECRET}@${HOST}`,
  (scheme) => `${scheme}://me:x/${SECRET}@${HOST}`,
  (scheme) => `${scheme}://me:x?${SECRET}@${HOST}`,
  (scheme) => `${scheme}://me:x#${SECRET}@${HOST}`,
  (scheme) => `${scheme}://me:x ${SECRET}@${HOST}`,
  (scheme) => `${scheme}://me:x\n${SECRET}@${HOST}`,
  (scheme) => `${scheme}:me:${SECRET}@${HOST}`,
  (scheme) => `${scheme}:/me:${SECRET}@${HOST}`,
  (scheme) => ` ${scheme}://me:${SECRET}@${HOST}`,
];
const ADDRESSES: readonly unknown[] = [
  ...SCHEMES.flatMap((scheme) => FORMS.map((form) => form(scheme))),
  `me:${SECRET}@${HOST}`,
  `//me:${SECRET}@${HOST}`,
  new URL(`ws://me:${SECRET}@${HOST}/?token=${SECRET}`),
  [`ws://me:${SECRET}@${HOST}`],
];

interface Opened {
  readonly address?: string;
  readonly sessions?: Iterable<{ remoteAddress: string; localAddress: string }>;
}

const node = (address: string) => ({
  id: 'a',
  service: 'Echo',
  group: '',
  version: '',
  protocol: 'json' as const,
  address,
  metadata: {},
});
const soon: EtcdOptions = { requestTimeout: 1_000, dialTimeout: 1_000, waitForRegistry: false };
/** Where the functions below log. */
let logged: unknown[] = [];
const logger = {
  info: (...line: unknown[]) => void logged.push(line),
  warn: (...line: unknown[]) => void logged.push(line),
};

/** A registry is used, so that its failures are seen. */
async function used(registry: Registry): Promise<Opened> {
  try {
    await registry.register(node('tcp://127.0.0.1:1'));
    return {};
  } finally {
    await registry[Symbol.asyncDispose]();
  }
}

async function ended<T extends Opened & { destroy(): void }>(opening: Promise<T>): Promise<Opened> {
  const opened = await opening;
  const shown = {
    address: opened.address,
    sessions: [...(opened.sessions ?? [])].map(({ remoteAddress, localAddress }) => ({
      remoteAddress,
      localAddress,
    })),
  };
  opened.destroy();
  return shown;
}

async function closed<T extends { readonly address: string; close(): Promise<void> }>(
  opening: Promise<T>,
): Promise<Opened> {
  const opened = await opening;
  await opened.close();
  return { address: opened.address };
}

/** Calls a provider at `address`, which a registry names. */
async function called(address: string): Promise<Opened> {
  await using registry = memory();
  await using _registration = await registry.register(node(address));
  await using consumer = consume({ registry });
  await consumer.stub(Echo).say('x');
  return {};
}

async function written(address: string): Promise<Opened> {
  await using server = await serve('udp://127.0.0.1:0', setup);
  server.writeTo(new Uint8Array(1), address);
  return { sessions: [...server.sessions] };
}

const once = { reconnect: false, connectTimeout: 1_000 } as const;
/** By the module and the name that it exports. */
const FUNCTIONS: Readonly<Record<string, (address: string) => Promise<Opened>>> = {
  'transport/node.ts serve': (address) => ended(serve(address, setup)),
  'transport/node.ts connect': (address) => ended(connect(address, setup, once)),
  'transport/server.ts writeTo': written,
  'rpc/node.ts serve': (address) => closed(rpcServe(address, services)),
  'rpc/node.ts connect': (address) => closed(rpcConnect(address, once)),
  'web/connect.ts connect': (address) => ended(webConnect(address, setup, once)),
  'web/rpc.ts connect': (address) => closed(webRpcConnect(address, once)),
  'registries/index.ts registry': async (address) =>
    used(await registry(address, { ...soon, operationTimeout: 50, logger })),
  'registries/etcd/index.ts etcd': async (address) => used(etcd(address, { ...soon, logger })),
  'registries/zookeeper/index.ts zookeeper': async (address) =>
    used(zookeeper(address, { waitForRegistry: false, operationTimeout: 50, logger })),
  'registries/zookeeper/client/zookeeper-client.ts ZooKeeperClient': async (address) => {
    await new ZooKeeperClient(address).close();
    return {};
  },
  'micro/provider.ts provide': (address) =>
    closed(provide({ registry: memory(), services, address })),
  'micro/provider.ts advertise': (advertise) =>
    closed(provide({ registry: memory(), services, address: 'tcp://127.0.0.1:0', advertise })),
  'micro/consumer.ts node': called,
};

it.each(Object.keys(FUNCTIONS))('%s shows no secret of an address', async (name) => {
  const warned = vi
    .spyOn(process, 'emitWarning')
    .mockImplementation((warning) => void logged.push(warning));
  const call = FUNCTIONS[name] as (address: string) => Promise<Opened>;
  let refused = 0;
  for (const address of ADDRESSES) {
    logged = [];
    const outcome = await within(
      call(address as string).catch((error: unknown) => {
        refused++;
        return { message: (error as Error).message, stack: (error as Error).stack, error };
      }),
      `${name} with ${inspect(address)}`,
    );
    // Hidden properties too: Node's errors of URLs have the URL as one.
    const shown = inspect([outcome, logged], {
      depth: 12,
      showHidden: true,
      maxStringLength: null,
    });
    expect(shown, inspect(address)).not.toContain(SECRET);
  }
  expect(refused).toBeGreaterThan(0);
  warned.mockRestore();
});

it('every public function that takes an address is in the list', () => {
  const root = new URL('../../src/', import.meta.url);
  const found = readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) => {
      const text = readFileSync(new URL(file, root), 'utf8');
      const names =
        /^export (?:async )?function (\w+)(?:<[^>]*>)?\(\s*(?:address|url|hosts|endpoints)\b/gm;
      return [...text.matchAll(names)].map(([, name]) => `${file} ${name}`);
    });
  expect(found.length).toBeGreaterThan(5);
  expect(Object.keys(FUNCTIONS)).toEqual(expect.arrayContaining(found));
});
