/**
 * No error, warning, log or address property contains a secret of an address. Every public function
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
import { checkAdminProtection } from '../../src/rpc/admin/admin-protection.js';
import {
  contract,
  implement,
  jwt,
  connect as rpcConnect,
  serve as rpcServe,
  unary,
} from '../../src/rpc/index.js';
import { connect, raw, serve } from '../../src/transport/index.js';
import { connect as webConnect } from '../../src/web/index.js';
import { connect as webRpcConnect } from '../../src/web/rpc.js';
import { getty } from '../cli/run-getty.js';
import { noLeaks } from '../fixtures/leaks.js';
import { within } from '../fixtures/waiting.js';

noLeaks();
afterEach(() => void vi.restoreAllMocks());

const SECRET = 'hunter2';
const HOST = '127.0.0.1:1';
const setup = { codec: raw(), listener: { onMessage() {}, onError() {} } };
const Echo = contract('Echo', { say: unary<string, string>() });
/** A token whose signature is checked with the keys. */
const TOKEN = `${Buffer.from('{"alg":"ES256"}').toString('base64url')}.e30.AAAA`;
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
  'static',
  'dns',
  'file',
  'http',
  'tpc',
  'WS',
];
/** Valid and invalid addresses. */
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

/** The properties that contain an address. */
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
const QUICK: EtcdOptions = { requestTimeout: 1_000, dialTimeout: 1_000, waitForRegistry: false };
/** The lines that were logged, and the warnings of the process. */
let logged: unknown[] = [];
const logger = {
  info: (...line: unknown[]) => void logged.push(line),
  warn: (...line: unknown[]) => void logged.push(line),
};

/** Registers a node, so that the registry reports its failure. */
async function register(registry: Registry): Promise<Opened> {
  try {
    await registry.register(node('tcp://127.0.0.1:1'));
    return {};
  } finally {
    await registry[Symbol.asyncDispose]();
  }
}

