/** Bodies of all sizes, from 0 to 16 MiB. */
import { describe, expect, test } from 'vitest';
import { connect, contract, implement, serve, unary } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { Kinds as descriptor } from '../../fixtures/protobuf/kinds_pb.js';
import { TRANSPORTS } from '../../fixtures/transports.js';

/** The largest body is 2^24 bytes over TCP, and 2^21 bytes over the others. */
const LARGEST_POWERS: Record<string, number> = { tcp: 24, memory: 21, ws: 21 };
const Echo = contract('Echo', { echo: unary<string, string>() });
const Kinds = contract(descriptor);

noLeaks();

describe.each(TRANSPORTS.filter(({ name }) => name in LARGEST_POWERS))('$name', (row) => {
  const largestPower = LARGEST_POWERS[row.name] as number;
  /** A frame with the largest body, its header and its sections. */
  const maxMessageBytes = 2 ** largestPower + 1_000;
  const sizes = [
    0,
    ...Array.from({ length: largestPower + 1 }, (_, power) => [
      2 ** power - 1,
      2 ** power,
      2 ** power + 1,
    ]).flat(),
  ];

  test('carries bodies of each power of two, one less and one more', async () => {
    const session = { ...row.options, maxMessageBytes, maxQueuedBytes: 4 * maxMessageBytes };
    const services = [
      implement(Echo, { echo: (text) => text }),
      implement(Kinds, {
        double: () => ({}),
        note: ({ text }) => ({ text }),
        settle: () => ({}),
        count: () => [],
        sum: () => ({}),
        async *chat(texts) {
          yield* texts;
        },
      }),
    ];
    const server = await serve(row.free(), services, { session });
    const client = await connect(server.address, {
      session,
      connections: 1,
      reconnect: false,
      timeout: 30_000,
    });
    const { echo } = client.stub(Echo);
    const { note, chat } = client.stub(Kinds);
    for (const size of sizes) {
      // The JSON body has two quotes more.
      const json = 'j'.repeat(Math.max(0, size - 2));
      expect((await echo(json)) === json, `${size} bytes of JSON`).toBe(true);
      const text = 'p'.repeat(size);
      expect((await note({ text })).text === text, `text of ${size} bytes in Protobuf`).toBe(true);
    }
    const texts = sizes
      .filter((size) => size <= 2 ** 20)
      .map((size) => ({
        text: 's'.repeat(size),
      }));
    let index = 0;
    for await (const { text } of chat(texts))
      expect(text.length, `item ${index}`).toBe(texts[index++]?.text.length);
    expect(index).toBe(texts.length);
    client.destroy();
    server.destroy();
    await Promise.all([client.close(), server.close()]);
  });
});
