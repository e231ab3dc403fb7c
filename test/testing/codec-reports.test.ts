/** The messages of failed codecCases(). */
import { expect, test } from 'vitest';
import { codecCases } from '../../src/testing/index.js';
import { type Codec, mapCodec } from '../../src/transport/index.js';

/** The messages of the failed cases, by the names of the cases. */
function reports<T>(codec: Codec<T>, messages: readonly T[]): Record<string, string> {
  const found: Record<string, string> = {};
  for (const { name, run } of codecCases(codec, messages)) {
    try {
      run();
    } catch (error) {
      found[name] = (error as Error).message;
    }
  }
  return found;
}

/** Text with its length in a byte. */
const text: Codec<string> = {
  read(input) {
    const length = input.peek(0);
    if (length === undefined || input.length <= length) return undefined;
    input.skip(1);
    return input.takeText(length);
  },
  write(output, message) {
    output.uint8(Buffer.byteLength(message));
    output.text(message);
  },
};

test('the message of a failed case shows the first value that arrived changed', () => {
  const upper = mapCodec(text, (given) => given.toUpperCase(), String);
  expect(reports(upper, ['A', 'b'])).toMatchObject({
    'message 2: arrives as it was sent':
      "in one chunk: the message arrived changed: sent 'b', received 'B'",
    'all messages arrive from one chunk':
      "in one chunk: message 2 of 4 arrived changed: sent 'b', received 'B'",
  });
});

test('the message of a failed case says what is missing or left over', () => {
  const eager: Codec<string> = {
    ...text,
    read(input) {
      if (input.length < 2) return undefined;
      input.skip(1);
      return input.takeText(1);
    },
  };
  expect(reports(eager, ['abc'])).toMatchObject({
    'message 1: is awaited while it is incomplete':
      "from the first 2 of its 4 bytes: read() returned 'a', expected a wait for more bytes",
  });
  const late: Codec<string> = {
    ...text,
    write(output, message, session) {
      text.write(output, message, session);
      output.uint8(9);
    },
  };
  expect(reports(late, ['abc'])).toMatchObject({
    'message 1: arrives as it was sent':
      'in one chunk: read() left 1 byte that write() had written',
  });
  const waiting: Codec<string> = { ...text, read: () => undefined };
  expect(reports(waiting, ['abc'])).toMatchObject({
    'message 1: arrives as it was sent':
      'in one chunk: read() returned 0 messages, and no message from the last 4 bytes; ' +
      'sent: 1 message',
  });
});

test('write() that is not deterministic fails one case, and not as if it kept bytes', () => {
  let number = 0;
  const numbered: Codec<string> = {
    read: (input, session) => text.read(input, session)?.replace(/^\d+ /, ''),
    write: (output, message, session) => text.write(output, `${number++} ${message}`, session),
  };
  expect(Object.keys(reports(numbered, ['abc']))).toEqual([
    'message 1: has the same bytes each time',
  ]);
});
