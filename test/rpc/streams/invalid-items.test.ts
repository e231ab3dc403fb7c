/** Items that the codec of their reader cannot decode. */
import { describe, expect, test } from 'vitest';
import {
  clientStream,
  contract,
  type Handlers,
  implement,
  type MessageCodec,
  RpcError,
  serve,
  serverStream,
} from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { CODECS, connectOnce, freeMemoryAddress, withCodecs } from '../../fixtures/rpc.js';
import { gate, turns, until } from '../../fixtures/waiting.js';

noLeaks();

/** An error that a program shares among calls. */
const FROZEN = Object.freeze(new RpcError('OUT_OF_RANGE', 'it is frozen'));

describe.each(CODECS)('an item that does not parse, in %s', (codec) => {
  /** A codec that throws for the text 'bad'. */
  const text: MessageCodec = {
    encode(output, message) {
      if (message === 'frozen') throw FROZEN;
      output.text(String(message));
    },
    decode(bytes, start, end) {
      const decoded = Buffer.from(bytes.subarray(start, end)).toString();
      if (decoded === 'cold') throw FROZEN;
      if (decoded === 'bad') throw new TypeError('it is bad');
      return decoded;
    },
  };
  const Texts = withCodecs(
    contract('Texts', {
      join: clientStream<string, string>(),
      list: serverStream<string, string>(),
    }),
    { json: text, protobuf: text },
    { json: text, protobuf: text },
  );

  async function textsRig(handlers: Partial<Handlers<NonNullable<(typeof Texts)['specs']>>>) {
    const fail = (): never => {
      throw new Error('not called');
    };
    const server = await serve(freeMemoryAddress(), [
      implement(Texts, { join: fail, list: fail, ...handlers }),
    ]);
    const client = await connectOnce(server.address);
    return {
      stub: client.stub(Texts, { codec }),
      async [Symbol.asyncDispose]() {
        await client.close();
        await server.close();
      },
    };
  }

  test('fails the call when its handler reads it', async () => {
    const reading = gate();
    const seen: string[] = [];
    let failed: unknown;
    await using s = await textsRig({
      async join(items) {
        await reading.promise;
        try {
          for await (const item of items) seen.push(item);
        } catch (error) {
          failed = error;
        }
        return 'not sent';
      },
    });
    const call = s.stub.join(['good', 'bad', 'unread']);
    const outcome = expect(call).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: 'a message of Texts.join does not parse: it is bad',
    });
    await turns(20);
    reading.open();
    await outcome;
    await until(() => failed !== undefined, 'the handler has the error');
    expect(seen).toEqual(['good']);
    expect(failed).toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  test('fails the call when its caller reads it, and cancels it at the peer', async () => {
    let aborted: unknown;
    await using s = await textsRig({
      async *list(_, { signal }) {
        yield 'good';
        yield 'bad';
        await new Promise<void>((resolve) =>
          signal.addEventListener('abort', () => resolve(), { once: true }),
        );
        aborted = signal.reason;
      },
    });
    const replies = s.stub.list('all')[Symbol.asyncIterator]();
    expect(await replies.next()).toEqual({ done: false, value: 'good' });
    await turns(20);
    await expect(replies.next()).rejects.toMatchObject({
      code: 'INTERNAL',
      message: 'a reply of Texts.list does not parse: it is bad',
    });
    await expect(replies.next()).rejects.toMatchObject({ code: 'INTERNAL' });
    await until(() => aborted !== undefined, 'the signal of the handler aborts');
    expect(aborted).toMatchObject({ code: 'CANCELLED' });
  });

  test('fails its reader when the call has ended', async () => {
    await using s = await textsRig({ list: () => ['good', 'bad', 'unread'] });
    const replies = s.stub.list('all')[Symbol.asyncIterator]();
    expect(await replies.next()).toEqual({ done: false, value: 'good' });
    await turns(20);
    await expect(replies.next()).rejects.toMatchObject({ code: 'INTERNAL' });
    await expect(replies.next()).rejects.toMatchObject({ code: 'INTERNAL' });
  });

  test('fails the call with a frozen error of its codec', async () => {
    await using s = await textsRig({
      async join(items) {
        for await (const _ of items);
        return 'frozen';
      },
      list: () => ['good', 'cold'],
    });
    const error = { code: 'OUT_OF_RANGE', message: 'it is frozen' };
    await expect(s.stub.join(['frozen'])).rejects.toMatchObject({ ...error, method: 'Texts.join' });
    await expect(s.stub.join([])).rejects.toMatchObject(error);
    await expect(s.stub.list('frozen')[Symbol.asyncIterator]().next()).rejects.toMatchObject(error);
    const replies = s.stub.list('all')[Symbol.asyncIterator]();
    expect(await replies.next()).toEqual({ done: false, value: 'good' });
    await turns(20);
    await expect(replies.next()).rejects.toMatchObject({ ...error, method: 'Texts.list' });
  });
});
