/** Messages that need much memory for their size. */
import { expect } from 'vitest';

/** Bytes: four times the default of maxMessageBytes. */
export const MAX_MESSAGE_BYTES = 4 * 2 ** 20;
/** The message of the error for too many objects. */
const TOO_MANY = /more than 100000 objects would be made of it, which is maxDecodedObjects/;

/** Returns `before`, as many parts as fit into a message, and `after`. */
export function filled(
  before: string,
  part: string | ((i: number) => string),
  after: string,
): string {
  const partOf = typeof part === 'string' ? () => part : part;
  const parts: string[] = [];
  let size = before.length + after.length;
  for (let i = 0; ; i++) {
    const next = partOf(i);
    size += next.length;
    if (size > MAX_MESSAGE_BYTES) break;
    parts.push(next);
  }
  return before + parts.join('') + after;
}

/** Returns as many parts as fit into a message. */
export const repeated = (part: readonly number[], bytes = MAX_MESSAGE_BYTES): Buffer =>
  Buffer.alloc(bytes - 32 - ((bytes - 32) % part.length), Buffer.from(part));

function varint(value: number): number[] {
  return value > 127 ? [(value & 127) | 128, ...varint(value >>> 7)] : [value];
}

export const tag = (field: number, wireType: number): number[] => varint((field << 3) | wireType);
export const delimited = (field: number, body: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from([...tag(field, 2), ...varint(body.length)]), body]);

/** Expects that `decode` throws a RangeError with this message. */
export function expectRefused(decode: () => unknown, message: RegExp = TOO_MANY): void {
  let error: unknown;
  try {
    decode();
  } catch (caught) {
    error = caught;
  }
  expect(error).toBeInstanceOf(RangeError);
  expect((error as Error).message).toMatch(message);
}