async function openAndDestroy<T extends Opened & { destroy(): void }>(
  opening: Promise<T>,
): Promise<Opened> {
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

async function openAndClose<T extends { readonly address: string; close(): Promise<void> }>(
  opening: Promise<T>,
): Promise<Opened> {
  const opened = await opening;
  await opened.close();
  return { address: opened.address };
}

/** Calls a node that a registry lists at `address`. */
async function callNode(address: string): Promise<Opened> {
  await using registry = memory();
  await using _registration = await registry.register(node(address));
  await using consumer = consume({ registry });
  await consumer.stub(Echo).say('x');
  return {};
}

async function writeTo(address: string): Promise<Opened> {
  await using server = await serve('udp://127.0.0.1:0', setup);
  server.writeTo(new Uint8Array(1), address);
  return { sessions: [...server.sessions] };
}

/**
 * The arguments of the commands of `getty` that take an address or a registry. Their number has no
 * common divisor with that of FORMS, so each form meets each command.
 */
const COMMANDS: readonly (readonly [command: string, ...others: string[]])[] = [
  ['doctor'],
  ['ls'],
  ['call', 'Echo/say', '"x"', '--kind', 'unary'],
  ['describe'],
  ['explain', 'Echo'],
  ['sessions'],
  ['top'],
  ['load', 'Echo/say', '"x"', '--kind', 'unary', '--rate', '1', '--for', '1ms'],
];
let lastCommand = 0;

/** Runs one of the commands, each in turn. Throws what it has written, unless it succeeds. */
async function runCommand(address: string): Promise<Opened> {
  const [command, ...others] = COMMANDS[lastCommand++ % COMMANDS.length] as (typeof COMMANDS)[0];
  const written = await getty(command, String(address), ...others);
  if (written.code !== 0) throw new Error(JSON.stringify(written));
  return written as Opened;
}

const ONE_ATTEMPT = { reconnect: false, connectTimeout: 1_000 } as const;
/** The functions, by module and exported name. */
const FUNCTIONS: Readonly<Record<string, (address: string) => Promise<Opened>>> = {
  'transport/node.ts serve': (address) => openAndDestroy(serve(address, setup)),
  'transport/node.ts connect': (address) => openAndDestroy(connect(address, setup, ONE_ATTEMPT)),
  'transport/server.ts writeTo': writeTo,
  'transport/node.ts proxy': (proxy) =>
    openAndDestroy(connect('tls://127.0.0.1:1', setup, { ...ONE_ATTEMPT, proxy })),
  'transport/node.ts proxy without a tunnel': (proxy) =>
    openAndDestroy(connect('udp://127.0.0.1:1', setup, { ...ONE_ATTEMPT, proxy })),
  'web/connect.ts proxy': (proxy) =>
    openAndDestroy(webConnect('ws://127.0.0.1:1', setup, { ...ONE_ATTEMPT, proxy } as object)),
  'rpc/node.ts serve': (address) => openAndClose(rpcServe(address, services)),
  'rpc/node.ts connect': (address) => openAndClose(rpcConnect(address, ONE_ATTEMPT)),
  'rpc/admin/admin-protection.ts checkAdminProtection': async (address) => {
    checkAdminProtection(address, []);
    return {};
  },
  'rpc/interceptors/key-set.ts requestKeySet': async (address) => {
    // The error of new URL() in a program repeats its text.
    if (!URL.canParse(address)) throw new Error('no URL');
    const verify = jwt({ keys: new URL(address), issuer: 'issuer', audience: 'audience' });
    await verify({
      token: TOKEN,
      metadata: {},
      certificate: undefined,
      request: undefined,
      peer: '',
    });
    return {};
  },
  'web/connect.ts connect': (address) => openAndDestroy(webConnect(address, setup, ONE_ATTEMPT)),
  'web/rpc.ts connect': (address) => openAndClose(webRpcConnect(address, ONE_ATTEMPT)),
  'registries/index.ts registry': async (address) =>
    register(await registry(address, { ...QUICK, operationTimeout: 50, logger })),
  'registries/etcd/index.ts etcd': async (address) => register(etcd(address, { ...QUICK, logger })),
  'registries/zookeeper/index.ts zookeeper': async (address) =>
    register(zookeeper(address, { waitForRegistry: false, operationTimeout: 50, logger })),
  'registries/zookeeper/client/zookeeper-client.ts ZooKeeperClient': async (address) => {
    await new ZooKeeperClient(address).close();
    return {};
  },
  'micro/provider.ts provide': (address) =>
    openAndClose(provide({ registry: memory(), services, address })),
  'micro/provider.ts advertise': (advertise) =>
    openAndClose(
      provide({ registry: memory(), services, address: 'tcp://127.0.0.1:0', advertise }),
    ),
  'micro/consumer.ts node': callNode,
  'cli/program.ts run': runCommand,
};

it.each(Object.keys(FUNCTIONS))('%s does not reveal the secret of an address', async (name) => {
  const emitWarning = vi
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
    // showHidden: the errors of Node.js for URLs have the URL as a hidden property.
    const shown = inspect([outcome, logged], {
      depth: 12,
      showHidden: true,
      maxStringLength: null,
    });
    expect(shown, inspect(address)).not.toContain(SECRET);
  }
  expect(refused).toBeGreaterThan(0);
  emitWarning.mockRestore();
});

it('the list has every public function that takes an address', () => {
  const root = new URL('../../src/', import.meta.url);
  const found = readdirSync(root, { recursive: true, encoding: 'utf8' })
    // No program can import the files of the command. Its commands are run instead.
    .filter((file) => file.endsWith('.ts') && !file.startsWith('cli/'))
    .flatMap((file) => {
      const text = readFileSync(new URL(file, root), 'utf8');
      const names =
        /^export (?:async )?function (\w+)(?:<[^>]*>)?\(\s*(?:address|url|hosts|endpoints)\b/gm;
      return [...text.matchAll(names)].map(([, name]) => `${file} ${name}`);
    });
  expect(found.length).toBeGreaterThan(5);
  expect(Object.keys(FUNCTIONS)).toEqual(expect.arrayContaining(found));
});
