/** JSON of untrusted peers: deep nesting, and keys with a special meaning for objects. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  connect,
  contract,
  implement,
  type RpcError,
  serve,
  unary,
} from '../../../src/rpc/index.js';
import { parseJson } from '../../../src/transport/codecs/json-text.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { Kinds as KindsDescriptor } from '../../fixtures/protobuf/kinds_pb.js';
import { RawPeer, RawServer } from '../../fixtures/raw-peer.js';
import { CODECS, channelOf, freeMemoryAddress, outcome, rig } from '../../fixtures/rpc.js';
import { frameBytes, jsonRequest } from '../../fixtures/rpc-frames.js';
import { rejection, thrown } from '../../fixtures/transports.js';
import { Inbox } from '../../fixtures/waiting.js';

noLeaks();

const parse = (text: string): unknown => {
  const bytes = Buffer.from(`before${text}after`);
  return parseJson(bytes, 6, bytes.length - 5);
};
const arrays = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
const objects = (depth: number): string => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;

function depthOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  return (
    1 + Object.values(value).reduce((deepest: number, one) => Math.max(deepest, depthOf(one)), 0)
  );
}

test.each(CODECS)('undefined is the empty message of a descriptor, in %s', async (codec) => {
  const received: unknown[] = [];
  await using pair = await rig({
    codec,
    handlers: {
      add(sum) {
        received.push(sum);
        return undefined as never;
      },
    },
  });
  expect(await pair.stub.add(undefined as never)).toMatchObject({ Sum: 0 });
  expect(received).toMatchObject([{ A: 0, B: 0 }]);
});

const Numbers = contract(KindsDescriptor);
const wire = {
  encode: () => ({ finish: () => Buffer.alloc(0) }),
  decode: () => ({}),
  toJSON: (message: object) => message,
  fromJSON: ({ value = 0 }: { value?: number }) => ({ value }),
};
const Classes = contract('Classes', {
  Double: unary<{ value: number }, { value: number }>({
    protobuf: { input: wire as never, output: wire as never },
  }),
});

test.each<[string, { name: string }]>([
  ['a descriptor', Numbers],
  ['a message class', Classes],
])('undefined and null of a caller without %s are the empty message', async (_, served) => {
  const handlers = { double: () => ({ value: 7 }), Double: () => ({ value: 7 }) };
  const names = [...(served as typeof Numbers).methods.keys()];
  const service = implement(
    served as never,
    Object.fromEntries(names.map((name) => [name, handlers.double])) as never,
  );
  const Plain = contract(served.name, { Double: unary<unknown, unknown>() });
  await using server = await serve(freeMemoryAddress(), [service]);
  await using client = await connect(server.address, { connections: 1 });
  const { Double } = client.stub(Plain);
  // The first call is made before it is known whether the server is extended.
  expect([await Double(undefined), await Double(undefined), await Double(null)]).toMatchObject(
    Array(3).fill({ value: 7 }),
  );
});

describe('nesting', () => {
  test.each([arrays, objects])('reads 100 levels and refuses 101 (%o)', (nested) => {
    expect(depthOf(parse(nested(100)))).toBe(100);
    expect(thrown(() => parse(nested(101)))).toMatchObject({
      name: 'SyntaxError',
      message: 'nested in more than 100 levels',
    });
    expect(depthOf(parse(`[${nested(99)}, ${nested(99)}, "${'['.repeat(500)}"]`))).toBe(100);
    expect(thrown(() => parse(`[${nested(99)}, ${nested(100)}]`)).message).toContain('100 levels');
  });

  test('ignores brackets in text, with any quoting', () => {
    for (const text of [
      '['.repeat(300),
      `"${'{['.repeat(200)}`,
      `\\${'['.repeat(200)}\\"${'['.repeat(200)}`,
      `${'['.repeat(200)}\\`,
    ])
      expect(parse(JSON.stringify([text, { [text]: text }]))).toEqual([text, { [text]: text }]);
  });

  test('reads any JSON value as JSON.parse() does', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 12 }), fc.nat({ max: 120 }), (value, depth) => {
        const text = '['.repeat(depth) + JSON.stringify(value) + ']'.repeat(depth);
        const expected: unknown = JSON.parse(text);
        if (depthOf(expected) > 100) expect(() => parse(text)).toThrow('100 levels');
        else expect(parse(text)).toEqual(expected);
      }),
    );
  });

  test('throws SyntaxError for text that is no JSON, with any brackets', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('[', ']', '{', '}', '"', '\\', ',', ':', '1'), { maxLength: 600 }),
        (parts) => {
          const text = parts.join('');
          let expected: unknown;
          try {
            expected = JSON.parse(text);
          } catch {
            expect(thrown(() => parse(text)).name).toBe('SyntaxError');
            return;
          }
          if (depthOf(expected) <= 100) expect(parse(text)).toEqual(expected);
        },
      ),
    );
  });
});

const Echo = contract('Echo', { ask: unary<unknown, unknown>() });

describe('a peer that sends deep JSON', () => {
  test.each([
    ['arrays', arrays(1_000_000)],
    ['objects', objects(500_000)],
    ['unterminated arrays', '['.repeat(3_000_000)],
  ])('fails only the call whose argument is %s', async (_, body) => {
    const reached: unknown[] = [];
    await using pair = await rig({
      services: [implement(Echo, { ask: (input) => reached.push(input) })],
      session: { maxMessageBytes: 8_000_000 },
    });
    await using peer = await RawPeer.connect(pair.server.address, { maxMessageBytes: 8_000_000 });
    await peer.send(jsonRequest('Echo', 'ask', undefined, { serviceId: 1, body }));
    const { head, code } = await peer.frames.next();
    expect(code).toBe(1);
    expect(JSON.parse(head.toString())).toMatchObject({
      Error: 'the argument of Echo.ask does not parse: nested in more than 100 levels',
      Code: 3,
    });
    await peer.send(jsonRequest('Echo', 'ask', 5));
    expect([(await peer.frames.next()).code, reached]).toEqual([0, [5]]);
  });

  test('fails the call when a reply is nested too deeply', async () => {
    await using server = await RawServer.serve({}, (frame, peer) => {
      if (frame.command !== 3) return false;
      const body = arrays(5_000);
      void peer.send(
        frameBytes({
          command: 4,
          sequence: frame.sequence,
          serviceId: 2,
          head: '{"Error":""}',
          body,
        }),
      );
      return true;
    });
    await using client = await connect(server.address, { reconnect: false });
    const error = await rejection<RpcError>(client.stub(Echo).ask(1));
    expect([error.code, error.message]).toEqual([
      'INTERNAL',
      expect.stringContaining('nested in more than 100 levels'),
    ]);
    expect((await channelOf(client)).closed).toBe(false);
  });

  test('fails the call when the header is nested too deeply', async () => {
    await using pair = await rig({ services: [implement(Echo, { ask: (input) => input })] });
    await using peer = await RawPeer.connect(pair.server.address);
    for (const metadata of [arrays(30_000), objects(9_000)])
      await peer.send(
        frameBytes({
          command: 3,
          serviceId: 1,
          head: `{"Service":"Echo","Method":"ask","CallType":"CT_TwoWay","Metadata":${metadata}}`,
          body: '1',
        }),
      );
    await peer.send(
      frameBytes({ command: 3, serviceId: 1, head: `{"Service":${arrays(30_000)}}`, body: '1' }),
    );
    const answers = await peer.frames.take(3);
    expect(answers.map(({ command }) => command)).toEqual([4, 4, 4]);
    expect(await outcome(pair.client.stub(Echo).ask(1))).toBe('ok');
  });

  test('fails the call when the handler returns a cyclic value', async () => {
    const endless: unknown[] = [];
    endless.push(endless);
    let deep: unknown = 1;
    for (let level = 0; level < 200_000; level++) deep = [deep];
    const values = [endless, deep, { big: 1n }];
    await using pair = await rig({
      services: [implement(Echo, { ask: (at) => values[at as number] })],
    });
    const stub = pair.client.stub(Echo);
    for (let at = 0; at < values.length; at++) expect(await outcome(stub.ask(at))).not.toBe('ok');
    expect(await stub.ask(9)).toBeUndefined();
  });
});

describe('keys with a special meaning for objects', () => {
  const SPECIAL_KEYS = [
    '__proto__',
    'constructor',
    'prototype',
    'toString',
    'hasOwnProperty',
    '__defineGetter__',
  ];
  const body = `{${SPECIAL_KEYS.map((key) => `"${key}":{"polluted":"yes","admin":true}`).join(',')},"list":[{"__proto__":null}]}`;

  test('become own properties and change no prototype', () => {
    const value = parse(body) as Record<string, unknown>;
    expect(Object.keys(value)).toEqual([...SPECIAL_KEYS, 'list']);
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect([
      (value as { admin?: unknown }).admin,
      ({} as { polluted?: unknown }).polluted,
      [].constructor,
    ]).toEqual([undefined, undefined, Array]);
    // A spread keeps the property. Object.assign() sets the prototype of its target only.
    const copy = { ...value };
    expect([
      Object.getPrototypeOf(copy) === Object.prototype,
      Object.hasOwn(copy, '__proto__'),
    ]).toEqual([true, true]);
    const assigned = Object.assign({}, value);
    expect([Object.hasOwn(assigned, '__proto__'), ({} as { admin?: unknown }).admin]).toEqual([
      false,
      undefined,
    ]);
  });

  test('reach the handler and the caller as own properties', async () => {
    const seen = new Inbox<Record<string, unknown>>('an argument');
    const service = implement(Echo, {
      ask(input) {
        seen.push(input as Record<string, unknown>);
        return input;
      },
    });
    await using pair = await rig({ services: [service] });
    const sent: unknown = JSON.parse(body);
    const reply = (await pair.client.stub(Echo).ask(sent)) as object;
    const input = await seen.next();
    for (const value of [input, reply]) {
      expect(JSON.stringify(value)).toBe(body);
      expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    }
    expect(Object.keys(Object.prototype)).toEqual([]);
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  test.each(SPECIAL_KEYS)('a service or method named %s is unknown', async (name) => {
    await using pair = await rig({ services: [implement(Echo, { ask: (input) => input })] });
    for (const Trap of [contract(name, { ask: unary() }), contract('Echo', { [name]: unary() })]) {
      const [[local] = ['']] = [...Trap.methods];
      expect(
        await outcome(
          (pair.client.stub(Trap) as Record<string, (input: unknown) => Promise<unknown>>)[local]?.(
            1,
          ) as Promise<unknown>,
        ),
      ).toBe('UNIMPLEMENTED');
    }
  });
});
