/** The descriptors that `getty describe` and `getty contract` ask a server for. */
import { create, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { expect, test } from 'vitest';
import { contract, Introspection, implement, serve, unary } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { freeMemoryAddress } from '../../fixtures/rpc.js';
import { elapse } from '../../fixtures/waiting.js';
import { getty } from '../run-getty.js';

noLeaks();

const Fake = contract(Introspection.name, {
  services: unary<unknown, unknown>(),
  descriptors: unary<{ service: string }, unknown>(),
});

const method = { name: 'put', kind: 'unary', input: { vendor: 'protobuf', type: 'M' } };

/** Descriptors of M, in a file with this name. */
function descriptorSet(name: string): string {
  const file = create(FileDescriptorProtoSchema, { name, messageType: [{ name: 'M' }] });
  const set = create(FileDescriptorSetSchema, { file: [file] });
  return Buffer.from(toBinary(FileDescriptorSetSchema, set)).toString('base64');
}

/** A server with `length` services. `asked`: those whose descriptors it has told. */
async function serveServices(
  length: number,
  fileName: (service: string) => string,
  delay?: number,
) {
  const services = Array.from({ length }, (_, at) => ({
    name: `s${at}`,
    version: '',
    codecs: ['protobuf'],
    methods: [method],
  }));
  const asked: string[] = [];
  const fake = implement(Fake, {
    services: () => services,
    descriptors: async ({ service }) => {
      asked.push(service);
      if (delay !== undefined) await elapse(delay);
      return { fileDescriptorSet: descriptorSet(fileName(service)) };
    },
  });
  const server = await serve(freeMemoryAddress(), [fake]);
  const close = () => server[Symbol.asyncDispose]();
  return { address: server.address, asked, [Symbol.asyncDispose]: close };
}

test('only the service that is named has its descriptors read', async () => {
  await using server = await serveServices(20, (service) => service);
  const { code } = await getty('describe', server.address, 's7/put');
  expect(code).toBe(0);
  expect(server.asked).toEqual(['s7']);
});

test('the table of all services needs no descriptors', async () => {
  await using server = await serveServices(20, (service) => service);
  expect((await getty('describe', server.address)).code).toBe(0);
  expect(server.asked).toEqual([]);
});

test('a server is asked for the descriptors of at most 500 services', async () => {
  await using server = await serveServices(600, () => 'same');
  const { code, stderr } = await getty('contract', 'snapshot', server.address);
  expect(code).toBe(0);
  expect(stderr).toContain('the server has too many descriptors');
  expect(server.asked).toHaveLength(500);
});

test('at most 8 MiB of different descriptors are read', async () => {
  await using server = await serveServices(60, (service) => `${service}${'x'.repeat(400_000)}`);
  const { code, stderr } = await getty('contract', 'snapshot', server.address);
  expect(code).toBe(0);
  expect(stderr).toContain('the server has too many descriptors');
  expect(server.asked.length).toBeLessThan(20);
});

test('a server describes its services in six times the timeout', async () => {
  await using server = await serveServices(400, (service) => service, 10);
  const args = ['contract', 'snapshot', server.address, '--timeout', '200ms'];
  const { code, stderr } = await getty(...args);
  expect(code).toBe(4);
  expect(stderr).toMatch(/^getty contract snapshot: DEADLINE_EXCEEDED: /);
});
