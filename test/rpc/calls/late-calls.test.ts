/** Calls that a handler makes after its own call is answered, with that call as their parent. */
import { expect, test } from 'vitest';
import {
  type CallContext,
  connect,
  contract,
  implement,
  serve,
  unary,
} from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { freeMemoryAddress } from '../../fixtures/rpc.js';
import { until } from '../../fixtures/waiting.js';

noLeaks();

const Front = contract('Front', { begin: unary<void, string>() });
const Back = contract('Back', { load: unary<void, string>() });

test.each([
  ['did not read its signal', false],
  ['read its signal', true],
])('run after the session of the parent is lost, if the handler %s', async (_, readsSignal) => {
  const contexts: CallContext[] = [];
  const back = await serve(freeMemoryAddress(), [implement(Back, { load: () => 'loaded' })]);
  const toBack = await connect(back.address);
  const front = await serve(freeMemoryAddress(), [
    implement(Front, {
      begin(_input, context) {
        if (readsSignal) void context.signal;
        contexts.push(context);
        return 'begun';
      },
    }),
  ]);
  const client = await connect(front.address);
  expect(await client.stub(Front).begin()).toBe('begun');
  const [parent] = contexts as [CallContext];
  client.destroy();
  await until(() => parent.channel.closed, 'the session of the parent is lost');
  expect(await toBack.stub(Back).load(undefined, { parent })).toBe('loaded');
  expect(parent.signal.aborted).toBe(false);
  await Promise.all([client.close(), front.close(), toBack.close(), back.close()]);
});
