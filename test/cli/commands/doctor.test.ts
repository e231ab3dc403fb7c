/** `getty doctor`. */
import { rm } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import type { Check } from '../../../src/cli/doctor/check.js';
import type { ServiceNode } from '../../../src/micro/index.js';
import {
  auth,
  contract,
  Introspection,
  implement,
  RpcError,
  serve,
  unary,
} from '../../../src/rpc/index.js';
import { SERVER_TLS } from '../../fixtures/certificates.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { connectOnce, freeMemoryAddress } from '../../fixtures/rpc.js';
import { pemPath } from '../../fixtures/tls-endpoints.js';
import { until } from '../../fixtures/waiting.js';
import { serveAsGo } from '../call/go-server.js';
import { greeter, openFleet, serveGreeter, temporaryFolder } from '../greeter-servers.js';
import { getty } from '../run-getty.js';

noLeaks();

/** The checks of a target, and the exit code. */
async function checksOf(...args: string[]): Promise<{ code: number; checks: Check[] }> {
  const { code, stdout, stderr } = await getty('doctor', ...args, '--json');
  expect(stderr).toBe('');
  return { code, checks: JSON.parse(stdout).checks };
}

const STATUS = {
  process: { pid: 1, uptime: 90_000, nodeVersion: 'v22.0.0', rss: 2 ** 26, heapUsed: 2 ** 25 },
  sessions: 1,
  refusals: {},
};

/** The checks of a server whose introspection answers with a status of a test. */
async function checksOfFake(status: () => unknown): Promise<{ code: number; checks: Check[] }> {
  const Fake = contract(Introspection.name, {
    services: unary<void, unknown>(),
    status: unary<void, unknown>(),
  });
  await using server = await serve(freeMemoryAddress(), [
    implement(Fake, { services: () => [], status }),
  ]);
  return await checksOf(server.address);
}

