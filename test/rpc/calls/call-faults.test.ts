/** Invalid requests, and handlers whose errors or replies cannot be sent. */
import { describe, expect, test } from 'vitest';
import { contract, implement, RpcError, serve, unary } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { RawPeer } from '../../fixtures/raw-peer.js';
import { channelOf, freeMemoryAddress, outcome, rig, testService } from '../../fixtures/rpc.js';
import { frameBytes, jsonRequest, PROTOBUF_CODEC } from '../../fixtures/rpc-frames.js';
import { gate, Inbox } from '../../fixtures/waiting.js';

noLeaks();

describe('a fault of one call', () => {
  const circular: Record<string, unknown> = {};
  circular.self = circular;
  const reject = (error: unknown): Promise<never> => Promise.reject(error);
  class ThrowingMessageError extends Error {
    override get message(): string {
      throw new Error('no message for you');
    }
  }
  const THROWN: Record<string, unknown> = {
    error: new Error('plain'),
    empty: new Error(''),
    nothing: undefined,
    null: null,
    text: 'text',
    symbol: Symbol('s'),
    object: { toString: null },
    bare: Object.create(null),
    oddMessage: Object.assign(new Error(), { message: 5 }),
    throwingMessage: new ThrowingMessageError(),
    longMessage: new Error('x'.repeat(200_000)),
    longMetadata: new RpcError('ABORTED', 'too much', { metadata: { a: 'x'.repeat(200_000) } }),
    // The constructor of RpcError rejects these, so they are set later.
    badMetadata: Object.assign(new RpcError('ABORTED', 'not text'), { metadata: { a: 5 } }),
    badDetails: Object.assign(new RpcError('ABORTED', 'no bytes'), { details: 'text' }),
  };
  const REPLIES: Record<string, unknown> = {
    bigint: 1n,
    circular,
    symbol: Symbol('s'),
    function: () => {},
    throwing: { toJSON: () => JSON.parse('{') },
  };
  const Faults = contract('Faults', {
    throws: unary<string, unknown>(),
    rejects: unary<string, unknown>(),
    replies: unary<string, unknown>(),
    repliesLater: unary<string, unknown>(),
    fine: unary<unknown, unknown>(),
  });
  const faults = implement(Faults, {
    throws(name) {
      throw THROWN[name];
    },
    rejects: (name) => reject(THROWN[name]),
    replies: (name) => REPLIES[name],
    repliesLater: async (name) => REPLIES[name],
    fine: (value) => value,
  });
  const request = (method: string, argument: unknown) => jsonRequest('Faults', method, argument);
  const protobufHead = Buffer.from('\x0a\x0bTestService\x12\x03Add\x18\x02', 'latin1');

  const BAD_CALLS: [string, Buffer, code: number | undefined][] = [
    ['an unknown service', jsonRequest('Nowhere', 'x', 1), 12],
    ['an unknown method', jsonRequest('Faults', 'nothing', 1), 12],
    ['an unknown version', jsonRequest('TestService', 'Add', {}, { more: { Version: 'v9' } }), 12],
    [
      'a codec that the service does not have',
      frameBytes({
        codec: PROTOBUF_CODEC,
        head: Buffer.from('\x0a\x06Faults\x12\x04fine\x18\x02', 'latin1'),
      }),
      12,
    ],
    [
      'an argument that is no JSON',
      frameBytes({
        head: '{"Service":"Faults","Method":"fine","CallType":"CT_TwoWay"}',
        body: '{',
      }),
      3,
    ],
    ['an argument of another type', jsonRequest('TestService', 'Add', { A: 'text' }), 3],
    [
      'an argument of another type, with a long text in it',
      jsonRequest('TestService', 'Add', { A: 'x'.repeat(200_000) }),
      3,
    ],
    [
      'an argument that is no Protobuf',
      frameBytes({ codec: PROTOBUF_CODEC, head: protobufHead, body: Buffer.from([0xff]) }),
      3,
    ],
    ['a header that is no JSON', frameBytes({ head: '{"Service"' }), 3],
    ['a header that is no object', frameBytes({ head: '[]' }), 3],
    ['a header without names', frameBytes({ head: '{}' }), 3],
    ['an empty header', frameBytes({ head: '' }), 3],
    [
      'a header that is no Protobuf',
      frameBytes({ codec: PROTOBUF_CODEC, head: Buffer.from([0x0a, 0x7f]) }),
      3,
    ],
    ...Object.keys(THROWN).flatMap((name): [string, Buffer, number | undefined][] => {
      const code = { longMetadata: 10, badMetadata: 10, badDetails: 10 }[name];
      return [
        [`a handler that throws: ${name}`, request('throws', name), code],
        [`a handler that rejects: ${name}`, request('rejects', name), code],
      ];
    }),
    ...Object.keys(REPLIES).flatMap((name): [string, Buffer, number | undefined][] => [
      [`a reply that cannot be encoded: ${name}`, request('replies', name), undefined],
      [`a later reply that cannot be encoded: ${name}`, request('repliesLater', name), undefined],
    ]),
  ];

  test.each(BAD_CALLS)('fails that call only: %s', async (_, bytes, code) => {
    const sum = gate<{ Sum: number }>();
    await using server = await serve(freeMemoryAddress(), [
      faults,
      testService({ add: () => sum.promise }),
    ]);
    await using peer = await RawPeer.connect(server.address);
    await peer.send(jsonRequest('TestService', 'Add', { A: 1, B: 2 }, { sequence: 11n }), bytes);
    const answer = await peer.frames.next();
    expect([answer.command, answer.sequence, answer.code, answer.body.length]).toEqual([
      4,
      1n,
      1,
      0,
    ]);
    if (answer.codec === 1) expect(JSON.parse(answer.head.toString()).Code).toBe(code);
    await peer.send(request('fine', 'still here'));
    expect((await peer.frames.next()).body.toString()).toBe('"still here"');
    sum.open({ Sum: 3 });
    const later = await peer.frames.next();
    expect([later.sequence, later.body.toString()]).toEqual([11n, '{"Sum":3}']);
    expect(peer.frames.unread).toEqual([]);
    expect(peer.session.closed).toBe(false);
  });

  test('fails that call only: a Protobuf reply of a wrong type, with a long text in it', async () => {
    await using pair = await rig({
      codec: 'protobuf',
      handlers: { add: async () => ({ Sum: 'x'.repeat(200_000) as unknown as number }) },
    });
    expect(['UNKNOWN', 'INTERNAL', 'INVALID_ARGUMENT']).toContain(
      await outcome(pair.stub.add({ A: 1, B: 2 })),
    );
    expect(await pair.stub.test({ A: 'a', B: 'b', C: 'c' })).toMatchObject({ A: 'a, b, c' });
  });

  test('is logged and not answered when the call is oneway', async () => {
    await using pair = await rig({
      handlers: {
        event() {
          throw new Error('the handler failed');
        },
      },
    });
    await pair.stub.event({ A: 'a' });
    expect((await pair.serverLog.warnings.next()).message).toContain('the handler failed');
    expect(await pair.stub.add({ A: 1, B: 2 })).toMatchObject({ Sum: 3 });
    expect(await channelOf(pair.client)).toMatchObject({ pending: 0 });
  });

  test('becomes a process warning when the logger throws', async () => {
    const fail = (): never => {
      throw new Error('the disk is full');
    };
    await using pair = await rig({
      server: { logger: { info: fail, warn: fail } },
      handlers: { event: () => reject(new Error('logged')) },
    });
    const warnings = new Inbox<Error>('a warning of the process');
    const onWarning = (warning: Error): void => warnings.push(warning);
    process.on('warning', onWarning);
    try {
      await pair.stub.event({ A: 'a' });
      expect((await warnings.next()).message).toContain('the disk is full');
    } finally {
      process.off('warning', onWarning);
    }
    expect(await pair.stub.add({ A: 1, B: 2 })).toMatchObject({ Sum: 3 });
  });
});
