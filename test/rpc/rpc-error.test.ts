/** The constructor of RpcError, and RpcError.from(), which converts any thrown value. */
import { describe, expect, test, vi } from 'vitest';
import { RpcError } from '../../src/rpc/errors.js';
import {
  connect,
  contract,
  implement,
  oneway,
  retry,
  serve,
  serverStream,
  unary,
} from '../../src/rpc/index.js';
import { clientCall, scripted } from '../fixtures/calls.js';

/** The RpcError of a second copy of the module. */
async function otherRpcError(): Promise<typeof RpcError> {
  vi.resetModules();
  const { RpcError: Other } = await import('../../src/rpc/errors.js');
  expect(Other).not.toBe(RpcError);
  return Other;
}

test('new RpcError() throws BAD_OPTION for invalid arguments', () => {
  const invalid: [string, () => unknown][] = [
    ['code: got "NOPE"', () => new RpcError('NOPE' as never, 'x')],
    ['code: got undefined', () => new RpcError(undefined as never, 'x')],
    ['metadata', () => new RpcError('ABORTED', 'x', { metadata: { a: 5 as never } })],
    ['details: got "x"', () => new RpcError('ABORTED', 'x', { details: 'x' as never })],
  ];
  for (const [message, make] of invalid)
    expect(make).toThrow(
      expect.objectContaining({ code: 'BAD_OPTION', message: expect.stringContaining(message) }),
    );
});

describe('RpcError.from()', () => {
  test('returns an RpcError as it is', () => {
    const error = new RpcError('NOT_FOUND', 'no such thing');
    expect(RpcError.from(error)).toBe(error);
  });

  test('keeps all fields of an RpcError of another copy of the package', async () => {
    const Other = await otherRpcError();
    const thrown = new Other('NOT_FOUND', 'no such thing', {
      metadata: { see: 'there' },
      details: Uint8Array.of(1, 2),
      unsent: true,
      reason: 'refused',
    });
    const error = RpcError.from(thrown);
    expect(error).toBeInstanceOf(RpcError);
    expect(error).toMatchObject({
      code: 'NOT_FOUND',
      message: 'no such thing',
      unsent: true,
      reason: 'refused',
      cause: thrown,
    });
    expect({ ...error.metadata }).toEqual({ see: 'there' });
    expect([...(error.details ?? [])]).toEqual([1, 2]);
  });

  test('converts any other value to UNKNOWN, and never throws', () => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    const hostile = new Proxy(new Error('x'), {
      get() {
        throw new Error('the property must not be read');
      },
    });
    const forged = { [Symbol.for('getty.RpcError')]: true, code: 'NO_SUCH_CODE' };
    const throwing = {
      [Symbol.for('getty.RpcError')]: true,
      code: 'NOT_FOUND',
      get metadata() {
        throw new Error('the property must not be read');
      },
    };
    for (const thrown of [
      undefined,
      null,
      1,
      'text',
      Symbol('s'),
      () => {},
      new Error('plain'),
      {},
      Object.create(null),
      proxy,
      hostile,
      forged,
      throwing,
    ]) {
      expect(RpcError.from(thrown).code).toBe('UNKNOWN');
    }
    const invalid = {
      [Symbol.for('getty.RpcError')]: true,
      code: 'NOT_FOUND',
      metadata: { n: 1, s: 's' },
      details: 'text',
      unsent: 'yes',
      reason: 'odd',
    };
    const error = RpcError.from(invalid);
    expect(error).toMatchObject({
      code: 'NOT_FOUND',
      details: undefined,
      unsent: false,
      reason: undefined,
    });
    expect({ ...error.metadata }).toEqual({ s: 's' });
  });
});

describe('an RpcError with an invalid field', () => {
  const CHANGES: readonly [string, object][] = [
    ['a message that is an object', { message: { toString: 1, valueOf: 1 } }],
    ['a message that is a symbol', { message: Symbol('s') }],
    ['metadata that are a number', { metadata: 5 }],
    ['metadata that are null', { metadata: null }],
    ['metadata that are an array', { metadata: [] }],
    ['metadata with a number', { metadata: { a: 1 } }],
    ['details that are no bytes', { details: null }],
    ['an unknown code', { code: 'constructor' }],
    ['an unknown reason', { reason: 'toString' }],
    ['unsent that is no boolean', { unsent: 'yes' }],
    ['a method that is no text', { method: 5 }],
  ];
  const changed = (change: object): RpcError =>
    Object.assign(new RpcError('NOT_FOUND', 'none', { metadata: { see: 'there' } }), change);

  test.each(['code', 'message', 'metadata', 'details', 'unsent', 'reason', 'method'] as const)(
    'is converted, and read once, if a getter gives %s',
    (name) => {
      const thrown = new RpcError('NOT_FOUND', 'none', { metadata: { see: 'there' } });
      const value = thrown[name];
      let reads = 0;
      const get = (): unknown => {
        if (++reads > 1) throw new Error('the property must not be read again');
        return value;
      };
      Object.defineProperty(thrown, name, { get });
      const error = RpcError.from(thrown);
      // Not toBe(), which reads both when they differ.
      expect(error === thrown).toBe(false);
      const read = [1, 2].map(() => [error.code, error.message, error.unsent, error.reason]);
      expect(read).toEqual([read[0], ['NOT_FOUND', 'none', false, undefined]]);
      expect({ ...error.metadata }).toEqual({ see: 'there' });
    },
  );

  test.each(CHANGES)('is converted to one without it: %s', (_, change) => {
    const thrown = changed(change);
    const error = RpcError.from(thrown);
    expect(error).not.toBe(thrown);
    expect(error.cause).toBe(thrown);
    expect(error.code).toBe('code' in change ? 'UNKNOWN' : 'NOT_FOUND');
    expect(typeof `${error.message} ${error.stack}`).toBe('string');
    expect(Object.values(error.metadata).every((value) => typeof value === 'string')).toBe(true);
  });

  test.each(CHANGES)('fails its call only, for each kind of method: %s', async (_, change) => {
    const Failing = contract('Failing', {
      ask: unary<string, string>(),
      tell: oneway<string>(),
      list: serverStream<string, string>(),
    });
    const fails = async (): Promise<never> => {
      await null;
      throw changed({ ...change, ...(!('reason' in change) && { reason: 'refused' }) });
    };
    const failing = implement(Failing, {
      ask: (text) => (text === 'fine' ? text : fails()),
      tell: fails,
      // biome-ignore lint/correctness/useYield: it fails before its first item
      async *list() {
        await fails();
      },
    });
    await using server = await serve('memory://', [failing], { logger: { info() {}, warn() {} } });
    await using client = await connect(server.address, { connections: 1 });
    const stub = client.stub(Failing);
    await stub.tell('x');
    const code = 'code' in change ? 'UNKNOWN' : 'NOT_FOUND';
    await expect(stub.ask('x')).rejects.toMatchObject({ code });
    await expect(stub.list('x')[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code });
    expect(await stub.ask('fine')).toBe('fine');
  });
});

test('retry() repeats a call that failed with an error of another copy of the package', async () => {
  const Other = await otherRpcError();
  const { invoke, calls } = scripted(new Other('UNAVAILABLE', 'away', { unsent: true }), 'done');
  expect(await retry({ initialDelay: 1 })(invoke)(clientCall())).toBe('done');
  expect(calls).toHaveLength(2);
});
