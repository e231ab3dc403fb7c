/** The descriptors of the introspection service. */
import { createFileRegistry, createRegistry, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema, StructSchema } from '@bufbuild/protobuf/wkt';
import { describe, expect, test } from 'vitest';
import { contract, Introspection, implement, type Service, serve } from '../../../src/rpc/index.js';
import { DescriptorSets } from '../../../src/rpc/metrics/descriptor-set.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { Kinds } from '../../fixtures/protobuf/kinds_pb.js';
import { SmallSchema } from '../../fixtures/protobuf/proto3_pb.js';
import { connectOnce, freeMemoryAddress, testService } from '../../fixtures/rpc.js';
import { rejection } from '../../fixtures/transports.js';

noLeaks();

const registry = createRegistry(SmallSchema, StructSchema);
const KindsContract = contract(Kinds, { name: 'Other', registry });

function kindsService(): Service {
  const handler = (): never => {
    throw new Error('not called');
  };
  const { methods } = KindsContract;
  return implement(
    KindsContract,
    Object.fromEntries([...methods.keys()].map((name) => [name, handler])) as never,
  );
}

async function descriptorsOf(services: readonly Service[], request?: { service?: string }) {
  await using server = await serve(freeMemoryAddress(), services, { introspection: true });
  await using client = await connectOnce(server.address);
  const { fileDescriptorSet } = await client.stub(Introspection).descriptors(request);
  return fromBinary(FileDescriptorSetSchema, Buffer.from(fileDescriptorSet, 'base64'));
}

describe('Introspection.descriptors', () => {
  test('has the files of all services and registries, each once and after its imports', async () => {
    const { file } = await descriptorsOf([testService(), kindsService()]);
    const names = file.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(names).toEqual(
      expect.arrayContaining(['kinds.proto', 'proto3.proto', 'google/protobuf/struct.proto']),
    );
    for (const [at, { dependency }] of file.entries())
      expect(names.slice(0, at)).toEqual(expect.arrayContaining(dependency));
    const read = createFileRegistry(await descriptorsOf([testService(), kindsService()]));
    expect(read.getService(Kinds.typeName)?.methods).toHaveLength(6);
    expect(read.getMessage(SmallSchema.typeName)?.fields.length).toBeGreaterThan(0);
  });

  test('has the files of one service if it is named', async () => {
    const { file } = await descriptorsOf([testService(), kindsService()], {
      service: 'TestService',
    });
    expect(file.map(({ name }) => name)).not.toContain('kinds.proto');
  });

  test('is empty for a server without generated services', async () => {
    expect((await descriptorsOf([])).file).toEqual([]);
  });

  test.each([
    [{ service: 'Nope' }, 'NOT_FOUND'],
    [{ service: 5 }, 'INVALID_ARGUMENT'],
    ['text', undefined],
  ])('refuses a service that it does not have: %j', async (request, code) => {
    const outcome = descriptorsOf([testService()], request as object);
    if (code === undefined) expect((await outcome).file).toHaveLength(1);
    else expect((await rejection(outcome)).code).toBe(code);
  });

  test('refuses a set that does not fit a message, and says what to do', async () => {
    const service = testService();
    const [file] = service.contract.files ?? [];
    if (file === undefined) throw new Error('no file');
    const proto = { ...file.proto, package: 'x'.repeat(750_000) };
    const files = [{ ...file, proto } as typeof file];
    const large = { ...service, contract: { ...service.contract, files } };
    expect(await rejection(descriptorsOf([large]))).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      message: expect.stringContaining('ask for one service'),
    });
  });

  test('encodes a set that is too large once', () => {
    const service = testService();
    const [file] = service.contract.files ?? [];
    if (file === undefined) throw new Error('no file');
    const large = { ...file.proto, package: 'x'.repeat(750_000) };
    let reads = 0;
    const counted = {
      ...file,
      get proto() {
        reads++;
        return large;
      },
    };
    const contract = { ...service.contract, files: [counted as typeof file] };
    const sets = new DescriptorSets([{ ...service, contract }]);
    for (let call = 0; call < 3; call++)
      expect(() => sets.find(undefined)).toThrow('ask for one service');
    expect(reads).toBe(1);
  });
});
