/** What the lines of a trace show of the frames that they carry. */
import { expect, test } from 'vitest';
import {
  connect,
  contract,
  implement,
  RpcError,
  serve,
  serverStream,
  unary,
} from '../../../src/rpc/index.js';
import { summarizeFrames } from '../../../src/rpc/wire/frame-summary.js';
import { simulate } from '../../../src/testing/simulation/index.js';
import * as transport from '../../../src/transport/index.js';
import { Shop as descriptor } from '../../fixtures/protobuf/shop_pb.js';

const Shop = contract(descriptor, { name: 'Shop' });

const Greeter = contract('Greeter', {
  hello: unary<string, string>({ idempotent: true }),
  count: serverStream<number, number>(),
});
const greeter = implement(Greeter, {
  hello(name) {
    if (name === '') throw new RpcError('NOT_FOUND', 'no name');
    return `hello, ${name}`;
  },
  async *count(to) {
    for (let i = 1; i <= to; i++) yield i;
  },
});

/** The host that has sent, and the frames in parentheses, with A, B, … instead of sequences. */
function framesOf(lines: readonly string[]): string[] {
  const sequences: string[] = [];
  return lines.flatMap((line) => {
    const [, from, frames] = /^\S+ (\w+):\d+ ~?> .* \((.*)\)$/.exec(line) ?? [];
    const named = frames?.replace(/\b[0-9a-f]{8}\b/g, (sequence) => {
      if (!sequences.includes(sequence)) sequences.push(sequence);
      return 'ABCDEFG'[sequences.indexOf(sequence)] as string;
    });
    return named === undefined ? [] : [`${from}: ${named}`];
  });
}

async function callGreeter(scheme: string, onTrace?: (line: string) => void) {
  return simulate({ seed: 1, onTrace }, async ({ host }) => {
    await host('a', () => serve(`${scheme}://a:1000`, [greeter])).ready();
    const client = await connect(`${scheme}://a:1000`, { heartbeatPeriod: 0 });
    const stub = client.stub(Greeter);
    await stub.hello('Ann');
    await stub.hello('').catch(() => {});
    if (scheme === 'sim') for await (const _ of stub.count(2));
    await client.close();
  });
}

test.each<[string, string[]]>([
  [
    'sim',
    [
      'client: heartbeat A, request B Greeter.hello',
      'a: heartbeat answer A, answer B ok',
      'client: heartbeat C',
      'client: request D Greeter.hello',
      'a: heartbeat answer C',
      'a: answer D NOT_FOUND',
      'client: request E Greeter.count, credit E 196608 bytes',
      'a: item E, item E, end E ok',
    ],
  ],
  [
    'simudp',
    [
      'client: heartbeat A',
      'client: heartbeat B',
      'client: request C Greeter.hello',
      'a: heartbeat answer A',
      'a: heartbeat answer B',
      'a: answer C ok',
      'client: request D Greeter.hello',
      'a: answer D NOT_FOUND',
    ],
  ],
])('%s: a line names the calls and the answers that it carries', async (scheme, expected) => {
  const lines: string[] = [];
  await callGreeter(scheme, (line) => lines.push(line));
  expect(framesOf(lines)).toEqual(expected);
  const again: string[] = [];
  await callGreeter(scheme, (line) => again.push(line));
  expect(again).toEqual(lines);
});

test.each(['json', 'protobuf'] as const)('the headers of calls in %s are read', async (codec) => {
  const lines: string[] = [];
  await simulate({ onTrace: (line) => lines.push(line) }, async ({ host }) => {
    await host('a', () => serve('sim://a:1000', [greeter])).ready();
    await using client = await connect('sim://a:1000', { heartbeatPeriod: 0 });
    const calls = Array.from({ length: 6 }, () => client.stub(Shop, { codec }).order({ id: 'x' }));
    await Promise.allSettled(calls);
  });
  const frames = framesOf(lines).join('\n');
  expect(frames).toContain('request B Shop.Order, request C Shop.Order, request D Shop.Order, and');
  expect(frames).toContain('answer B UNIMPLEMENTED, answer C UNIMPLEMENTED');
});

test('the message of a failure names the calls', async () => {
  const failed = simulate({}, async ({ host, network }) => {
    const a = host('a', () => serve('sim://a:1000', [greeter]));
    await a.ready();
    network.between('client', a, { loss: 0.5 });
    const client = await connect('sim://a:1000', { connectTimeout: 60_000 });
    for (let i = 0; i < 5; i++) await client.stub(Greeter).hello('Ann', { timeout: 60_000 });
    throw new Error('wrong');
  });
  const { message } = (await failed.catch((error: unknown) => error)) as Error;
  expect(message).toMatch(
    / client:\d+ > a:1000 \d+ bytes \(request [0-9a-f]{8} Greeter\.hello\)\n/,
  );
  expect(message).toMatch(/ loses a segment 1x \((request|answer) [0-9a-f]{8} /);
});

test('the frames are not part of the hash', async () => {
  const { traceHash, traceLines } = await callGreeter('sim', () => {});
  expect(await callGreeter('sim')).toMatchObject({ traceHash, traceLines });
});

test('bytes of other protocols have no description', async () => {
  const lines: string[] = [];
  const setup = { codec: transport.lines(), listener: { onMessage() {} } };
  await simulate({ onTrace: (line) => lines.push(line) }, async ({ host }) => {
    await host('a', () => transport.serve('sim://a:1000', setup)).ready();
    const client = await transport.connect('sim://a:1000', setup);
    await (await client.session()).send('hello');
    await client.close();
  });
  expect(lines.some((line) => line.endsWith(' > a:1000 6 bytes'))).toBe(true);
});

test('invalid and incomplete frames have no description', () => {
  const heartbeat = Buffer.alloc(32);
  heartbeat.writeUInt32LE(0x20160905, 0);
  heartbeat.writeInt16LE(1, 4);
  heartbeat.writeUInt32LE(0xabc, 8);
  const both = Buffer.concat([heartbeat, heartbeat, heartbeat.subarray(0, 31)]);
  expect(summarizeFrames(both)).toEqual(['heartbeat 00000abc', 'heartbeat 00000abc']);
  expect(summarizeFrames(both, 1, 33)).toEqual(['heartbeat 00000abc']);
  expect(summarizeFrames(both, 1, 32)).toEqual([]);
  expect(summarizeFrames(both.subarray(1))).toEqual([]);
  both.writeInt16LE(99, 36);
  expect(summarizeFrames(both)).toEqual(['heartbeat 00000abc']);
});
