/** Calls whose method is of one kind at the client, and of another one at the server. */
import { expect, test } from 'vitest';
import {
  clientStream,
  connect,
  contract,
  duplex,
  implement,
  noReply,
  oneway,
  serve,
  serverStream,
  unary,
} from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { until } from '../../fixtures/waiting.js';

noLeaks();

test.each([
  ['oneway', 'serverStream', oneway<number>(), serverStream<number, number>()],
  ['oneway', 'clientStream', oneway<number>(), clientStream<number, number>()],
  ['oneway', 'duplex', oneway<number>(), duplex<number, number>()],
  ['noReply', 'clientStream', noReply<number>(), clientStream<number, number>()],
])('a %s call of a %s method is refused', async (callKind, kind, called, served) => {
  let begun = 0;
  const run = (): never => {
    begun++;
    throw new Error('unexpected');
  };
  const errors: unknown[] = [];
  const logger = {
    info() {},
    warn: ({ error }: { error?: unknown }) => errors.push(error),
  };
  const service = implement(contract('Kinds', { run: served }), { run } as never);
  await using server = await serve('tcp://127.0.0.1:0', [service], { logger });
  await using client = await connect(server.address);
  const call = client.stub(contract('Kinds', { run: called })).run(1);
  if (callKind === 'noReply')
    await expect(call).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  else {
    await call;
    await until(() => errors.length > 0, 'the line of the logger');
    expect(String(errors[0])).toContain(`${kind} method`);
  }
  expect(begun).toBe(0);
});

test.each([
  ['oneway', 'expects a reply', oneway<number>()],
  ['noReply', 'expects a reply', noReply<number>()],
  ['clientStream', 'sends a single argument', clientStream<number, number>()],
  ['duplex', 'sends a single argument', duplex<number, number>()],
])('a unary call of a %s method is refused, because its caller %s', async (kind, why, served) => {
  let begun = 0;
  const run = (): void => {
    begun++;
  };
  const service = implement(contract('Kinds', { run: served }), { run } as never);
  await using server = await serve('memory://', [service]);
  await using client = await connect(server.address);
  const stub = client.stub(contract('Kinds', { run: unary<number, number>() }));
  await expect(stub.run(1)).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
    message: `Kinds.run is a ${kind} method, and the caller ${why}: their contracts differ`,
  });
  expect(begun).toBe(0);
});

test.each([
  ['unary', unary<number, number>()],
  ['serverStream', serverStream<number, number>()],
])('a clientStream call of a %s method that has not answered is refused', async (kind, served) => {
  const run = (_: unknown, { signal }: { signal: AbortSignal }) =>
    new Promise((_resolve, reject) =>
      signal.addEventListener('abort', () => reject(signal.reason)),
    );
  const service = implement(contract('Kinds', { run: served }), { run } as never);
  await using server = await serve('memory://', [service]);
  await using client = await connect(server.address);
  const stub = client.stub(contract('Kinds', { run: clientStream<number, number>() }));
  for (const messages of [[1], []])
    await expect(stub.run(messages)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining(`is a ${kind} method, and the caller sends a stream`),
    });
});
