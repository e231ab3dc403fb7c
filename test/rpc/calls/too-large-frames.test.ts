/** Frames that are larger than maxMessageBytes of their receiver, but not of their sender. */
import { describe, expect, test } from 'vitest';
import { consume, provide } from '../../../src/micro/index.js';
import { memory } from '../../../src/registries/memory.js';
import {
  clientStream,
  connect,
  contract,
  implement,
  type RpcClientOptions,
  type RpcError,
  type RpcServerOptions,
  serve,
  serverStream,
  unary,
} from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { rejection } from '../../fixtures/transports.js';
import { Inbox } from '../../fixtures/waiting.js';

noLeaks();

const Texts = contract('Texts', {
  make: unary<number, string>({ idempotent: true }),
  size: unary<string, number>(),
  wait: unary<void, void>(),
  list: serverStream<number, string>(),
  join: clientStream<string, number>(),
});
const RAISED = { session: { maxMessageBytes: 4 * 1024 * 1024 } };
const SIZE = 2_000_000;
const TOO_LARGE = {
  code: 'RESOURCE_EXHAUSTED',
  message: expect.stringMatching(/2000\d+ bytes .*maxMessageBytes is 1048576 at its receiver/),
};

/** Starts a server and a client on one connection. `waiting` gets an item per call of wait(). */
async function pairOf(
  address: string,
  serverOptions: RpcServerOptions,
  clientOptions: RpcClientOptions,
) {
  const waiting = new Inbox<true>('a waiting call');
  const joinErrors = new Inbox<unknown>('the error of the messages of join()');
  const texts = implement(Texts, {
    make: (size) => 'x'.repeat(size),
    size: (text) => text.length,
    wait: (_, { signal }) =>
      new Promise((resolve) => {
        signal.addEventListener('abort', () => resolve());
        waiting.push(true);
      }),
    list: async function* (size) {
      yield 'small';
      yield 'x'.repeat(size);
    },
    join: async (texts) => {
      let length = 0;
      try {
        for await (const text of texts) length += text.length;
      } catch (error) {
        joinErrors.push(error);
        throw error;
      }
      return length;
    },
  });
  const server = await serve(address, [texts], serverOptions);
  const client = await connect(server.address, { connections: 1, ...clientOptions });
  return { server, client, stub: client.stub(Texts), waiting, joinErrors };
}

describe.each(['memory://', 'tcp://127.0.0.1:0'])('over %s', (address) => {
  test('the call of an answer is RESOURCE_EXHAUSTED, and the others have the cause', async () => {
    const { server, client, stub, waiting } = await pairOf(address, RAISED, {});
    await using _server = server;
    await using _client = client;
    const other = rejection<RpcError>(stub.wait());
    await waiting.next();
    expect(await rejection<RpcError>(stub.make(SIZE))).toMatchObject({
      ...TOO_LARGE,
      method: 'Texts.make',
      unsent: false,
      cause: { code: 'MESSAGE_TOO_LARGE' },
    });
    expect(await other).toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('maxMessageBytes is 1048576'),
      cause: { code: 'MESSAGE_TOO_LARGE' },
    });
  });

  test('the call of a reply of a stream is RESOURCE_EXHAUSTED', async () => {
    const { server, client, stub } = await pairOf(address, RAISED, {});
    await using _server = server;
    await using _client = client;
    const replies = stub.list(SIZE)[Symbol.asyncIterator]();
    expect(await replies.next()).toEqual({ done: false, value: 'small' });
    expect(await rejection<RpcError>(replies.next())).toMatchObject({
      ...TOO_LARGE,
      method: 'Texts.list',
    });
  });
});

test('the server answers a request that it does not read', async () => {
  const { server, client, stub } = await pairOf('memory://', {}, RAISED);
  await using _server = server;
  await using _client = client;
  const error = await rejection<RpcError>(stub.size('x'.repeat(SIZE)));
  expect(error).toMatchObject({ ...TOO_LARGE, method: 'Texts.size', reason: undefined });
});

test('the server answers a streaming call whose message it does not read', async () => {
  const { server, client, stub, joinErrors } = await pairOf('memory://', {}, RAISED);
  await using _server = server;
  await using _client = client;
  const error = await rejection<RpcError>(stub.join(['x', 'x'.repeat(SIZE)]));
  expect(error).toMatchObject({ ...TOO_LARGE, method: 'Texts.join' });
  expect(await joinErrors.next()).toMatchObject(TOO_LARGE);
});

test('failover() does not repeat the call of an answer', async () => {
  let made = 0;
  const Made = contract('Made', { make: unary<number, string>({ idempotent: true }) });
  const texts = implement(Made, {
    make(size) {
      made++;
      return 'x'.repeat(size);
    },
  });
  await using registry = memory();
  const options = { registry, address: 'tcp://127.0.0.1:0', services: [texts], ...RAISED };
  await using _one = await provide(options);
  await using _two = await provide(options);
  await using consumer = consume({ registry });
  const error = await rejection<RpcError>(consumer.stub(Made).make(SIZE));
  expect(error).toMatchObject(TOO_LARGE);
  expect(made).toBe(1);
});

test('the error of an answer that is not sent names the method and the option', async () => {
  const Numbers = contract('Numbers', { big: unary<void, unknown>(), long: unary<void, string>() });
  const numbers = implement(Numbers, { big: () => 1n, long: () => 'x'.repeat(SIZE) });
  await using server = await serve('memory://', [numbers]);
  await using client = await connect(server.address);
  expect(await rejection<RpcError>(client.stub(Numbers).big())).toMatchObject({
    code: 'UNKNOWN',
    message: expect.stringMatching(/^the answer of Numbers.big was not sent: .*BigInt/),
  });
  expect(await rejection<RpcError>(client.stub(Numbers).long())).toMatchObject({
    code: 'RESOURCE_EXHAUSTED',
    message: expect.stringMatching(
      /^the answer of Numbers.long was not sent: .* the session option maxMessageBytes is 1048576 at its sender$/,
    ),
  });
});
