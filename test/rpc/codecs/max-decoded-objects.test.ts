/** The limit of the objects of a decoded message. */
import { create, type DescMessage, fromBinary, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { describe, expect, test } from 'vitest';
import { protobufCodec } from '../../../src/rpc/codecs/protobuf/codec.js';
import { checkObjectCount } from '../../../src/rpc/codecs/protobuf/object-counter.js';
import { parseJson } from '../../../src/transport/codecs/json-text.js';
import { answersOf, Feed, feedRequest, feedRig, itemFrame } from '../../fixtures/feed.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { WellKnownSchema } from '../../fixtures/protobuf/proto3_pb.js';
import { connectOnce } from '../../fixtures/rpc.js';
import { frameBytes } from '../../fixtures/rpc-frames.js';

noLeaks();

describe('maxDecodedObjects', () => {
  const bomb = `[${'[],'.repeat(200_000)}[]]`;

  test('limits the objects of an argument, and the session stays open', async () => {
    await using s = await feedRig();
    const head = JSON.stringify({ Service: 'Feed', Method: 'ask', CallType: 'CT_TwoWay' });
    await s.peer.send(
      frameBytes({ sequence: 3n, serviceId: 1, head, body: bomb }),
      feedRequest('ask', 5n, [{}]),
    );
    const all = await answersOf(s.peer, 2);
    expect(all.get(3n)).toContain(
      'more than 100000 objects would be made of it, which is maxDecodedObjects',
    );
    expect(all.get(5n)).toBe('ok');
  });

  test('limits the objects of an item of a stream', async () => {
    await using s = await feedRig({ maxDecodedObjects: 10 });
    await s.peer.send(feedRequest('sum', 3n), itemFrame(3n, Array(11).fill([])));
    s.startReading();
    expect((await answersOf(s.peer, 1)).get(3n)).toContain('maxDecodedObjects');
  });

  test('limits the objects of a reply', async () => {
    await using s = await feedRig();
    await using client = await connectOnce(s.server.address, {
      maxDecodedObjects: 9,
    });
    // An empty object counts as two.
    const replies = client.stub(Feed).all(5)[Symbol.asyncIterator]();
    await expect(replies.next()).rejects.toMatchObject({
      code: 'INTERNAL',
      message: expect.stringContaining('maxDecodedObjects'),
    });
    expect((await client.stub(Feed).all(4)[Symbol.asyncIterator]().next()).value).toHaveLength(4);
  });

  test('counts values and names of JSON, but nothing within strings', () => {
    const count = (text: string): number => {
      const bytes = Buffer.from(text);
      let limit = 0;
      for (; ; limit++) {
        try {
          parseJson(bytes, 0, bytes.length, limit);
          return limit;
        } catch (error) {
          if (!(error instanceof RangeError)) throw error;
        }
      }
    };
    const long = 'x'.repeat(100);
    // Seven values, and four names that count five each.
    expect(count(JSON.stringify({ a: [1, 2, 3], b: { c: '[]{}::,,"\\' }, [`:${long}`]: '' }))).toBe(
      27,
    );
    // 100 values and 150 names, three of which are different.
    expect(count(JSON.stringify(Array(50).fill({ a: 1, [long]: 2, c: 3 })))).toBe(
      50 + 150 + 150 + 12,
    );
    expect(count(`[{"a":1,"a${long}":1},{"\\u0061":1,"\\u0061":1}]`)).toBe(2 + 4 + 4 + 16);
    expect(count(JSON.stringify(Array(50).fill(1)))).toBe(50);
  });

  /** A list of empty messages. Each has two bytes. */
  const files = (count: number): Buffer => Buffer.alloc(2 * count, Buffer.from([0x0a, 0]));
  const decode = (schema: DescMessage, bytes: Buffer, limit?: number): unknown =>
    protobufCodec(schema).decode(bytes, 0, bytes.length, limit);

  test.each<[string, (schema: DescMessage, bytes: Buffer, limit?: number) => unknown]>([
    ['compiled', decode],
    [
      'interpreted',
      (schema, bytes, limit = 100_000) => {
        checkObjectCount(schema, bytes, 0, bytes.length, limit);
        return fromBinary(schema, bytes);
      },
    ],
  ])('counts messages of Protobuf and their lists, %s', (kind, read) => {
    const { members } = FileDescriptorProtoSchema;
    const lists =
      1 + members.filter((member) => member.kind === 'field' && member.fieldKind === 'list').length;
    expect(lists).toBeGreaterThan(5);
    // protobuf-es takes longer: for it an object counts as four, and a field as one.
    const each = kind === 'compiled' ? lists : 4 * lists + 1;
    expect(() => read(FileDescriptorSetSchema, files(10), 10 * each - 1)).toThrow(
      `more than ${10 * each - 1} objects`,
    );
    expect(read(FileDescriptorSetSchema, files(10), 10 * each)).toMatchObject({
      file: { length: 10 },
    });
    const before = process.memoryUsage().heapUsed;
    expect(() => read(FileDescriptorSetSchema, files(2_000_000))).toThrow(
      'more than 100000 objects',
    );
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(50 * 2 ** 20);
  });

  test.each([
    ['compiled', decode],
    [
      'interpreted',
      (schema: DescMessage, bytes: Buffer, limit = 100_000) =>
        checkObjectCount(schema, bytes, 0, bytes.length, limit),
    ],
  ])(
    'counts a Struct for each occurrence of its field, because each one is converted, %s',
    (_, read) => {
      const json = Object.fromEntries(Array.from({ length: 500 }, (_, n) => [`key ${n}`, n]));
      const once = toBinary(WellKnownSchema, create(WellKnownSchema, { json }));
      // The field with an empty Struct has three bytes at most.
      const again = toBinary(WellKnownSchema, create(WellKnownSchema, { json: {} }));
      expect(() => read(WellKnownSchema, Buffer.from(once))).not.toThrow();
      expect(() =>
        read(WellKnownSchema, Buffer.concat([once, ...Array<Uint8Array>(1_000).fill(again)])),
      ).toThrow('more than 100000 objects');
    },
  );
});
