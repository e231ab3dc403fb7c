/** Floods of pings, while the peer reads and while it does not. */
import { beforeEach, expect, it, vi } from 'vitest';
import { nextTurn } from '../../../src/core/turn.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { turns, until } from '../../fixtures/waiting.js';
import { blockedConnection } from './blocked-stream.js';

noLeaks();
// The budget of a turn belongs to the process, so each test begins with a new turn.
beforeEach(nextTurn);

/** One turn of the event loop reads more chunks than this. */
const CHUNKS_PER_TURN = 16;
const PONG_BYTES = 3;
const MAX_UNREAD_BYTES = 64 * 1024;

/** A ping with a payload of one byte, and its pong in hex. */
const ping = (byte: number): Buffer => Buffer.from([0x89, 0x81, 0, 0, 0, 0, byte & 0xff]);
const pong = (byte: number): string => `8a01${(byte & 0xff).toString(16).padStart(2, '0')}`;

it('answers each ping while the peer reads', async () => {
  const { stream } = blockedConnection();
  for (let i = 0; i < 100; i++) {
    await nextTurn();
    stream.events?.onData(ping(i));
    stream.takeAll();
  }
  expect(stream.written).toEqual(Array.from({ length: 100 }, (_, i) => pong(i)));
});

it('answers the pings of one chunk in one write for each turn of the event loop', async () => {
  const { stream } = blockedConnection();
  const answers = Array.from({ length: 1_000 }, (_, i) => pong(i)).join('');
  stream.events?.onData(Buffer.concat(Array.from({ length: 1_000 }, (_, i) => ping(i))));
  await until(() => stream.written.join('').length >= answers.length, 'the pongs');
  expect(stream.written.join('')).toBe(answers);
  expect(stream.written.length).toBeLessThan(20);
});

/** A frame of a client with the byte 7, or without a payload. */
const frame = (first: number, hasPayload: boolean): Buffer =>
  Buffer.from(hasPayload ? [first, 0x81, 0, 0, 0, 0, 7] : [first, 0x80, 0, 0, 0, 0]);

it.each([
  ['pings', frame(0x89, false), frame(0x82, true)],
  ['pongs', frame(0x8a, false), frame(0x82, true)],
  ['fragments', frame(0x00, true), frame(0x80, true)],
])('reads a chunk of very many %s in several turns of the event loop', async (name, one, last) => {
  const { stream, received } = blockedConnection();
  const first = name === 'fragments' ? frame(0x02, true) : one;
  const frames = Buffer.concat([first, ...Array<Buffer>(9_999).fill(one)]);
  // The time that reading takes: each look at the clock is a millisecond later than the last one.
  let time = performance.now();
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => ++time);
  stream.events?.onData(Buffer.concat([frames, last]));
  let count = 0;
  for (; received.length === 0; count++) await turns();
  clock.mockRestore();
  expect(count).toBeGreaterThan(5);
});

it('answers only the latest ping after 64 KiB of pongs that the peer does not read', async () => {
  const { stream } = blockedConnection();
  const most = Math.ceil(MAX_UNREAD_BYTES / PONG_BYTES);
  for (let i = 0; i < most + 1_000; i++) {
    if (i % CHUNKS_PER_TURN === 0) await nextTurn();
    stream.events?.onData(ping(i));
  }
  await until(() => stream.written.length >= most, 'the pongs up to the limit');
  expect(stream.written).toHaveLength(most);
  stream.takeAll();
  expect(stream.written.slice(most)).toEqual([pong(most + 999)]);
  stream.takeAll();
  expect(stream.written).toHaveLength(most + 1);
  stream.events?.onData(ping(7));
  expect(stream.written.at(-1)).toBe('8a0107');
});

it('waits until the peer has read the pongs, and not for other writes', async () => {
  const { stream, connection } = blockedConnection();
  for (let i = 0; i < Math.ceil(MAX_UNREAD_BYTES / PONG_BYTES) + 1; i++) {
    if (i % CHUNKS_PER_TURN === 0) await nextTurn();
    stream.events?.onData(ping(1));
  }
  stream.bufferedBytes = 0;
  connection.write(Buffer.alloc(100));
  stream.events?.onTaken();
  expect(stream.written.at(-1)).toBe('8a0101');
});

it('sends no ping behind bytes that the peer does not read', () => {
  const { stream, connection } = blockedConnection();
  for (let i = 0; i < 100; i++) connection.ping();
  expect(stream.written).toEqual(['8900']);
});

it('sends nothing after its close frame', () => {
  const { stream, connection } = blockedConnection();
  connection.end();
  connection.end();
  connection.ping();
  stream.events?.onData(ping(1));
  expect(stream.written).toEqual(['880203e8']);
});
