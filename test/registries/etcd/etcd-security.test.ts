/** etcd with TLS, client certificates, users and passwords. */
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Registry } from '../../../src/micro/types.js';
import { type EtcdOptions, etcd } from '../../../src/registries/etcd/index.js';
import { registry as openRegistry } from '../../../src/registries/index.js';
import { identity, pem } from '../../fixtures/certificates.js';
import { INSTALL_TIMEOUT } from '../../fixtures/debian.js';
import { encode } from '../../fixtures/etcd-gateway.js';
import { EtcdServer } from '../../fixtures/etcd-server.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { node, RecordingLogger, WatchReader } from '../../fixtures/registries.js';
import { noTimersLeft } from '../../fixtures/timers.js';
import { elapse } from '../../fixtures/waiting.js';

const certificate = (name: string): string =>
  fileURLToPath(new URL(`../../fixtures/tls/${name}.pem`, import.meta.url));
const CERTIFICATES = [
  '--cert-file',
  certificate('server'),
  '--key-file',
  certificate('server.key'),
  '--trusted-ca-file',
  certificate('authority'),
];
const QUICK = { ttl: 4_000, requestTimeout: 2_000, maxDelay: 200 } satisfies EtcdOptions;
const SECRET = 'swordfish:/@';

describe('etcd with TLS and client certificates', () => {
  noLeaks();
  noTimersLeft();
  let server: EtcdServer;
  const registries: Registry[] = [];
  beforeAll(async () => {
    server = await EtcdServer.started({
      secure: true,
      flags: [...CERTIFICATES, '--client-cert-auth'],
    });
  }, INSTALL_TIMEOUT);
  afterAll(() => server.stop());
  afterEach(async () => {
    for (const registry of registries.splice(0)) await registry[Symbol.asyncDispose]();
  });

  function open(options: EtcdOptions): Registry {
    const registry = etcd(server.endpoint, { ...QUICK, ...options });
    registries.push(registry);
    return registry;
  }

  it('accepts a client with a trusted certificate', async () => {
    const tls = { ca: pem('authority'), ...identity('client') };
    const registry = open({ tls });
    await registry.register(node('a'));
    await using watch = new WatchReader(open({ tls }));
    await watch.ids('a');
  });

  it('etcds:// takes the same options', async () => {
    const tls = {
      ca: certificate('authority'),
      cert: certificate('client'),
      key: certificate('client.key'),
    };
    const registry = await openRegistry(`etcds://127.0.0.1:${server.port}/getty`, {
      ...QUICK,
      tls,
    });
    registries.push(registry);
    await registry.register(node('b'));
    await using watch = new WatchReader(registry);
    await watch.ids('b');
  });

  it.each<[string, EtcdOptions['tls']]>([
    ['no certificate', { ca: pem('authority') }],
    ['a certificate of another authority', { ca: pem('authority'), ...identity('other-client') }],
    ['another authority', { ca: pem('other-authority'), ...identity('client') }],
    [
      'another name',
      { ca: pem('authority'), ...identity('client'), serverName: 'elsewhere.example' },
    ],
  ])('rejects: %s', async (_, tls) => {
    const registry = open({ tls, waitForRegistry: false });
    await expect(registry.register(node('c'))).rejects.toMatchObject({
      code: 'REGISTRY_FAILED',
      cause: expect.anything(),
    });
  });
});

