/**
 * Calls that fail because of their messages, their handlers or their inputs, over each transport in
 * both codecs.
 */
import { expect } from 'vitest';
import { RpcError } from '../../../src/rpc/index.js';
import { pendingOf } from '../../fixtures/rpc.js';
import { rejection } from '../../fixtures/transports.js';
import { Inbox } from '../../fixtures/waiting.js';
import { collect, describeOverTransports, hasStreams, numbers, pairOf } from './kinds.js';

describeOverTransports({
  async 'fails only the call whose message is too large'(row, codec) {
    const large = 'x'.repeat(40_000);
    await using p = await pairOf(row, codec, {
      maxMessageBytes: 20_000,
      handlers: {
        chat: () => [{ text: 'small' }, { text: large }],
        double: () => Promise.reject(new RpcError('ABORTED', large)),
      },
    });
    expect(await rejection(p.stub.note({ text: large }))).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      unsent: true,
    });
    if (hasStreams(row)) {
      expect(await rejection(collect(p.stub.chat([])))).toMatchObject({
        code: 'RESOURCE_EXHAUSTED',
      });
      expect(await rejection(collect(p.stub.chat([{ text: large }])))).toMatchObject({
        code: expect.stringMatching(/CANCELLED|RESOURCE_EXHAUSTED/),
      });
    }
    const { code, message } = await rejection(p.stub.double({}));
    expect([code, message.length < 20_000]).toEqual(['ABORTED', true]);
    await p.stub.note({ text: 'small' });
    if (hasStreams(row)) expect((await p.stub.sum([{ value: 1 }])).value).toBe(1);
  },

  async 'keeps the code of an error and fails no other call'(row, codec) {
    await using p = await pairOf(row, codec, {
      handlers: {
        double({ value }) {
          if (value === 1)
            throw new RpcError('NOT_FOUND', 'no such number', {
              metadata: { hint: 'try 2' },
              details: Buffer.from([1, 2]),
            });
          throw 'a string';
        },
        async *count() {
          yield { value: 1 };
          throw new RpcError('ABORTED', 'half way');
        },
        sum() {
          throw new Error('at once');
        },
        chat: () => ({ text: 'no iterable' }) as never,
      },
    });
    const notFound = await rejection<RpcError>(p.stub.double({ value: 1 }));
    expect(notFound).toMatchObject({
      code: 'NOT_FOUND',
      message: 'no such number',
      metadata: { hint: 'try 2' },
    });
    expect([...(notFound.details ?? [])]).toEqual([1, 2]);
    expect(await rejection(p.stub.double({ value: 2 }))).toMatchObject({
      code: 'UNKNOWN',
      message: 'a string',
    });
    if (hasStreams(row)) {
      const values: number[] = [];
      const loop = async (): Promise<void> => {
        for await (const { value } of p.stub.count({})) values.push(value);
      };
      expect(await rejection(loop())).toMatchObject({ code: 'ABORTED', message: 'half way' });
      expect(values.length).toBeLessThanOrEqual(1);
      expect(await rejection(p.stub.sum(numbers(1, 100)))).toMatchObject({
        code: 'UNKNOWN',
        message: 'at once',
      });
      const noIterable = expect.stringContaining('a value that is not iterable');
      expect(await rejection(collect(p.stub.chat([])))).toMatchObject({
        code: 'INTERNAL',
        message: noIterable,
      });
    }
    await p.stub.settle({});
    expect(pendingOf(p.client)).toBe(0);
  },

  async 'cancels the call when its input fails, with the reason'(row, codec) {
    const ended = new Inbox<unknown>('the end of the input at the server');
    await using p = await pairOf(row, codec, {
      handlers: {
        async sum(inputs) {
          try {
            for await (const _ of inputs);
          } catch (error) {
            ended.push(error);
          }
          return {};
        },
      },
    });
    async function* broken(): AsyncGenerator<{ value: number }> {
      yield { value: 1 };
      throw new Error('the disk is full');
    }
    const error = await rejection(p.stub.sum(broken()));
    expect(error).toMatchObject({
      code: 'CANCELLED',
      message: expect.stringContaining('the disk is full'),
      cause: { message: 'the disk is full' },
    });
    expect(await ended.next()).toMatchObject({ code: 'CANCELLED' });
    expect(await rejection(p.stub.sum(7 as never))).toMatchObject({
      code: 'INVALID_ARGUMENT',
      unsent: true,
    });
    expect(pendingOf(p.client)).toBe(0);
  },
});
