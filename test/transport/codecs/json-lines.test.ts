/** jsonLines(): one JSON value per line, and the limits of a line. */
import { inspect } from 'node:util';
import { expect, it, vi } from 'vitest';
import { ByteReader, connect, jsonLines, raw, serve } from '../../../src/transport/index.js';
import { decode, encode, everySplit } from '../../fixtures/chunks.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { thrown } from '../../fixtures/transports.js';
import { until } from '../../fixtures/waiting.js';

noLeaks();

const read = (text: string): unknown[] => decode(jsonLines(), [Buffer.from(text)]);

it('reads and writes one value per line, and skips empty lines', () => {
  const wire = Buffer.from('{"a":1}\r\n\n  \n[]\nnull\n"grün\\n"\n  7 \n\n');
  for (const chunks of everySplit(wire))
    expect(decode(jsonLines(), chunks)).toEqual([{ a: 1 }, [], null, 'grün\n', 7]);
  expect(encode(jsonLines(), [{ a: 'x\ny' }, null, 7]).toString()).toBe('{"a":"x\\ny"}\nnull\n7\n');
});

it('does not quote a line that is not JSON in its error', () => {
  expect(inspect(thrown(() => read('{"password":secret-1}\n')))).not.toContain('secret');
});

it.each(['{', 'hello', "{'a':1}", '{"a":1}{"b":2}', '[1,]', 'NaN', '\u{feff}1', '\0'])(
  'rejects the line %j with BAD_FRAME and a SyntaxError as the cause',
  (text) => {
    expect(thrown(() => read(`${text}\n`))).toMatchObject({
      code: 'BAD_FRAME',
      message: expect.stringContaining(`a line of ${Buffer.byteLength(text)} bytes is not JSON`),
      cause: expect.any(SyntaxError),
    });
  },
);

it('reads keys such as __proto__ as own properties, and changes no prototype', () => {
  const [message] = read(
    '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"toString":"mine"}\n',
  ) as [Record<string, unknown>];
  expect(Object.keys(message)).toEqual(['__proto__', 'constructor', 'toString']);
  expect(Object.getPrototypeOf(message)).toBe(Object.prototype);
  expect((message as { polluted?: number }).polluted).toBeUndefined();
  expect(({} as { polluted?: number }).polluted).toBeUndefined();
  expect(encode(jsonLines(), [message]).toString()).toContain('"__proto__":{"polluted":1}');
});

it('reads 100 levels of nesting, and rejects more, with or without closing brackets', () => {
  const nested = (depth: number): string => `${'['.repeat(depth)}${']'.repeat(depth)}\n`;
  expect(read(nested(100))).toHaveLength(1);
  for (const text of [
    nested(101),
    nested(1_000_000),
    `${'['.repeat(1_000_000)}\n`,
    `${'{"a":'.repeat(500_000)}\n`,
  ])
    expect(thrown(() => read(text))).toMatchObject({
      code: 'BAD_FRAME',
      message: expect.stringContaining('nested in more than 100 levels'),
    });
});

it('rejects a line with more values and names than maxDecodedObjects, and reads the next line', () => {
  const codec = jsonLines({ maxDecodedObjects: 12 });
  expect(decode(codec, [Buffer.from('[1,2,3,4,5,6,7,8,9]\n{"a":1,"b":2}\n')])).toEqual([
    [1, 2, 3, 4, 5, 6, 7, 8, 9],
    { a: 1, b: 2 },
  ]);
  for (const text of [
    `[${'1,'.repeat(12)}1]\n`,
    '{"a":1,"b":2,"c":3}\n',
    `[${'[],'.repeat(6)}[]]\n`,
  ])
    expect(thrown(() => decode(codec, [Buffer.from(text)]))).toMatchObject({
      code: 'BAD_FRAME',
      message: expect.stringContaining(
        'more than 12 objects would be made of it, which is maxDecodedObjects',
      ),
      cause: expect.any(RangeError),
    });
  expect(decode(codec, [Buffer.from('"[,,,,,,,]"\n')])).toEqual(['[,,,,,,,]']);
});

it.each([
  ['numbers', '1,'],
  ['texts', '"",'],
  ['arrays', '[],'],
  ['objects', '{"a":1},'],
])(
  'with the defaults rejects 4 MiB of %s, and reads 30,000 of them and a string of 4 MB',
  (_, part) => {
    const array = (count: number): string => `[${part.repeat(count)}0]\n`;
    expect(thrown(() => read(array(Math.floor(2 ** 22 / part.length))))).toMatchObject({
      code: 'BAD_FRAME',
      cause: expect.any(RangeError),
    });
    expect(read(array(30_000))).toHaveLength(1);
    expect(read(`"${part.replaceAll('"', "'").repeat(4_000_000 / part.length)}"\n`)).toHaveLength(
      1,
    );
  },
);

it('skips a million empty lines with one search', () => {
  const input = new ByteReader();
  input.feed(Buffer.from(`${' \r\n'.repeat(1_000_000)}7\n`));
  const search = vi.spyOn(input, 'indexOf');
  expect(jsonLines().read(input, undefined as never)).toBe(7);
  expect(search).toHaveBeenCalledTimes(1);
});

it('rejects invalid options with BAD_OPTION', () => {
  for (const options of [
    { maxDecodedObjects: 0 },
    { maxDecodedObjects: '9' },
    { maxDecodedObject: 9 },
    null,
    5,
  ])
    expect(thrown(() => jsonLines(options as never))).toMatchObject({ code: 'BAD_OPTION' });
  expect(thrown(() => jsonLines({ maxDecodedObject: 9 } as never)).message).toContain(
    'did you mean maxDecodedObjects?',
  );
});

it.each([
  ['undefined', undefined],
  ['function', () => {}],
  ['symbol', Symbol('x')],
])('throws ENCODE_FAILED for the message %s, which has no JSON form', (what, value) => {
  expect(thrown(() => encode(jsonLines(), [value]))).toMatchObject({
    code: 'ENCODE_FAILED',
    message: `a ${what} has no JSON form`,
  });
});

it('throws ENCODE_FAILED for a circular object and a bigint, with a TypeError as the cause', () => {
  const circle: { self?: unknown } = {};
  circle.self = circle;
  for (const value of [circle, 7n]) {
    expect(thrown(() => encode(jsonLines(), [value]))).toMatchObject({
      code: 'ENCODE_FAILED',
      cause: expect.any(TypeError),
    });
  }
});

it('skips empty lines on a WebSocket, and rejects a message of two values with BAD_FRAME', async () => {
  const values: unknown[] = [];
  const errors: string[] = [];
  const server = await serve<unknown>('ws://127.0.0.1:0', {
    codec: jsonLines(),
    listener: {
      onMessage: (_, value) => values.push(value),
      onError: (_, error) => errors.push(error.code),
    },
  });
  const client = await connect(server.address, { codec: raw(), listener: { onMessage() {} } });
  for (const text of ['\n', ' \r\n', '{"a":1}\n\n', '{"a":2}\n'])
    client.current?.write(Buffer.from(text));
  await until(() => values.length === 2, 'two values arrived');
  client.current?.write(Buffer.from('1\n2\n'));
  await until(() => errors.length > 0, 'two values in one message are rejected');
  expect(values).toEqual([{ a: 1 }, { a: 2 }]);
  expect(errors).toEqual(['BAD_FRAME']);
  await client.close();
  await server.close();
});
