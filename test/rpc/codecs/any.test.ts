/** google.protobuf.Any in the JSON form of Protobuf messages. */
import { create, createFileRegistry, createRegistry, type DescMessage } from '@bufbuild/protobuf';
import {
  AnySchema,
  anyUnpack,
  FileDescriptorProtoSchema,
  file_google_protobuf_any,
} from '@bufbuild/protobuf/wkt';
import { describe, expect, test } from 'vitest';
import { decoded } from '../../../src/rpc/codecs/decoded.js';
import { protobufJsonCodec } from '../../../src/rpc/codecs/protobuf/json/json-codec.js';
import { contract, implement } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { Kinds as KindsDescriptor } from '../../fixtures/protobuf/kinds_pb.js';
import {
  MapValuesSchema,
  SmallSchema,
  WellKnownSchema,
} from '../../fixtures/protobuf/proto3_pb.js';
import { freeMemoryAddress, rig } from '../../fixtures/rpc.js';
import { rejection, thrown } from '../../fixtures/transports.js';

noLeaks();

const registry = createRegistry(SmallSchema, MapValuesSchema, WellKnownSchema);

describe('google.protobuf.Any in JSON', () => {
  // message Box { google.protobuf.Any any = 1; }  service Boxes { rpc Echo(Box) returns (Box); }
  const file = create(FileDescriptorProtoSchema, {
    name: 'box.proto',
    package: 'box',
    syntax: 'proto3',
    dependency: ['google/protobuf/any.proto'],
    messageType: [
      {
        name: 'Box',
        field: [
          {
            name: 'any',
            number: 1,
            type: 11,
            label: 1,
            typeName: '.google.protobuf.Any',
            jsonName: 'any',
          },
        ],
      },
    ],
    service: [
      { name: 'Boxes', method: [{ name: 'Echo', inputType: '.box.Box', outputType: '.box.Box' }] },
    ],
  });
  const files = createFileRegistry(file, (name) =>
    name === 'google/protobuf/any.proto' ? file_google_protobuf_any.proto : undefined,
  );
  const Boxes = files.getService('box.Boxes') as NonNullable<ReturnType<typeof files.getService>>;
  const any = create(AnySchema, {
    typeUrl: 'type.googleapis.com/getty.test.proto3.Small',
    value: Uint8Array.of(0x0a, 1, 0x61),
  });

  test('needs the registry of the contract; Protobuf does not', async () => {
    const received: unknown[] = [];
    const With = contract(Boxes, { registry });
    const Without = contract(Boxes, { name: 'Without' });
    const handlers = {
      echo(box: { any?: typeof any }) {
        received.push(box.any && anyUnpack(box.any, SmallSchema)?.A);
        return box;
      },
    };
    await using pair = await rig({
      address: freeMemoryAddress(),
      services: [implement(With, handlers as never), implement(Without, handlers as never)],
    });
    for (const codec of ['json', 'protobuf'] as const) {
      const stub = pair.client.stub(With, { codec }) as unknown as {
        echo(box: object): Promise<{ any: typeof any }>;
      };
      expect(anyUnpack((await stub.echo({ any })).any, SmallSchema)).toMatchObject({ A: 'a' });
    }
    expect(received).toEqual(['a', 'a']);
    const stub = pair.client.stub(Without, { codec: 'json' }) as unknown as {
      echo(box: object): Promise<unknown>;
    };
    expect(await rejection(stub.echo({ any }))).toMatchObject({
      message: expect.stringContaining('not in the type registry'),
    });
  });

  test('does not change the count of the objects of a message, whose map keys it reads', () => {
    const codec = protobufJsonCodec(WellKnownSchema as DescMessage, registry);
    const objectsWith = (key: string): number => {
      const bytes = Buffer.from(
        JSON.stringify({
          strings: Array.from({ length: 1_000 }, String),
          any: {
            '@type': 'type.googleapis.com/getty.test.proto3.MapValues',
            string_field: JSON.parse(`{${JSON.stringify(key)}:"x"}`),
          },
        }),
      );
      codec.decode(bytes, 0, bytes.length);
      return decoded.objects;
    };
    expect(objectsWith('proto')).toBeGreaterThan(1_000);
    expect(objectsWith('__proto__')).toBeGreaterThanOrEqual(objectsWith('proto'));
  });

  test('throws BAD_OPTION for a value that is no registry', () => {
    for (const wrong of [null, {}, [SmallSchema], 'Small'])
      expect(thrown(() => contract(KindsDescriptor, { registry: wrong as never }))).toMatchObject({
        code: 'BAD_OPTION',
      });
  });
});
