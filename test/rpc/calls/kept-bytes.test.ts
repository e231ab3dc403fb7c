/** Views of received bytes that a program keeps. */
import { BytesValueSchema } from '@bufbuild/protobuf/wkt';
import { describe, expect, test } from 'vitest';
import { protobufCodec } from '../../../src/rpc/codecs/protobuf/codec.js';
import { contract, implement, serve, unary } from '../../../src/rpc/index.js';
import type { MessageCodec } from '../../../src/rpc/types.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { connectOnce, freeMemoryAddress, TCP, withCodecs } from '../../fixtures/rpc.js';

noLeaks();

describe('the bytes of a decoded message', () => {
  /** A codec whose message is a view of the body. */
  const view: MessageCodec = {
    encode: (output, bytes) => output.append(bytes as Buffer),
    decode: (bytes, start, end) => bytes.subarray(start, end),
  };
  const Blobs = contract('Blobs', { keep: unary<unknown, unknown>() });
  const codecs = { protobuf: protobufCodec(BytesValueSchema) as MessageCodec };

  test.each([TCP, 'memory'])(
    'do not change while a handler or a caller keeps a view of them: %s',
    async (address) => {
      const kept: Buffer[] = [];
      const replies: Buffer[] = [];
      const Views = withCodecs(Blobs, { json: view }, { json: view });
      await using server = await serve(address === 'memory' ? freeMemoryAddress() : address, [
        implement(Views, {
          keep(bytes) {
            kept.push(bytes as Buffer);
            return bytes;
          },
        }),
      ]);
      await using client = await connectOnce(server.address);
      const stub = client.stub(Views);
      const size = (index: number): number => [10, 500, 5_000, 60_000][index % 4] as number;
      for (let round = 0; round < 10; round++) {
        const answers = Array.from(
          { length: 20 },
          (_, index) => stub.keep(Buffer.alloc(size(index), round * 20 + index)) as Promise<Buffer>,
        );
        replies.push(...(await Promise.all(answers)));
      }
      const wrong = [kept, replies].map(
        (list) =>
          list.filter((bytes, index) => !bytes.equals(Buffer.alloc(size(index % 20), index)))
            .length,
      );
      expect([kept.length, replies.length, ...wrong]).toEqual([200, 200, 0, 0]);
    },
  );

  test('do not change in a bytes field of Protobuf', async () => {
    const kept: Uint8Array[] = [];
    const Messages = withCodecs(Blobs, codecs, codecs);
    await using server = await serve(TCP, [
      implement(Messages, {
        keep(message) {
          kept.push((message as { value: Uint8Array }).value);
          return { value: new Uint8Array(3) };
        },
      }),
    ]);
    await using client = await connectOnce(server.address);
    for (let index = 0; index < 200; index++)
      await client.stub(Messages).keep({ value: new Uint8Array(100 + index).fill(index) });
    expect(
      kept.filter(
        (bytes, index) =>
          bytes.length !== 100 + index || !bytes.every((byte) => byte === index % 256),
      ),
    ).toEqual([]);
    expect(kept).toHaveLength(200);
  });
});
