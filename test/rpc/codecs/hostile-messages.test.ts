/** Names of Object.prototype and deep nesting in what a peer sends. */
import { describe, expect, test } from 'vitest';
import { contract, implement, type RpcError, serve, unary } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { RawPeer, RawServer } from '../../fixtures/raw-peer.js';
import { connectOnce, freeMemoryAddress, outcome, rig, testService } from '../../fixtures/rpc.js';
import { frameBytes, jsonRequest, PROTOBUF_CODEC } from '../../fixtures/rpc-frames.js';
import { rejection, thrown } from '../../fixtures/transports.js';

noLeaks();

describe('a name of Object.prototype', () => {
  const NAMES = [
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
    'valueOf',
    '__defineGetter__',
    '',
  ];
  const Echo = contract('Echo', {
    echo: unary<unknown, unknown>(),
    metadata: unary<unknown, unknown>(),
  });
  const echo = implement(Echo, {
    echo: (value) => value,
    metadata: (_, { metadata }) => Object.entries(metadata),
  });
  /** What a polluted prototype would have. */
  const pollution = (): unknown[] => [
    Object.keys(Object.prototype),
    ({} as { polluted?: unknown }).polluted,
    Object.keys(Function.prototype),
  ];

  test.each(NAMES)('is UNIMPLEMENTED as a service or method: %j', async (name) => {
    await using server = await serve(freeMemoryAddress(), [echo, testService()]);
    await using peer = await RawPeer.connect(server.address);
    const head = Buffer.from(
      `\x0a${String.fromCharCode(name.length)}${name}\x12${String.fromCharCode(name.length)}${name}\x18\x02`,
      'latin1',
    );
    await peer.send(
      jsonRequest(name, 'echo', 1),
      jsonRequest('Echo', name, 1),
      jsonRequest(name, name, 1),
      jsonRequest('Echo', 'echo', 1, { more: { Version: name } }),
      frameBytes({ codec: PROTOBUF_CODEC, head }),
    );
    const answers = await peer.frames.take(5);
    expect(answers.slice(0, 3).map(({ head: text }) => JSON.parse(`${text}`).Code)).toEqual([
      12, 12, 12,
    ]);
    // A service without a version serves every version.
    expect([answers[3]?.code, answers[4]?.code]).toEqual([0, 1]);
    expect(pollution()).toEqual([[], undefined, []]);
  });

  test('is data as a key of metadata or of an argument', async () => {
    await using pair = await rig({ services: [echo] });
    await using peer = await RawPeer.connect(pair.server.address);
    const json =
      '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"toString":"x","hasOwnProperty":"y"}';
    await peer.send(
      frameBytes({
        head: '{"Service":"Echo","Method":"echo","CallType":2,"__proto__":{"polluted":1}}',
        body: json,
      }),
    );
    expect((await peer.frames.next()).body.toString()).toBe(json);
    await peer.send(
      frameBytes({
        head: '{"Service":"Echo","Method":"metadata","CallType":2,"Metadata":{"__proto__":"a","constructor":"b","toString":"c","x":{"polluted":1}}}',
      }),
    );
    expect((await peer.frames.next()).body.toString()).toBe(
      '[["__proto__","a"],["constructor","b"],["toString","c"]]',
    );
    const metadata = Object.assign(Object.create(null) as Record<string, string>, {
      ['__proto__']: 'p',
      toString: 't',
    });
    expect(await pair.client.stub(Echo).metadata(1, { metadata })).toEqual([
      ['__proto__', 'p'],
      ['toString', 't'],
    ]);
    expect(pollution()).toEqual([[], undefined, []]);
  });

  test('is data as a key of the metadata of an error', async () => {
    await using server = await RawServer.serve();
    await using client = await connectOnce(server.address);
    const call = rejection<RpcError>(client.stub(Echo).echo(1));
    const { sequence, peer } = await server.requests.next();
    peer.session.write(
      frameBytes({
        command: 4,
        code: 1,
        sequence,
        head: '{"Error":"e","Metadata":{"__proto__":"a","polluted":"b"},"__proto__":{"Code":5}}',
      }),
    );
    const { code, metadata } = await call;
    expect([code, Object.entries(metadata)]).toEqual([
      'UNKNOWN',
      [
        ['__proto__', 'a'],
        ['polluted', 'b'],
      ],
    ]);
    expect(pollution()).toEqual([[], undefined, []]);
  });

  test('is a valid name of a method', async () => {
    const Odd = contract('Odd', {
      toString: unary<number, number>(),
      constructor: unary<number, number>(),
      hasOwnProperty: unary<number, number>(),
    });
    const handlers = {
      toString: (n: number) => n + 1,
      constructor: (n: number) => n + 2,
      hasOwnProperty: (n: number) => n + 3,
    };
    await using pair = await rig({ services: [implement(Odd, handlers as never)] });
    const stub = pair.client.stub(Odd) as unknown as Record<string, (n: number) => Promise<number>>;
    expect(
      await Promise.all(
        ['toString', 'constructor', 'hasOwnProperty'].map((name) => stub[name]?.(1)),
      ),
    ).toEqual([2, 3, 4]);
    expect(thrown(() => implement(Odd, {} as never)).code).toBe('BAD_OPTION');
  });
});

test('a deeply nested message gets an answer, and the session stays open', async () => {
  const Echo = contract('Echo', { echo: unary<unknown, unknown>() });
  await using pair = await rig({
    services: [implement(Echo, { echo: (value) => value }), testService()],
  });
  await using peer = await RawPeer.connect(pair.server.address);
  const depth = 300_000;
  const head = '{"Service":"Echo","Method":"echo","CallType":2}';
  const deep = (open: string, close: string, times = depth): string =>
    open.repeat(times) + close.repeat(times);
  const bodies = [
    deep('[', ']'),
    deep('{"a":', '}', 150_000).replace(':}', ':1}'),
    '['.repeat(depth),
  ];
  const requests = [
    ...bodies.map((body) => frameBytes({ head, body })),
    ...bodies.map((body) =>
      frameBytes({
        head: head.replace('Echo', 'TestService').replace('echo', 'Add'),
        body: `{"A":${body.slice(0, 1_000_000)}`,
      }),
    ),
    frameBytes({
      head: `{"Service":"Echo","Method":"echo","CallType":2,"Deep":${deep('[', ']', 32_000)}}`,
      body: '1',
    }),
    frameBytes({
      codec: PROTOBUF_CODEC,
      head: Buffer.from('\x0a\x0bTestService\x12\x03Add\x18\x02', 'latin1'),
      body: Buffer.alloc(depth, 0x7b),
    }),
    frameBytes({ codec: PROTOBUF_CODEC, head: Buffer.alloc(60_000, 0x0b) }),
  ];
  for (const request of requests) {
    await peer.send(request);
    expect((await peer.frames.next()).command).toBe(4);
  }
  expect(await outcome(pair.stub.add({}))).toBe('ok');
  expect(peer.session.closed).toBe(false);
});