describe('getty doctor of a server', () => {
  test('reports that all is well', async () => {
    await using server = await serveGreeter();
    const { code, stdout, stderr } = await getty('doctor', server.address);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ok {7}connection: made in [\d.]+ ms\nok {7}answer: in [\d.]+ ms; /);
    expect(stdout).toMatch(
      /services: Greeter v1, TestService v1.0\nok {7}state: getty \d.*\nunknown {2}event loop: /,
    );
    expect(stderr).toBe('failed: 0, warnings: 0, ok: 3, unknown: 1\n');
  });

  test('says that the event loop is measured from now on, and then its delay', async () => {
    await using server = await serveGreeter();
    const checkOf = async (): Promise<Check | undefined> =>
      (await checksOf(server.address)).checks.find(({ name }) => name === 'event loop');
    expect(await checkOf()).toEqual({
      status: 'unknown',
      name: 'event loop',
      detail: 'not measured yet',
      advice: 'this request starts the measurement: run it again in 5 s',
    });
    await until(async () => (await checkOf())?.status !== 'unknown', 'a measurement');
    expect(['ok', 'warning']).toContain((await checkOf())?.status);
  });

  test('says what to do about a refused connection, and ends with 1', async () => {
    const { code, checks } = await checksOf('tcp://localhost:1');
    expect(code).toBe(1);
    expect(checks).toEqual([
      { status: 'ok', name: 'name', detail: expect.stringMatching(/^localhost is /) },
      {
        status: 'failed',
        name: 'connection',
        detail: expect.stringMatching(/ECONNREFUSED/),
        advice: 'nothing listens there: start the server, or correct the port',
      },
    ]);
  });

  test('says what to do about a socket file that does not exist', async () => {
    const { checks } = await checksOf('unix:///none/of/these');
    expect(checks).toMatchObject([
      { status: 'failed', advice: expect.stringMatching(/socket file/) },
    ]);
  });

  test('warns of a server without introspection, and of one of Go', async () => {
    await using server = await serveGreeter({});
    expect((await checksOf(server.address)).checks[1]).toMatchObject({
      status: 'warning',
      detail: 'it answers, and has no introspection',
    });
    await using go = await serveAsGo();
    const { code, checks } = await checksOf(go.address);
    expect(code).toBe(0);
    expect(checks[1]).toMatchObject({
      status: 'warning',
      detail: expect.stringMatching(/^it ended the connection/),
    });
  });

  test('says that a token is missing', async () => {
    const authenticate = () => {
      throw new RpcError('UNAUTHENTICATED', 'no token');
    };
    await using server = await serveGreeter({
      introspection: true,
      interceptors: [auth({ authenticate })],
    });
    const { code, checks } = await checksOf(server.address);
    expect(code).toBe(1);
    expect(checks[1]).toMatchObject({ status: 'failed', advice: expect.stringMatching(/--token/) });
  });

  test.each([
    [3_600_000, /(3[56]\d\d|3600) s ahead of/],
    [-3_600_000, /(3[56]\d\d|3600) s behind/],
  ])('warns of a clock that differs by %d ms', async (difference, text) => {
    const status = () => ({ ...STATUS, time: Date.now() + difference });
    const { checks } = await checksOfFake(status);
    expect(checks[3]).toMatchObject({
      status: 'warning',
      name: 'clock',
      detail: expect.stringMatching(text),
    });
  });

  test('warns of refused peers and of a blocked event loop', async () => {
    const { code, checks } = await checksOfFake(() => ({
      ...STATUS,
      time: Date.now(),
      process: { ...STATUS.process, eventLoopDelay: { p50: 1, p99: 2, max: 900 } },
      refusals: { limit: 3, tls: 0, '__proto__x\u001b': 1 },
    }));
    expect(code).toBe(0);
    expect(checks.slice(3)).toMatchObject([
      { status: 'warning', name: 'refusals', detail: expect.stringContaining('limit 3, ') },
      { status: 'warning', name: 'event loop', detail: expect.stringContaining('900 ms') },
    ]);
  });

  test('warns of a provider that waits for its registry, and of a drained one', async () => {
    const provider = { state: 'waiting', reason: 'no answer', id: 'a', total: 1, entries: [] };
    const waiting = await checksOfFake(() => ({ ...STATUS, time: Date.now(), provider }));
    expect(waiting.checks[2]).toMatchObject({
      status: 'warning',
      name: 'state',
      detail: expect.stringContaining('not published: no answer'),
    });
    const away = { ...provider, state: 'published' };
    expect((await checksOfFake(() => ({ ...STATUS, time: 1, provider: away }))).checks[2]).toEqual({
      status: 'warning',
      name: 'state',
      detail: expect.stringContaining('entries published: 1; the registry is away now: no answer'),
      advice: expect.stringContaining('is the registry there'),
    });
    const entry = { service: 'S', version: '', group: '', codec: 'json', address: '', weight: 1 };
    const entries = [{ ...entry, isPublished: true }];
    const left = { ...provider, state: 'draining', entries };
    expect((await checksOfFake(() => ({ ...STATUS, time: 1, provider: left }))).checks[2]).toEqual({
      status: 'warning',
      name: 'state',
      detail: expect.stringContaining('not removed its entries yet (1), so consumers may call it'),
      advice: expect.stringContaining('do not stop it yet'),
    });
    await using fleet = openFleet();
    const real = await fleet.provide('a');
    await real.drain();
    const { checks } = await checksOf(real.address);
    expect(checks[2]).toMatchObject({
      status: 'warning',
      detail: expect.stringContaining('the provider is drained'),
      advice: expect.stringContaining('getty node undrain'),
    });
  });

  test.each([
    ['no status', undefined],
    ['a state that it does not know', { ...STATUS, time: 1, provider: { state: 'x' } }],
    ['a number of another type', { ...STATUS, time: 'now' }],
    ['refusals that are no numbers', { ...STATUS, time: 1, refusals: { limit: 'many' } }],
  ])('fails for a server that answers with %s', async (_, status) => {
    const { code, checks } = await checksOfFake(() => status);
    expect(code).toBe(1);
    expect(checks.at(-1)).toMatchObject({
      status: 'failed',
      detail: expect.stringContaining('does it run another version of getty?'),
    });
  });

  test('checks the certificate of a server', async () => {
    await using server = await serve('tls://127.0.0.1:0', [greeter()], {
      tls: SERVER_TLS,
      introspection: true,
    });
    const ca = pemPath('authority');
    const trusted = await checksOf(server.address, '--ca', ca);
    expect(trusted.code).toBe(0);
    expect(trusted.checks[1]).toMatchObject({
      status: 'ok',
      name: 'certificate',
      detail: expect.stringMatching(/^for DNS:localhost, IP Address:127.0.0.1,.* until 21\d\d-/),
    });
    const untrusted = await checksOf(server.address);
    expect(untrusted.code).toBe(1);
    expect(untrusted.checks[0]).toMatchObject({
      status: 'failed',
      advice: expect.stringMatching(/--ca/),
    });
    expect(untrusted.checks[1]).toMatchObject({ status: 'ok', name: 'certificate' });
    const named = await checksOf(server.address, '--ca', ca, '--server-name', 'elsewhere.example');
    expect(named.code).toBe(1);
    expect(named.checks[0]).toMatchObject({ advice: expect.stringMatching(/--server-name/) });
    expect(named.checks[1]).toMatchObject({
      status: 'failed',
      advice: 'it is not for elsewhere.example: use one of its names, or --server-name',
    });
  });
});

