/**
 * Metadata of requests, replies and errors: values that are not text are refused where they are
 * set, and both codecs carry all texts.
 */
import { describe, expect, test } from 'vitest';
import { type Metadata, RpcError } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { rig } from '../../fixtures/rpc.js';
import { rejection, thrown } from '../../fixtures/transports.js';

noLeaks();

/** Hides the type of a wrong value from the compiler. */
const wrong = (metadata: unknown): Metadata => metadata as Metadata;

const NOT_METADATA: readonly (readonly [string, unknown])[] = [
  ['a number', { a: 1 }],
  ['undefined', { a: undefined }],
  ['null', { a: null }],
  ['a list of texts', { a: ['x'] }],
  ['a String object', { a: new String('x') }],
  ['a Map', new Map([['a', 'b']])],
  ['Headers', new Headers({ a: 'b' })],
  ['an array', ['a']],
  ['a text', 'a=b'],
  ['null instead of an object', null],
];

const UNUSUAL: Metadata = Object.defineProperty(
  { '': 'empty', constructor: 'c', bom: '\ufeffx', toJSON: 'j' },
  '__proto__',
  {
    value: 'p',
    enumerable: true,
  },
) as unknown as Metadata;

describe.each(['json', 'protobuf'] as const)('in %s', (codec) => {
  test.each(NOT_METADATA)('the caller refuses a request with %s', async (_, metadata) => {
    await using pair = await rig({ codec });
    const refused = await rejection(pair.stub.test({ A: 'x' }, { metadata: wrong(metadata) }));
    expect(refused).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringMatching(/^metadata/),
    });
  });

  test('throws BAD_OPTION when a handler sets a value that is no text', async () => {
    const errors: unknown[] = [];
    const attempt = (set: () => unknown): void => void errors.push(thrown(set));
    await using pair = await rig({
      codec,
      handlers: {
        test({ A }, { replyMetadata }) {
          attempt(() => Reflect.set(replyMetadata, 'a', 1) || undefined);
          attempt(() => Object.assign(replyMetadata, { ok: 'yes', a: undefined }));
          attempt(() =>
            Object.defineProperty(replyMetadata, 'a', { get: () => 'x', enumerable: true }),
          );
          attempt(() => Object.assign(replyMetadata, { [Symbol('a')]: 'x' }));
          attempt(() => Object.assign(replyMetadata, { a: null }));
          replyMetadata.ok = 'no';
          replyMetadata.deleted = 'x';
          delete replyMetadata.deleted;
          return { A };
        },
      },
    });
    const received: Metadata[] = [];
    await pair.stub.test({ A: 'x' }, { onMetadata: (metadata) => received.push({ ...metadata }) });
    expect(errors).toHaveLength(5);
    expect(errors[4]).toMatchObject({ message: 'replyMetadata.a: got null, expected a string' });
    for (const error of errors)
      expect(error).toMatchObject({
        code: 'BAD_OPTION',
        message: expect.stringMatching(/^replyMetadata/),
      });
    expect(received).toEqual([{ ok: 'no' }]);
  });

  test('carries each key and text on requests, replies and errors', async () => {
    await using pair = await rig({
      codec,
      handlers: {
        test({ A }, { metadata, replyMetadata }) {
          if (A === 'fail') throw new RpcError('ABORTED', 'no', { metadata });
          for (const [key, value] of Object.entries(metadata)) replyMetadata[key] = value;
          return { A };
        },
      },
    });
    const received: Metadata[] = [];
    await pair.stub.test(
      { A: 'x' },
      { metadata: UNUSUAL, onMetadata: (metadata) => received.push(metadata) },
    );
    expect(Object.entries(received[0] ?? {}).sort()).toEqual(Object.entries(UNUSUAL).sort());
    const failed = (await rejection(
      pair.stub.test({ A: 'fail' }, { metadata: UNUSUAL }),
    )) as unknown as RpcError;
    expect(Object.entries(failed.metadata).sort()).toEqual(Object.entries(UNUSUAL).sort());
  });

  test('fails a call whose replyMetadata is too large, and says so', async () => {
    await using pair = await rig({
      codec,
      handlers: {
        test({ A }, { replyMetadata }) {
          replyMetadata.long = 'x'.repeat(0xffff);
          return { A };
        },
      },
    });
    expect(await rejection(pair.stub.test({ A: '' }))).toMatchObject({
      code: 'INTERNAL',
      message: expect.stringMatching(
        /^the replyMetadata of the handler: got 65\d{3} bytes, expected at most 65535$/,
      ),
    });
  });

  test('takes 256 keys, and refuses more where they are set or sent', async () => {
    const keysOf = (count: number): Metadata =>
      Object.fromEntries(Array.from({ length: count }, (_, i) => [`key${i}`, '']));
    await using pair = await rig({
      codec,
      handlers: {
        test({ A }, { metadata, replyMetadata }) {
          if (A === 'fail') throw new RpcError('ABORTED', 'no', { metadata });
          Object.assign(replyMetadata, metadata, A === 'more' && { more: '' });
          return { A };
        },
      },
    });
    const metadata = keysOf(256);
    const received: Metadata[] = [];
    const onMetadata = (given: Metadata): void => void received.push(given);
    await pair.stub.test({ A: '' }, { metadata, onMetadata });
    expect(Object.keys(received[0] ?? {})).toHaveLength(256);
    const failed = (await rejection(
      pair.stub.test({ A: 'fail' }, { metadata }),
    )) as unknown as RpcError;
    expect(Object.keys(failed.metadata)).toHaveLength(256);
    expect(await rejection(pair.stub.test({ A: 'more' }, { metadata }))).toMatchObject({
      code: 'INTERNAL',
      message: 'the replyMetadata of the handler: got 257 keys, expected at most 256',
    });
    const more = pair.stub.test({ A: '' }, { metadata: keysOf(257) });
    expect(await rejection(more)).toMatchObject({ code: 'BAD_OPTION' });
    expect(thrown(() => new RpcError('ABORTED', 'no', { metadata: keysOf(257) }))).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining('257 keys'),
    });
  });

  test('treats metadata without keys as none, from each side', async () => {
    const received: Metadata[] = [];
    await using pair = await rig({
      codec,
      handlers: {
        test({ A }, { metadata, replyMetadata }) {
          received.push(metadata);
          if (A === 'fail') throw new RpcError('ABORTED', 'no', { metadata: replyMetadata });
          return { A };
        },
      },
    });
    const reported: Metadata[] = [];
    const onMetadata = (metadata: Metadata): void => void reported.push(metadata);
    await pair.stub.test({ A: 'x' }, { metadata: {}, onMetadata });
    await pair.stub.test({ A: 'x' }, { onMetadata });
    await rejection(pair.stub.test({ A: 'fail' }, { onMetadata }));
    expect(received[0]).toBe(received[1]);
    expect(reported).toEqual([]);
  });

  test('ignores changes of the object after the call', async () => {
    await using pair = await rig({
      codec,
      handlers: { test: (_, { metadata }) => ({ A: JSON.stringify(metadata) }) },
      client: { interceptors: [(next) => async (call) => next(await Promise.resolve(call))] },
    });
    const metadata: Record<string, string> = { a: 'first' };
    const reply = pair.stub.test({ A: '' }, { metadata });
    Reflect.set(metadata, 'a', 5);
    expect((await reply).A).toBe('{"a":"first"}');
  });
});

describe('an RpcError', () => {
  test.each(NOT_METADATA)('refuses %s as its metadata', (_, metadata) => {
    expect(thrown(() => new RpcError('ABORTED', 'x', { metadata: wrong(metadata) }))).toMatchObject(
      { code: 'BAD_OPTION' },
    );
  });

  test('refuses details that are not bytes', () => {
    for (const details of ['text', [1, 2], {}, null, new ArrayBuffer(2)]) {
      expect(
        thrown(() => new RpcError('ABORTED', 'x', { details: details as never })),
      ).toMatchObject({ code: 'BAD_OPTION' });
    }
  });
});
