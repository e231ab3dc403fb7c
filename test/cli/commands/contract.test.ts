/** `getty contract`. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import {
  contract,
  Introspection,
  implement,
  RpcError,
  type Service,
  serve,
  unary,
} from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { freeMemoryAddress, testService } from '../../fixtures/rpc.js';
import { greeter, openFleet, serveGreeter, temporaryFolder } from '../greeter-servers.js';
import { finished, getty, startGetty } from '../run-getty.js';

noLeaks();

function shop(input: z.ZodType, version = 'v1'): Service {
  const Shop = contract('Shop', { price: unary({ input, output: z.number() }) }, { version });
  return implement(Shop, { price: () => 5 });
}

const Item = z.object({ name: z.string() });
const SizedItem = z.object({ name: z.string(), size: z.string() });

const serveShop = (...services: readonly Service[]) =>
  serve(freeMemoryAddress(), services, { introspection: true });

describe('getty contract snapshot', () => {
  test('writes the same text for the same contracts, in whatever order the server has them', async () => {
    await using one = await serveGreeter();
    await using two = await serveGreeter({ introspection: true }, [testService(), greeter()]);
    const { code, stdout, stderr } = await getty('contract', 'snapshot', one.address);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect((await getty('contract', 'snapshot', two.address)).stdout).toBe(stdout);
    const { format, services } = JSON.parse(stdout);
    expect(format).toBe(1);
    expect(services.map(({ name }: { name: string }) => name)).toEqual(['Greeter', 'TestService']);
    const { methods, messages, groups } = services[1];
    expect(groups).toBeUndefined();
    expect(methods[0]).toMatchObject({ name: 'Add', input: { type: 'AddRequest' } });
    expect(messages.AddRequest).toEqual({
      fields: [
        { name: 'A', number: 1, type: 'int32', cardinality: 'single' },
        { name: 'B', number: 2, type: 'int32', cardinality: 'single' },
      ],
    });
    const inJson = await getty('contract', 'snapshot', one.address, '--json');
    expect(inJson.stdout.split('\n')).toHaveLength(2);
    expect(JSON.parse(inJson.stdout)).toEqual(JSON.parse(stdout));
  });

  test('of a registry has the groups, and names services without introspection', async () => {
    await using fleet = openFleet();
    await fleet.provide('a', { group: 'sh' });
    await fleet.provide('b', { group: 'bj' });
    const { stdout } = await getty('contract', 'snapshot', fleet.url);
    expect(JSON.parse(stdout).services).toMatchObject([{ name: 'Greeter', groups: ['bj', 'sh'] }]);
    await fleet.provide('c', { introspection: false, services: [shop(Item)] });
    const partial = await getty('contract', 'snapshot', fleet.url);
    expect(partial.code).toBe(0);
    expect(partial.stderr).toMatch(/introspection: true.*\nwarning: no node describes Shop v1; /);
    const snapshot = JSON.parse(partial.stdout);
    expect(snapshot.services).toHaveLength(1);
    expect(snapshot.unread).toEqual([{ name: 'Shop', version: 'v1' }]);
    const diff = await getty('contract', 'diff', fleet.url, fleet.url, '--json');
    expect(diff.code).toBe(0);
    expect(JSON.parse(diff.stdout).uncompared).toContainEqual({
      service: 'Shop v1',
      where: 'Shop v1',
      why: 'no node described it for both snapshots',
    });
    await fleet.provide('d', { services: [shop(Item)] });
    const whole = JSON.parse((await getty('contract', 'snapshot', fleet.url)).stdout);
    expect(whole.services).toHaveLength(2);
    expect(whole.unread).toBeUndefined();
  });

  test('of a registry fails if the nodes of a service cannot be reached', async () => {
    await using fleet = openFleet();
    await fleet.provide('a');
    const [published] = await fleet.registry.list();
    await fleet.registry.register({
      ...(published as NonNullable<typeof published>),
      service: 'Shop',
      address: 'tcp://127.0.0.1:1',
    });
    const { code, stdout } = await getty('contract', 'snapshot', fleet.url);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  });

  test('has no services of getty itself, such as the admin service', async () => {
    await using fleet = openFleet();
    const provider = await fleet.provide('a');
    const { stdout } = await getty('contract', 'snapshot', provider.address);
    expect(JSON.parse(stdout).services).toMatchObject([{ name: 'Greeter' }]);
  });

  test('fails for a server without services', async () => {
    await using server = await serveShop();
    const { code, stdout, stderr } = await getty('contract', 'snapshot', server.address);
    expect({ code, stdout }).toEqual({ code: 14, stdout: '' });
    expect(stderr).toMatch(/there are no services .*\n$/);
  });
});

describe('getty contract diff', () => {
  test('ends with 0 for a server that has the contracts of a snapshot', async () => {
    await using folder = await temporaryFolder();
    await using server = await serveShop(shop(Item), testService());
    const file = join(folder.path, 'contracts.json');
    await writeFile(file, (await getty('contract', 'snapshot', server.address)).stdout);
    const before = await readFile(file, 'utf8');
    for (const [from, to] of [
      [file, server.address],
      [server.address, file],
      [file, file],
    ] as const)
      expect(await getty('contract', 'diff', from, to)).toEqual({
        code: 0,
        stdout: 'no changes\n',
        stderr: '',
      });
    expect(await readFile(file, 'utf8')).toBe(before);
  });

  test('ends with 1 for a change that breaks callers, and says which and why', async () => {
    await using before = await serveShop(shop(Item));
    await using after = await serveShop(shop(SizedItem), testService());
    const { code, stdout } = await getty('contract', 'diff', before.address, after.address);
    expect(code).toBe(1);
    expect(stdout.split('\n')).toEqual([
      'breaks callers  Shop v1 price input.size: new, required; callers do not send it, and get ' +
        'INVALID_ARGUMENT [input-field-required]',
      'breaks none  TestService v1.0: new service; nothing uses it yet; update the servers before ' +
        'callers that use it [service-added]',
      'changes: 2, breaking: 1',
      '',
    ]);
    const back = await getty('contract', 'diff', before.address, before.address, '--json');
    expect(back).toMatchObject({
      code: 0,
      stdout: '{"changes":[],"uncompared":[],"breaking":0}\n',
    });
    const inJson = await getty('contract', 'diff', before.address, after.address, '--json');
    expect(inJson.code).toBe(1);
    expect(JSON.parse(inJson.stdout)).toMatchObject({
      breaking: 1,
      changes: [{ rule: 'input-field-required', breaks: ['callers'] }, { breaks: [] }],
    });
  });

  test('says in one line for each service what it could not compare', async () => {
    await using server = await serveGreeter({ introspection: true }, [greeter()]);
    const args = ['contract', 'diff', server.address, server.address];
    const { code, stdout } = await getty(...args);
    expect(code).toBe(0);
    expect(stdout).toBe(
      'not compared  Greeter v1 count input: both snapshots have no description of it; ' +
        'and 15 other parts\nno changes, not compared: 16\n',
    );
    const { uncompared } = JSON.parse((await getty(...args, '--json')).stdout);
    expect(uncompared).toHaveLength(16);
  });

  test('does not take a service that was not read for one that is gone', async () => {
    await using folder = await temporaryFolder();
    const service = { version: 'v1', codecs: [], methods: [], messages: {}, enums: {} };
    const files = {
      whole: { services: ['Shop', 'Greeter', 'getty.Admin'] },
      partial: { services: ['Greeter'], unread: [{ name: 'Shop', version: 'v1' }] },
      wrong: { services: [], unread: [5] },
    };
    const path = (name: keyof typeof files): string => join(folder.path, name);
    for (const name of ['whole', 'partial', 'wrong'] as const) {
      const services = files[name].services.map((each) => ({ ...service, name: each }));
      await writeFile(path(name), JSON.stringify({ format: 1, ...files[name], services }));
    }
    for (const [from, to, age] of [
      ['whole', 'partial', 'new'],
      ['partial', 'whole', 'old'],
    ] as const)
      expect(await getty('contract', 'diff', path(from), path(to))).toMatchObject({
        code: 0,
        stdout:
          `not compared  Shop v1: no node described it for the ${age} snapshot\n` +
          'no changes, not compared: 1\n',
      });
    const wrong = await getty('contract', 'diff', path('wrong'), path('whole'));
    expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining('no unread service') });
  });

  test('does not take the services that one server of a registry does not offer for gone', async () => {
    await using fleet = openFleet();
    await fleet.provide('a', { services: [greeter(), shop(Item), shop(Item, 'v2')] });
    await using same = await serveShop(shop(Item, 'v2'));
    await using other = await serveShop(shop(SizedItem, 'v2'));
    const ofOne = await getty('contract', 'diff', fleet.url, same.address);
    expect(ofOne).toMatchObject({ code: 0, stderr: '' });
    expect(ofOne.stdout).toContain('not compared  Greeter v1: NEW does not offer it\n');
    expect(ofOne.stdout).toContain('not compared  Shop v1: NEW does not offer it\n');
    expect(ofOne.stdout).toMatch(/\nno changes, not compared: 3\n$/);
    const changed = await getty('contract', 'diff', fleet.url, other.address);
    expect(changed.code).toBe(1);
    expect(changed.stdout).toMatch(/\nchanges: 1, breaking: 1, not compared: 3\n$/);
    // Of two addresses, and of a registry as NEW, a service that is missing is gone.
    await using whole = await serveShop(testService(), shop(Item, 'v2'));
    for (const to of [same.address, fleet.url]) {
      const { code, stdout } = await getty('contract', 'diff', whole.address, to);
      expect(code).toBe(1);
      expect(stdout).toContain('breaks callers  TestService v1.0: gone; ');
    }
  });

  test('compares one service with --service, which is gone if NEW does not offer it', async () => {
    await using folder = await temporaryFolder();
    await using fleet = openFleet();
    await fleet.provide('a', { services: [greeter(), shop(Item)] });
    await using server = await serveShop(shop(Item));
    const file = join(folder.path, 'contracts.json');
    await writeFile(file, (await getty('contract', 'snapshot', server.address)).stdout);
    const diff = (from: string, to: string, service: string) =>
      getty('contract', 'diff', from, to, '--service', service);
    expect((await diff(fleet.url, server.address, 'Shop')).code).toBe(0);
    for (const to of [server.address, file]) {
      const { code, stdout } = await diff(fleet.url, to, 'Greeter');
      expect(code).toBe(1);
      expect(stdout).toMatch(/^breaks callers {2}Greeter v1: gone; .*\nchanges: 1, breaking: 1\n$/);
    }
    const added = await diff(file, fleet.url, 'Greeter');
    expect(added.code).toBe(0);
    expect(added.stdout).toMatch(/^breaks none {2}Greeter v1: new service; /);
    expect(await diff(fleet.url, file, 'Gretter')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--service: got "Gretter", expected a service of OLD or NEW'),
    });
  });

  test('reads with --service no node of another service of a registry', async () => {
    await using fleet = openFleet();
    await fleet.provide('a');
    const [published] = await fleet.registry.list();
    const entry = published as NonNullable<typeof published>;
    await fleet.registry.register({ ...entry, service: 'Shop', address: 'tcp://127.0.0.1:1' });
    const args = ['contract', 'diff', fleet.url, fleet.url, '--service'];
    expect((await getty(...args, 'Greeter')).code).toBe(0);
    expect((await getty(...args, 'Shop')).code).toBe(1);
  });

  test.each([
    ['', 'no JSON'],
    ['{', 'no JSON'],
    ['null', 'no snapshot'],
    ['[]', 'no snapshot'],
    ['{}', 'the format undefined, not 1'],
    ['{"format":2,"services":[]}', 'the format 2, not 1'],
    ['{"format":1}', 'no list of services'],
    ['{"format":1,"services":[1]}', 'no service'],
    ['{"format":1,"services":[{"name":1}]}', 'no list of methods'],
    [`{"format":1,"services":[${'{},'.repeat(5_000)}{}]}`, 'more than 5000 services'],
    [`${'['.repeat(200)}${']'.repeat(200)}`, 'more than 120 levels'],
    [`${'['.repeat(500_000)}${']'.repeat(500_000)}`, 'more than 120 levels'],
    [`"${'x'.repeat(2 ** 24)}"`, undefined],
    [
      '{"format":1,"services":[{"name":"A","methods":[{"name":"\\u001b"}],"version":""}]}',
      'a kind that is no text',
    ],
  ])('refuses a file that is no snapshot in one line', async (text, message) => {
    await using folder = await temporaryFolder();
    const file = join(folder.path, 'contracts.json');
    await writeFile(file, text);
    const { code, stdout, stderr } = await getty('contract', 'diff', file, file);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(message ?? 'it has more than 16777216 bytes');
    expect(stderr).toMatch(/^getty contract diff: .*\n$/);
    expect(stderr).not.toContain('\u001b');
  });

  test.each([['/nope/contracts.json'], ['/dev/null'], ['/']])(
    'reports a file that cannot be read: %s',
    async (file) => {
      const { code, stderr } = await getty('contract', 'diff', file, file);
      expect(code).toBe(2);
      expect(stderr).toMatch(/^getty contract diff: \/.*\n$/);
    },
  );

  test('reports the names of a hostile file without control characters', async () => {
    await using folder = await temporaryFolder();
    const [before, after] = ['a', 'b'].map((name) => join(folder.path, name));
    const evil = '\u001b[31m\u202e'.repeat(1_000);
    const service = { name: evil, version: evil, codecs: [], methods: [], messages: {}, enums: {} };
    await writeFile(`${before}`, JSON.stringify({ format: 1, services: [service] }));
    await writeFile(`${after}`, JSON.stringify({ format: 1, services: [] }));
    const { code, stdout } = await getty('contract', 'diff', `${before}`, `${after}`);
    expect(code).toBe(1);
    expect(stdout).toMatch(/^breaks callers {2}\\u001b\[31m\\u202e/);
    expect(stdout).not.toContain('\u001b');
    expect(stdout.split('\n')[0]?.length).toBeLessThanOrEqual(2_000);
  });
});

describe('getty contract', () => {
  test('without a command, or with an unknown one, is a wrong command line', async () => {
    expect(await getty('contract')).toEqual({
      code: 2,
      stdout: '',
      stderr: 'getty contract: missing command; see `getty contract --help`\n',
    });
    expect(await getty('contract', 'difff', 'a', 'b')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^getty contract: .*'difff' \(Did you mean diff\?\).*\n$/),
    });
  });

  test.each([['snapshot'], ['diff']])('%s has help with two examples', async (name) => {
    const { code, stdout } = await getty('contract', name, '--help');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Usage: getty contract /);
    expect(stdout).toMatch(/\nExamples:\n {2}getty .*\n {2}getty .*\n/);
  });

  test.each<[unknown]>([
    [{ fileDescriptorSet: 5 }],
    [{ fileDescriptorSet: '////' }],
    [{ fileDescriptorSet: 'CgcKAWEaAmIu' }],
    [null],
  ])('reports a hostile server in one line: %j', async (answer) => {
    const Fake = contract(Introspection.name, {
      services: unary<void, unknown>(),
      descriptors: unary<unknown, unknown>(),
    });
    const method = { name: 'x', kind: 'unary', input: { vendor: 'protobuf', type: 'X' } };
    const services = [{ name: 'A', version: '', codecs: [], methods: [method] }];
    const fake = implement(Fake, { services: () => services, descriptors: () => answer });
    await using server = await serve(freeMemoryAddress(), [fake]);
    const { code, stderr } = await getty('contract', 'snapshot', server.address);
    expect(stderr).toMatch(/^getty contract snapshot: INTERNAL: .*\n$/);
    expect(code).toBe(13);
  });

  test.each(['UNIMPLEMENTED', 'RESOURCE_EXHAUSTED', 'PERMISSION_DENIED'] as const)(
    'has the fields alone if the server does not tell its descriptors: %s',
    async (code) => {
      const Old = contract(Introspection.name, {
        services: unary<void, unknown>(),
        descriptors: unary<unknown, unknown>(),
      });
      const descriptors = (): never => {
        throw new RpcError(code, 'no');
      };
      const fields = [
        { name: 'items', number: 2, type: 'repeated shop.Item' },
        { name: 'id', number: 1, type: 'string', oneof: 'key' },
        { name: 'tags', number: 3, type: 'map<string, int32>' },
      ];
      const input = { vendor: 'protobuf', type: 'X', fields };
      const services = [
        { name: 'A', version: '', codecs: [], methods: [{ name: 'x', kind: 'unary', input }] },
      ];
      const old = implement(Old, { services: () => services, descriptors });
      await using server = await serve(freeMemoryAddress(), [old]);
      const { stdout } = await getty('contract', 'snapshot', server.address);
      expect(JSON.parse(stdout).services[0].messages.X).toEqual({
        isPartial: true,
        fields: [
          { name: 'id', number: 1, type: 'string', cardinality: 'unknown', oneof: 'key' },
          { name: 'items', number: 2, type: 'shop.Item', cardinality: 'repeated' },
          { name: 'tags', number: 3, type: 'int32', mapKey: 'string', cardinality: 'map' },
        ],
      });
      const same = startGetty(['contract', 'diff', server.address, server.address]);
      expect((await finished(same)).stdout).toContain('not compared  A X: without descriptors');
    },
  );
});
