/** protobufCodec(): which descriptors are compiled, and the library itself as the fallback. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import {
  create,
  createFileRegistry,
  type DescMessage,
  fromBinary,
  isMessage,
} from '@bufbuild/protobuf';
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorSetSchema,
} from '@bufbuild/protobuf/wkt';
import { describe, expect, test } from 'vitest';
import { protobufCodec } from '../../../../src/rpc/codecs/protobuf/codec.js';
import { compiledOf } from '../../../../src/rpc/codecs/protobuf/compiled-schema.js';
import {
  encoded,
  encodedByTheirs,
  expectSame,
  expectSameDecoding,
  outcome,
} from '../../../fixtures/protobuf/compare.js';
import { SmallSchema, TreeSchema } from '../../../fixtures/protobuf/proto3_pb.js';
import { wrong } from './wrong.js';

describe('compiledOf()', () => {
  const field = (
    name: string,
    number: number,
    type: FieldDescriptorProto_Type,
    typeName?: string,
  ) => ({
    name,
    number,
    type,
    label: FieldDescriptorProto_Label.OPTIONAL,
    jsonName: name,
    ...(typeName === undefined ? {} : { typeName }),
  });

  test('never turns a name into code', () => {
    const hostile = ['x"];throw 1;//', "y']", '`z`', '\u2028', '\\', '*/', '__Proto__', 'a\nb'];
    const file = {
      name: 'hostile.proto',
      syntax: 'proto3',
      messageType: [
        {
          name: 'M"; throw 1; //',
          field: [
            ...hostile.map((name, i) => field(name, i + 1, FieldDescriptorProto_Type.STRING)),
            field('again"', 20, FieldDescriptorProto_Type.MESSAGE, '.M"; throw 1; //'),
            { ...field('one"', 21, FieldDescriptorProto_Type.STRING), oneofIndex: 0 },
          ],
          oneofDecl: [{ name: 'o"];throw 1' }],
        },
      ],
    };
    const schema = createFileRegistry(create(FileDescriptorSetSchema, { file: [file] })).getMessage(
      'M"; throw 1; //',
    ) as DescMessage;
    expect(compiledOf(schema)).toBeDefined();
    const init: Record<string, unknown> = {
      'again"': {},
      'o"];throw1': { case: 'one"', value: 'x' },
    };
    for (const { localName, fieldKind } of schema.fields)
      if (fieldKind === 'scalar' && localName !== 'one"') init[localName] = `of ${localName}`;
    const theirs = encodedByTheirs(schema, wrong(init));
    expect(theirs.length).toBeGreaterThan(60);
    expect(encoded(schema, wrong(init))).toEqual(theirs);
    expectSameDecoding(schema, theirs);
  });

  test('compiles no descriptor with a field __proto__', () => {
    const member = { ...(SmallSchema.members[0] as object), localName: '__proto__' };
    const schema = {
      ...SmallSchema,
      fields: [member],
      members: [member],
    } as unknown as DescMessage;
    expect(compiledOf(schema)).toBeUndefined();
    expect(
      compiledOf({
        ...TreeSchema,
        fields: [{ ...TreeSchema.fields[1], message: schema }],
      } as unknown as DescMessage),
    ).toBeUndefined();
    expect(compiledOf(SmallSchema)).toBe(compiledOf(SmallSchema));
  });
});

describe('protobufCodec()', () => {
  test('reads messages as protobuf-es does', () => {
    const init = { A: 'a', B: 'b'.repeat(50), C: '' };
    const body = protobufCodec(SmallSchema);
    const bytes = encodedByTheirs(SmallSchema, init);
    const found = body.decode(bytes, 0, bytes.length);
    expectSame(
      outcome(() => found),
      outcome(() => fromBinary(SmallSchema, bytes)),
    );
    expect(isMessage(found, SmallSchema)).toBe(true);
  });

  test('uses protobuf-es where code generation is forbidden', () => {
    const dist = (path: string) => new URL(`../../../../dist/${path}`, import.meta.url).href;
    const program = `
      import { protobufCodec } from '${dist('rpc/codecs/protobuf/codec.js')}';
      import { ByteWriter } from '${dist('transport/buffers/byte-writer.js')}';
      import { TestRequestSchema } from '${dist('../build/demo/test_service_pb.js')}';
      let forbidden = false;
      try { new Function(''); } catch { forbidden = true; }
      const body = protobufCodec(TestRequestSchema), output = new ByteWriter();
      body.encode(output, { A: 'x', B: 'é', C: '' });
      const bytes = Buffer.from(output.bytes.subarray(0, output.length));
      const { $typeName, ...fields } = body.decode(bytes, 0, bytes.length);
      console.log(JSON.stringify({ forbidden, hex: bytes.toString('hex'), $typeName, fields }));`;
    const run = (...flags: string[]) => {
      const args = [...flags, '--input-type=module', '--eval', program];
      const { stdout, stderr, status } = spawnSync(process.execPath, args, {
        cwd: fileURLToPath(new URL('../../../..', import.meta.url)),
        encoding: 'utf8',
      });
      expect(stderr).toBe('');
      expect(status).toBe(0);
      return JSON.parse(stdout);
    };
    const expected = {
      hex: '0a01781202c3a9',
      $typeName: 'TestRequest',
      fields: { A: 'x', B: 'é', C: '' },
    };
    expect(run()).toEqual({ forbidden: false, ...expected });
    expect(run('--disallow-code-generation-from-strings')).toEqual({
      forbidden: true,
      ...expected,
    });
  });
});
