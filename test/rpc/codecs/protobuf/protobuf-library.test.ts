/**
 * The package works with each release of the Protobuf library from 2.7 on, so that a program needs
 * one copy of it. The tests use the oldest, the installed and the newest release.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const dist = (path: string): string =>
  JSON.stringify(new URL(`../../../../dist/${path}`, import.meta.url).href);
const moduleOf = (code: string): string => `data:text/javascript,${encodeURIComponent(code)}`;

/** Module hooks that load the library `name` instead of the installed one. */
function hooks(name: string): string {
  const resolve = `export const resolve = (specifier, context, next) => specifier.startsWith('@bufbuild/protobuf')
    ? next(specifier.replace('@bufbuild/protobuf', ${JSON.stringify(name)}), { ...context, parentURL: ${JSON.stringify(import.meta.url)} }) : next(specifier, context);`;
  return moduleOf(
    `import { register } from 'node:module'; register(${JSON.stringify(moduleOf(resolve))});`,
  );
}

const PROGRAM = `
  import * as pb from '@bufbuild/protobuf';
  import { DurationSchema, AnySchema, anyPack, anyUnpack, StructSchema } from '@bufbuild/protobuf/wkt';
  import { connect, contract, implement, serve } from ${dist('rpc/index.js')};
  import { TestService } from ${dist('../build/demo/test_service_pb.js')};
  import { etcd } from ${dist('registries/etcd/index.js')};
  import { protobufCodec } from ${dist('rpc/codecs/protobuf/codec.js')};
  import { protobufJsonCodec } from ${dist('rpc/codecs/protobuf/json/json-codec.js')};
  import { ByteWriter } from ${dist('transport/buffers/byte-writer.js')};
  const C = contract(TestService);
  const handlers = {
    test: ({ A, B }) => ({ A: A + B }),
    add: ({ A, B }) => ({ Sum: A + B }),
    err: () => ({}),
    event: () => ({}),
  };
  const server = await serve('memory://library', [implement(C, handlers)]);
  const client = await connect(server.address);
  const found = [typeof etcd];
  for (const codec of ['json', 'protobuf']) {
    const stub = client.stub(C, { codec });
    found.push((await stub.test({ A: '\\ufeffä', B: 'x'.repeat(40) })).A);
    found.push((await stub.add({ A: -5, B: 7 })).Sum);
  }
  await client.close();
  await server.close();
  const registry = pb.createRegistry(DurationSchema);
  const any = anyPack(DurationSchema, pb.create(DurationSchema, { seconds: 5n }));
  const one = { kind: { case: 'numberValue', value: 1 } };
  const struct = { fields: Object.fromEntries(['__proto__', 'a'].map((key) => [key, one])) };
  for (const codecOf of [protobufCodec, (schema) => protobufJsonCodec(schema, registry)]) {
    const through = (schema, message) => {
      const codec = codecOf(schema), output = new ByteWriter();
      codec.encode(output, message);
      const bytes = Buffer.from(output.written);
      return codec.decode(bytes, 0, bytes.length);
    };
    found.push(String(anyUnpack(through(AnySchema, any), DurationSchema).seconds));
    found.push(Object.keys(through(StructSchema, struct).fields).sort().join());
  }
  console.log(JSON.stringify({ same: (await import(process.argv[1])).create === pb.create, found }));`;

test.each(['protobuf-2.7', '@bufbuild/protobuf', 'protobuf-2.17'])(
  'a program runs with %s',
  async (name) => {
    const args = ['--import', hooks(name), '--input-type=module', '--eval', PROGRAM, name];
    const { stdout } = await promisify(execFile)(process.execPath, args, {
      cwd: fileURLToPath(new URL('../../../..', import.meta.url)),
    });
    const texts = [`\ufeffä${'x'.repeat(40)}`, 2];
    expect(JSON.parse(stdout)).toEqual({
      same: true,
      found: ['function', ...texts, ...texts, '5', '__proto__,a', '5', '__proto__,a'],
    });
  },
);
