/** Method names: `then` is refused, because a stub must not be a thenable. */
import { describe, expect, test } from 'vitest';
import { contract, implement, serverStream, unary } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { Kinds as KindsDescriptor } from '../../fixtures/protobuf/kinds_pb.js';
import { freeMemoryAddress, rig } from '../../fixtures/rpc.js';
import { thrown } from '../../fixtures/transports.js';

noLeaks();

describe('a method named then', () => {
  test.each([
    ['unary', unary()],
    ['serverStream', serverStream()],
  ])('throws BAD_OPTION in a contract: %s', (_, then) => {
    expect(thrown(() => contract('Workflow', { first: unary(), then }))).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining('await'),
    });
  });

  test('throws BAD_OPTION in a descriptor', () => {
    const [method] = KindsDescriptor.methods;
    const service = {
      ...KindsDescriptor,
      methods: [{ ...method, name: 'Then', localName: 'then' }],
    } as unknown as typeof KindsDescriptor;
    expect(thrown(() => contract(service))).toMatchObject({ code: 'BAD_OPTION' });
  });

  test('a stub with any other method name can be awaited and returned', async () => {
    const names = [
      'catch',
      'finally',
      'constructor',
      'toString',
      'toJSON',
      'valueOf',
      'Then',
      '__proto__',
    ];
    const C = contract(
      'Names',
      Object.fromEntries(names.map((name) => [name, unary<string, string>()])),
    );
    const handlers = Object.fromEntries(
      names.map((name) => [name, (text: string) => `${name} ${text}`]),
    );
    await using pair = await rig({
      address: freeMemoryAddress(),
      services: [implement(C, handlers)],
    });
    const stub = await (async () => pair.client.stub(C))();
    for (const name of names) expect(await stub[name]?.('x')).toBe(`${name} x`);
  });
});
