/** mapCodec(): a codec around another codec. */
import { expect, it } from 'vitest';
import { connect, delimiter, lines, mapCodec, serve } from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { thrown } from '../../fixtures/transports.js';
import { until } from '../../fixtures/waiting.js';

noLeaks();

it('converts the messages of another codec, and rejects invalid arguments with BAD_OPTION', async () => {
  const codec = mapCodec(delimiter(';'), Number, (value: number) => Buffer.from(String(value)));
  const values: number[] = [];
  const address = 'memory://map-codec';
  const server = await serve<number>(address, {
    codec,
    listener: { onMessage: (_, value) => values.push(value) },
  });
  const client = await connect<number>(address, {
    codec,
    listener: { onOpen: (session) => session.write(1), onMessage() {} },
  });
  client.current?.write(2.5);
  await until(() => values.length === 2, 'two numbers arrived');
  expect(values).toEqual([1, 2.5]);
  for (const [name, create] of [
    ['codec', () => mapCodec({} as never, Number, String as never)],
    ['decode', () => mapCodec(lines(), 'x' as never, String)],
    ['encode', () => mapCodec(lines(), Number, undefined as never)],
  ] as const) {
    expect(thrown(create)).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining(name),
    });
  }
  await client.close();
  await server.close();
});
