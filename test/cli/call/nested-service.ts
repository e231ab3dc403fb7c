/** A Protobuf service whose messages contain messages and enums. */
import { createFileRegistry, fromJson } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, file_google_protobuf_timestamp } from '@bufbuild/protobuf/wkt';
import { type CodecName, contract, implement, type Service } from '../../../src/rpc/index.js';

const FILE = fromJson(FileDescriptorProtoSchema, {
  name: 'nested.proto',
  package: 'test.nested',
  syntax: 'proto3',
  dependency: ['google/protobuf/timestamp.proto'],
  messageType: [
    {
      name: 'Item',
      field: [
        { name: 'name', jsonName: 'name', number: 1, type: 'TYPE_STRING' },
        { name: 'size', jsonName: 'size', number: 2, type: 'TYPE_INT32' },
      ],
    },
    {
      name: 'Order',
      oneofDecl: [{ name: 'key' }],
      nestedType: [
        {
          name: 'TagsEntry',
          options: { mapEntry: true },
          field: [
            { name: 'key', jsonName: 'key', number: 1, type: 'TYPE_STRING' },
            { name: 'value', jsonName: 'value', number: 2, type: 'TYPE_INT32' },
          ],
        },
      ],
      field: [
        {
          name: 'item',
          jsonName: 'item',
          number: 1,
          type: 'TYPE_MESSAGE',
          typeName: '.test.nested.Item',
        },
        {
          name: 'items',
          jsonName: 'items',
          number: 2,
          label: 'LABEL_REPEATED',
          type: 'TYPE_MESSAGE',
          typeName: '.test.nested.Item',
        },
        {
          name: 'color',
          jsonName: 'color',
          number: 3,
          type: 'TYPE_ENUM',
          typeName: '.test.nested.Color',
        },
        {
          name: 'parent',
          jsonName: 'parent',
          number: 4,
          type: 'TYPE_MESSAGE',
          typeName: '.test.nested.Order',
        },
        { name: 'id', jsonName: 'id', number: 5, type: 'TYPE_INT64', oneofIndex: 0 },
        { name: 'code', jsonName: 'code', number: 6, type: 'TYPE_STRING', oneofIndex: 0 },
        {
          name: 'at',
          jsonName: 'at',
          number: 7,
          type: 'TYPE_MESSAGE',
          typeName: '.google.protobuf.Timestamp',
        },
        {
          name: 'tags',
          jsonName: 'tags',
          number: 8,
          label: 'LABEL_REPEATED',
          type: 'TYPE_MESSAGE',
          typeName: '.test.nested.Order.TagsEntry',
        },
      ],
    },
  ],
  enumType: [
    {
      name: 'Color',
      value: [
        { name: 'RED', number: 0 },
        { name: 'BLUE', number: 1 },
      ],
    },
  ],
  service: [
    {
      name: 'Orders',
      method: [
        { name: 'Put', inputType: '.test.nested.Order', outputType: '.test.nested.Order' },
        {
          name: 'Watch',
          inputType: '.test.nested.Order',
          outputType: '.test.nested.Item',
          serverStreaming: true,
        },
      ],
    },
  ],
});

interface Order {
  readonly key: { readonly case?: string; readonly value?: unknown };
}

/** `onCall` gets the codec of each call. */
export function nestedService(onCall: (codec: CodecName) => void = () => {}): Service {
  const registry = createFileRegistry(FILE, () => file_google_protobuf_timestamp);
  const desc = registry.getService('test.nested.Orders');
  if (desc === undefined) throw new Error('the service is missing');
  return implement(contract(desc), {
    put: (order: unknown, { codec }: { codec: CodecName }) => {
      onCall(codec);
      return order;
    },
    async *watch({ key }: Order, { codec }: { codec: CodecName }) {
      onCall(codec);
      for (let at = 0; at < Number(key.value); at++) yield { name: `${at}` };
    },
  } as never);
}
