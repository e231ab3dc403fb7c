/** Errors of handlers, as their callers get them. */
import { describe, expect, test } from 'vitest';
import { RPC_CODES } from '../../../src/core/errors.js';
import { type RpcCode, RpcError } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { CODECS, rig } from '../../fixtures/rpc.js';
import { rejection } from '../../fixtures/transports.js';
import { Inbox } from '../../fixtures/waiting.js';

noLeaks();

describe('the error of a handler, at its caller', () => {
  const details = Uint8Array.from({ length: 256 }, (_, byte) => byte);

  test.each(CODECS)('has its code, message, details and metadata, in %s', async (codec) => {
    let code: RpcCode = 'UNKNOWN';
    await using pair = await rig({
      codec,
      handlers: {
        err() {
          throw new RpcError(code, `no 汉字 "${code}"`, {
            details,
            metadata: { why: 'because', __proto__: 'x' } as Record<string, string>,
          });
        },
      },
    });
    for (code of RPC_CODES) {
      const error = await rejection<RpcError>(pair.stub.err({ A: 1 }));
      expect(error).toBeInstanceOf(RpcError);
      expect([error.code, error.message, error.metadata.why, [...(error.details ?? [])]]).toEqual([
        code,
        `no 汉字 "${code}"`,
        'because',
        [...details],
      ]);
      expect(error.unsent).toBe(false);
    }
  });

  test.each(CODECS)('keeps no other bytes than its details, in %s', async (codec) => {
    for (const size of [1, 12, 5_000]) {
      const thrown = new RpcError('NOT_FOUND', 'x', { details: new Uint8Array(size) });
      await using pair = await rig({ codec, handlers: { err: () => Promise.reject(thrown) } });
      const error = await rejection<RpcError>(pair.stub.err({}));
      expect(error.details?.length).toBe(size);
      expect(error.details?.buffer.byteLength).toBeLessThanOrEqual(2 * size);
    }
  });

  test.each(CODECS)('can have an empty message, in %s', async (codec) => {
    for (const thrown of [
      new Error(''),
      new RpcError('NOT_FOUND', ''),
      new RpcError('UNKNOWN', ''),
    ]) {
      await using pair = await rig({ codec, handlers: { err: () => Promise.reject(thrown) } });
      expect(await rejection(pair.stub.err({}))).toMatchObject({
        message: '',
        code: thrown instanceof RpcError ? thrown.code : 'UNKNOWN',
      });
    }
  });

  test('keeps its code and the beginning of its message when it is too large to send', async () => {
    await using pair = await rig({
      handlers: {
        err: () =>
          Promise.reject(
            new RpcError('NOT_FOUND', 'lost '.repeat(100_000), {
              details: new Uint8Array(100_000),
            }),
          ),
      },
    });
    const error = await rejection<RpcError>(pair.stub.err({}));
    expect([error.code, error.message.slice(0, 10)]).toEqual(['NOT_FOUND', 'lost lost ']);
  });

  test.each(CODECS)('names the called method at the caller, in %s', async (codec) => {
    // The method in the error of a nested call is not sent.
    const thrown = new RpcError('NOT_FOUND', 'x', { method: 'Other.method' });
    await using pair = await rig({ codec, handlers: { err: () => Promise.reject(thrown) } });
    expect(await rejection(pair.stub.err({}))).toMatchObject({ method: 'TestService.Err' });
  });

  test('is the argument of a callback', async () => {
    await using pair = await rig({
      handlers: {
        err: () => Promise.reject(new RpcError('NOT_FOUND', 'x', { metadata: { a: 'b' } })),
      },
    });
    const settled = new Inbox<Error | null>('a callback');
    pair.stub.err({}, (error) => settled.push(error));
    expect(await settled.next()).toMatchObject({
      code: 'NOT_FOUND',
      message: 'x',
      metadata: { a: 'b' },
    });
  });
});
