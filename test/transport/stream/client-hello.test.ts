/** ClientHelloScanner: whether the first bytes of a TLS client are a whole ClientHello. */
import { describe, expect, it } from 'vitest';
import {
  ClientHelloScanner,
  type HelloState,
  MAX_HELLO_BYTES,
} from '../../../src/transport/tls/client-hello.js';
import { recordClientHello } from '../../fixtures/tls-endpoints.js';

/** A ClientHello with `size` bytes after its header, without meaning. */
function helloOf(size: number): Buffer {
  const message = Buffer.alloc(4 + size);
  message.writeUInt32BE(size);
  message[0] = 1;
  return message;
}

/** `message` in records of `recordSize` bytes. */
function recordsOf(message: Buffer, recordSize: number): Buffer {
  const records: Buffer[] = [];
  for (let at = 0; at < message.length; at += recordSize) {
    const fragment = message.subarray(at, at + recordSize);
    const header = Buffer.from([22, 3, 1, 0, 0]);
    header.writeUInt16BE(fragment.length, 3);
    records.push(header, fragment);
  }
  return Buffer.concat(records);
}

/** The state after `bytes`, which is the same if they arrive one by one. */
function helloState(bytes: Buffer): HelloState {
  const state = new ClientHelloScanner().scan(bytes);
  const scanner = new ClientHelloScanner();
  let last: HelloState = 'incomplete';
  for (let at = 0; at < bytes.length && last === 'incomplete'; at++)
    last = scanner.scan(bytes.subarray(at, at + 1));
  expect(last).toBe(state);
  return state;
}

describe('ClientHelloScanner', () => {
  it('is incomplete until the last byte of the ClientHello of Node.js', async () => {
    const hello = await recordClientHello();
    for (let end = 0; end < hello.length; end++)
      expect(helloState(hello.subarray(0, end))).toBe('incomplete');
    expect(helloState(hello)).toBe('complete');
  });

  it('ignores what follows the ClientHello, such as early data', () => {
    const hello = recordsOf(helloOf(200), 300);
    expect(helloState(Buffer.concat([hello, Buffer.from('1703030001ff', 'hex')]))).toBe('complete');
  });

  it.each([4, 7, 100, 203])('reads a ClientHello in records of %d bytes', (recordSize) => {
    const hello = recordsOf(helloOf(200), recordSize);
    for (let end = 0; end < hello.length; end++)
      expect(helloState(hello.subarray(0, end))).toBe('incomplete');
    expect(helloState(hello)).toBe('complete');
  });

  it('reads a message header that is divided among records, and empty records', () => {
    const empty = Buffer.from([22, 3, 1, 0, 0]);
    const hello = Buffer.concat([empty, recordsOf(helloOf(2), 1)]);
    expect(helloState(hello.subarray(0, -1))).toBe('incomplete');
    expect(helloState(hello)).toBe('complete');
  });

  it.each([
    ['plain text', Buffer.from('G')],
    ['an alert', Buffer.from([21])],
    ['another handshake message', recordsOf(Buffer.from([2, 0, 0, 0]), 4)],
    ['a record that is too long', Buffer.from([22, 3, 1, 0x40, 1])],
    [
      'other records within the ClientHello',
      Buffer.concat([recordsOf(Buffer.of(1), 1), Buffer.of(23)]),
    ],
  ])('does not accept %s', (_, bytes) => {
    expect(helloState(bytes)).toBe('not TLS');
  });

  it('accepts 16 KiB, and no more than 64 records', () => {
    expect(helloState(recordsOf(helloOf(MAX_HELLO_BYTES - 4), MAX_HELLO_BYTES))).toBe('complete');
    expect(helloState(recordsOf(helloOf(MAX_HELLO_BYTES - 3).subarray(0, 4), 4))).toBe('too large');
    expect(helloState(recordsOf(helloOf(60), 1))).toBe('complete');
    expect(helloState(recordsOf(helloOf(61), 1))).toBe('too large');
  });
});
