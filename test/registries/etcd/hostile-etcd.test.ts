/** The etcd registry with servers that send ever more, or keep connections that have ended. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { attributesOf } from '../../../src/micro/registry-entry.js';
import type { EtcdOptions } from '../../../src/registries/etcd/index.js';
import { node, RecordingLogger, WatchReader } from '../../fixtures/registries.js';
import { rejection } from '../../fixtures/transports.js';
import { until, within } from '../../fixtures/waiting.js';
import { cleanUpLater, open, useCleanUp, useRoot } from './etcd-setup.js';
import { type Script, ScriptedEtcd } from './scripted-etcd.js';

const LIMITS = { maxEntries: 100, requestTimeout: 5_000, pingTimeout: 10_000 };
const VALUE = Buffer.from('{}');

function keyOf(service: string, id: string): Buffer {
  return Buffer.from(`/getty/${attributesOf(node('x', { service }))}/${id}`);
}

/** Entries with keys in ascending order, of which no key occurs twice. */
function newEntries(service: string): (count: number) => { key: Buffer; value: Buffer }[] {
  let made = 0;
  return (count) =>
    Array.from({ length: count }, () => ({
      key: keyOf(service, String(made++).padStart(12, '0')),
      value: VALUE,
    }));
}

async function start(script: Script): Promise<ScriptedEtcd> {
  const server = await ScriptedEtcd.start(script);
  cleanUpLater(() => server.close());
  useRoot('/getty');
  return server;
}

/** Frames of HTTP/2. */
const SETTINGS = Buffer.from('000000040000000000', 'hex');
const PING = Buffer.from('0000080600000000000000000000000000', 'hex');
const goaway = (lastStream: number): Buffer => {
  const frame = Buffer.from('0000080700000000000000000000000000', 'hex');
  frame.writeUInt32BE(lastStream, 9);
  return frame;
};

/** A server that answers each connection with GOAWAY, and never ends one. */
async function startLingering(lastStream: number) {
  const sockets = new Set<Socket>();
  const count = { closed: 0 };
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).resume();
    socket.write(Buffer.concat([SETTINGS, goaway(lastStream)]));
    // The system reports a connection that the client has closed at a write only.
    const timer = setInterval(() => socket.write(PING), 20);
    socket.on('close', () => {
      clearInterval(timer);
      sockets.delete(socket);
      count.closed++;
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  cleanUpLater(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { endpoint, sockets, count };
}

it('gives the first list to a new watch although a request for the revision was refused', async () => {
  let refusals = 0;
  const server = await start({
    page: () => ({ kvs: [{ key: keyOf('TestService', 'a'), value: VALUE }], count: 1n }),
    refusesRevision: () => refusals-- > 0,
  });
  const registry = open({}, server.endpoint);
  await using first = new WatchReader(registry);
  expect(await first.next()).toBeDefined();
  refusals = 2;
  await using second = new WatchReader(registry);
  expect(await within(second.next(), 'the first list')).toBeDefined();
  expect(refusals).toBeLessThan(0);
});

describe('the etcd registry', () => {
  useCleanUp();

  it.each([
    ['refuses its requests', 0],
    ['keeps its requests', 0x7fffffff],
  ])('closes a connection whose server sends GOAWAY, and %s', async (_, lastStream) => {
    const { endpoint, sockets, count } = await startLingering(lastStream);
    const times = { initialDelay: 10, maxDelay: 20, requestTimeout: 200, pingTimeout: 200 };
    const registry = open(times, endpoint);
    await using watch = new WatchReader(registry);
    watch.next().catch(() => {});
    await until(() => count.closed >= 3, 'three connections are closed');
    await registry[Symbol.asyncDispose]();
    await until(() => sockets.size === 0, 'every connection is closed');
  });

  it.each<[string, EtcdOptions]>([
    ['maxEntries', { maxEntries: 100 }],
    ['maxBytes', { maxBytes: 10_000 }],
  ])('ends a list without an end at ten times %s', async (name, limit) => {
    const entries = newEntries('Other');
    const server = await start({ page: (count) => ({ kvs: entries(count), more: true }) });
    const log = new RecordingLogger();
    const registry = open(
      { ...LIMITS, maxEntries: 1_000_000, ...limit, logger: log },
      server.endpoint,
    );
    expect(await rejection(registry.list())).toMatchObject({
      code: 'REGISTRY_FAILED',
      message: expect.stringContaining(`10 times ${name}`),
    });
    expect(server.sent).toBeLessThan(5);
    await using watch = new WatchReader(registry);
    void watch.next();
    await log.waitFor(`10 times ${name}`, 1);
    expect(registry.failure).toMatchObject({ code: 'REGISTRY_FAILED' });
    // The outage is logged once, though each attempt reads some pages.
    const { sent } = server;
    while (server.sent < sent + 10) await new Promise((resolve) => setImmediate(resolve));
    expect(log.linesWith('trying again')).toHaveLength(1);
  });

  it('refuses a page with keys before the requested ones', async () => {
    const kvs = newEntries('Other')(10);
    const server = await start({ page: () => ({ kvs, more: true }) });
    expect(await rejection(open(LIMITS, server.endpoint).list())).toMatchObject({
      code: 'REGISTRY_FAILED',
      message: expect.stringContaining('keys that were not requested'),
    });
    expect(server.sent).toBe(2);
  });

  it('ends a change of fragments without an end, and reads everything again', async () => {
    const entries = newEntries(node('x').service);
    let reads = 0;
    const server = await start({
      page: () => {
        reads++;
        return {};
      },
      change: () => ({ events: entries(50).map((kv) => ({ kv })), fragment: true }),
    });
    const log = new RecordingLogger();
    await using watch = new WatchReader(open({ ...LIMITS, logger: log }, server.endpoint));
    expect(await watch.next()).toEqual([]);
    await log.waitFor('10 times maxEntries', 2);
    expect(reads).toBeGreaterThanOrEqual(2);
  });

  it('counts the memory that each service takes', async () => {
    let made = 0;
    const kvs = Array.from({ length: 1_000 }, () => ({ key: keyOf(`S${made++}`, 'a') }));
    const server = await start({ page: () => ({ kvs }) });
    const log = new RecordingLogger();
    const options = { ...LIMITS, maxEntries: 10_000, maxBytes: 1_000_000, logger: log };
    await using watch = new WatchReader(open(options, server.endpoint));
    await watch.next();
    expect(log.linesWith('the cache is full')).toHaveLength(1);
  });
});
