/** The messages and enums that a method needs. */
import { create, createFileRegistry } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { expect, test } from 'vitest';
import { ProtobufCollector } from '../../../src/cli/contract/protobuf/protobuf-collector.js';

test('an enum that many fields have is read once', () => {
  const length = 3_000;
  const file = create(FileDescriptorProtoSchema, {
    name: 'a.proto',
    syntax: 'proto3',
    messageType: [
      {
        name: 'M',
        field: Array.from({ length }, (_, at) => ({
          name: `f${at}`,
          number: at + 1,
          type: 14,
          label: 1,
          typeName: '.E',
        })),
      },
    ],
    enumType: [{ name: 'E', value: [{ name: 'A', number: 0 }] }],
  });
  const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: [file] }));
  const found = registry.getEnum('E');
  if (found === undefined) throw new Error('no enum');
  let reads = 0;
  const { values } = found;
  Object.defineProperty(found, 'values', {
    get: () => {
      reads++;
      return values;
    },
  });
  const collector = new ProtobufCollector(registry);
  collector.add('M');
  expect(collector.messages.M?.fields).toHaveLength(length);
  expect(reads).toBe(1);
});
