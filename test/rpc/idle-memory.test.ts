/** The memory of idle sessions. */
import { expect, test } from 'vitest';
import { RpcError } from '../../src/rpc/index.js';
import { bufferBytes, collectGarbage } from '../fixtures/garbage.js';
import { noLeaks } from '../fixtures/leaks.js';
import { freeMemoryAddress, outcome, rig } from '../fixtures/rpc.js';
import { until } from '../fixtures/waiting.js';

const RIGS = 10;
const ARGUMENT_BYTES = 900_000;

noLeaks();

test.each(['tcp://127.0.0.1:0', 'ws://127.0.0.1:0', 'memory'])(
  'an idle session keeps no buffer of its last call: %s',
  async (address) => {
    const rigs = await Promise.all(
      Array.from({ length: RIGS }, () =>
        rig({ address: address === 'memory' ? freeMemoryAddress() : address }),
      ),
    );
    const A = 'x'.repeat(ARGUMENT_BYTES);
    const before = bufferBytes();
    for (const { stub } of rigs)
      expect((await stub.test({ A, B: '', C: '' })).A.length).toBeGreaterThan(ARGUMENT_BYTES);
    let keptBytes = 0;
    const isFreed = (): boolean => {
      keptBytes = bufferBytes() - before;
      return keptBytes < (RIGS * ARGUMENT_BYTES) / 3;
    };
    await until(isFreed, () => `the sessions keep ${keptBytes} bytes`);
    for (const each of rigs) await each[Symbol.asyncDispose]();
  },
);

test('an idle session keeps no error of its last call', async () => {
  let cause: WeakRef<object> | undefined;
  const err = (): never => {
    const error = new Error('of the database');
    cause = new WeakRef(error);
    throw new RpcError('INTERNAL', 'no', { cause: error });
  };
  await using pair = await rig({ handlers: { err } });
  expect(await outcome(pair.stub.err({}))).toBe('INTERNAL');
  const isFreed = (): boolean => {
    collectGarbage();
    return cause?.deref() === undefined;
  };
  await until(isFreed, 'the cause of the error is freed');
});