describe('etcd with users and passwords', () => {
  noLeaks();
  noTimersLeft();
  let server: EtcdServer;
  const registries: Registry[] = [];
  beforeAll(async () => {
    server = await EtcdServer.started({ flags: ['--auth-token-ttl', '1', '--bcrypt-cost', '4'] });
    await server.request('auth/user/add', { name: 'root', password: SECRET });
    await server.request('auth/role/add', { name: 'root' });
    await server.request('auth/user/grant', { user: 'root', role: 'root' });
    await server.request('auth/user/add', { name: 'getty', password: SECRET });
    await server.request('auth/role/add', { name: 'getty' });
    await server.request('auth/role/grant', {
      name: 'getty',
      perm: { permType: 'READWRITE', key: encode('/getty/'), range_end: encode('/getty0') },
    });
    await server.request('auth/user/grant', { user: 'getty', role: 'getty' });
    await server.request('auth/enable', {});
  }, INSTALL_TIMEOUT);
  afterAll(() => server.stop());
  afterEach(async () => {
    for (const registry of registries.splice(0)) await registry[Symbol.asyncDispose]();
  });

  function open(options: EtcdOptions = {}): Registry {
    const registry = etcd(server.endpoint, {
      ...QUICK,
      username: 'getty',
      password: SECRET,
      ...options,
    });
    registries.push(registry);
    return registry;
  }

  it('accepts a user with the right password, also from a URL', async () => {
    await open().register(node('a'));
    const registry = await openRegistry(
      `etcd://getty:${encodeURIComponent(SECRET)}@127.0.0.1:${server.port}`,
      QUICK,
    );
    registries.push(registry);
    await using watch = new WatchReader(registry);
    await watch.ids('a');
  });

  it('sends no entry before the password was checked', async () => {
    for (let i = 0; i < 5; i++) {
      const registry = open();
      await using watch = new WatchReader(registry);
      const [list] = await Promise.all([watch.next(), registry.register(node('a'))]);
      if (list?.length === 0) await watch.ids('a');
      await registry[Symbol.asyncDispose]();
    }
  });

  it('renews a token once for many requests that it is refused for', async () => {
    const registry = open({ username: 'getty', password: SECRET });
    await registry.register(node('first'));
    // A token expires after one second.
    await elapse(2_500);
    const ids = Array.from({ length: 8 }, (_, i) => `n${i}`);
    await Promise.all(ids.map((id) => registry.register(node(id))));
    expect((await registry.list()).map(({ id }) => id)).toEqual(['first', ...ids]);
  });

  it('renews a token that has expired or is older than the users', async () => {
    const log = new RecordingLogger();
    const registry = open({ logger: log });
    await registry.register(node('a'));
    await using watch = new WatchReader(registry);
    await watch.ids('a');
    // A token expires after one second.
    await elapse(2_500);
    await registry.register(node('b'));
    await watch.ids('a', 'b');
    const { token } = (await server.request('auth/authenticate', {
      name: 'root',
      password: SECRET,
    })) as { token: string };
    await server.request('auth/role/add', { name: 'another' }, token);
    await registry.register(node('c'));
    await watch.ids('a', 'b', 'c');
    expect(log.lines).toEqual([]);
  });

  it.each<[string, EtcdOptions]>([
    ['a wrong password', { password: `${SECRET}!` }],
    ['no password', { username: undefined, password: undefined }],
    ["another's root", { root: '/elsewhere' }],
  ])(
    '%s: register() rejects at once despite waitForRegistry, and hides the password',
    async (_, options) => {
      const log = new RecordingLogger();
      const logged: unknown[] = [];
      log.warn = (details, message) => void logged.push(details, message);
      const failure = await open({ ...options, logger: log })
        .register(node('a'))
        .catch((error: unknown) => error);
      expect(failure).toMatchObject({ code: 'REGISTRY_FAILED' });
      expect(inspect([failure, logged], { depth: 20, showHidden: true })).not.toContain(
        'swordfish',
      );
    },
  );

  it('a watch without permission logs this, and fails without waitForRegistry', async () => {
    const log = new RecordingLogger();
    await using waiting = new WatchReader(open({ root: '/elsewhere', logger: log }));
    waiting.next();
    await log.waitFor('refuses requests');
    await using failing = new WatchReader(open({ root: '/elsewhere', waitForRegistry: false }));
    await expect(failing.next()).rejects.toMatchObject({ code: 'REGISTRY_FAILED' });
  });

  it('authenticates with a server that enables authentication while it runs', async () => {
    const late = await EtcdServer.started({ flags: ['--bcrypt-cost', '4'] });
    try {
      await using registry = etcd(late.endpoint, { ...QUICK, username: 'root', password: SECRET });
      await registry.register(node('a'));
      await using watch = new WatchReader(registry);
      await watch.ids('a');
      await late.request('auth/user/add', { name: 'root', password: SECRET });
      await late.request('auth/role/add', { name: 'root' });
      await late.request('auth/user/grant', { user: 'root', role: 'root' });
      await late.request('auth/enable', {});
      await registry.register({ ...node('a'), metadata: { version: '2' } });
      await registry.register(node('b'));
      await watch.ids('a', 'b');
    } finally {
      await late.stop();
    }
  });

  it('accepts a password for a server without authentication', async () => {
    const open = await EtcdServer.started();
    try {
      await using registry = etcd(open.endpoint, { ...QUICK, username: 'getty', password: SECRET });
      await registry.register(node('a'));
      expect((await open.entries('/getty')).size).toBe(1);
    } finally {
      await open.stop();
    }
  });
});