describe('getty doctor of a registry', () => {
  test('reports that all is well', async () => {
    await using fleet = openFleet();
    await fleet.provide('a');
    await fleet.provide('b');
    const { code, stdout } = await getty('doctor', fleet.url);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ok {7}registry: 2 entries, read in [\d.]+ ms\n/);
    expect(stdout).toMatch(/ok {7}node a: tcp:\S+ answers, and offers what it publishes\n/);
    expect(stdout).toMatch(
      /\nunknown {2}event loop: not measured yet at a, b \(this request .*\n$/,
    );
    expect(stdout.split('\n')).toHaveLength(5);
  });

  test('finds nodes that cannot be reached, and nodes that offer something else', async () => {
    await using fleet = openFleet();
    await fleet.provide('a');
    await fleet.provide('quiet', { introspection: false });
    const [published] = await fleet.registry.list();
    const entry = published as NonNullable<typeof published>;
    await fleet.registry.register({ ...entry, id: 'dead', address: 'tcp://127.0.0.1:1' });
    await fleet.registry.register({ ...entry, service: 'Shop' });
    const { code, checks } = await checksOf(fleet.url);
    expect(code).toBe(1);
    expect(checks).toContainEqual({
      status: 'failed',
      name: 'node dead',
      detail: expect.stringMatching(/ECONNREFUSED/),
      advice: expect.any(String),
    });
    expect(checks).toContainEqual({
      status: 'failed',
      name: 'node a',
      detail: `${entry.address} does not offer Shop v1 in json`,
      advice: 'the address belongs to another program now, or the entry is old',
    });
    expect(checks).toContainEqual({
      status: 'warning',
      name: 'node quiet',
      detail: expect.stringMatching(/it answers, and has no introspection$/),
      advice: expect.any(String),
    });
  });

  test('finds a node at whose address another provider answers', async () => {
    await using fleet = openFleet();
    const a = await fleet.provide('a');
    const entry = (await fleet.registry.list())[0] as ServiceNode;
    await fleet.registry.register({ ...entry, id: 'b' });
    const { code, checks } = await checksOf(fleet.url);
    expect(code).toBe(1);
    expect(checks).toContainEqual({
      status: 'failed',
      name: 'node b',
      detail: `${a.address}: the provider there is "a"`,
      advice: expect.stringContaining('advertise'),
    });
  });

  test('fails for a registry without entries, whose root may be wrong', async () => {
    await using fleet = openFleet();
    const { code, checks } = await checksOf(fleet.url);
    expect(code).toBe(1);
    expect(checks).toMatchObject([
      { status: 'failed', name: 'registry', advice: expect.stringMatching(/root .* be wrong/) },
    ]);
  });

  test('notes several groups, which are no warning', async () => {
    await using fleet = openFleet();
    await fleet.provide('a', { group: 'bj' });
    await fleet.provide('b', { group: 'sh' });
    const { code, stdout, stderr } = await getty('doctor', fleet.url);
    expect(code).toBe(0);
    expect(stdout).toMatch(/\nnote {5}Greeter: its nodes have 2 groups: bj \(1 node\), /);
    expect(stderr).toMatch(/^failed: 0, warnings: 0, ok: 3, notes: 1/);
  });

  test('warns of a node whose calls fail', async () => {
    await using fleet = openFleet();
    const Shop = contract('Shop', { pay: unary<void, void>() }, { version: 'v1' });
    const pay = () => {
      throw new RpcError('INTERNAL', 'no');
    };
    const { address } = await fleet.provide('a', { services: [implement(Shop, { pay })] });
    await using client = await connectOnce(address);
    const stub = client.stub(Shop);
    for (let at = 0; at < 100; at++) await stub.pay().catch(() => {});
    const { code, checks } = await checksOf(fleet.url);
    expect(code).toBe(0);
    expect(checks).toContainEqual({
      status: 'warning',
      name: 'node a',
      detail: expect.stringMatching(
        /^tcp:\S+: 100\.0 % of 100 calls of Shop\/pay v1 have failed within \d+s: INTERNAL 100$/,
      ),
      advice: expect.stringContaining('getty top'),
    });
  });

  test('says what to do about a registry that is away', async () => {
    const { code, checks } = await checksOf('etcd://127.0.0.1:1/getty');
    expect(code).toBe(1);
    expect(checks).toMatchObject([{ status: 'failed', name: 'registry' }]);
    await using folder = await temporaryFolder();
    await rm(folder.path, { recursive: true });
    expect((await checksOf(folder.url)).checks).toMatchObject([
      { status: 'failed', advice: 'correct the directory; providers create it' },
    ]);
  });

  test('refuses a wrong URL as a wrong command line', async () => {
    const { code, stderr } = await getty('doctor', 'etcd://');
    expect(code).toBe(2);
    expect(stderr).toMatch(/^getty doctor: BAD_ADDRESS: .*\n$/);
  });
});
