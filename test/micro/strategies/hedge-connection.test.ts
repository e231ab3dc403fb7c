/** hedge() with a consumer and two providers. */
import { describe, expect, it } from 'vitest';
import { consume, leastActive, provide } from '../../../src/micro/index.js';
import { hedge } from '../../../src/micro/strategies/hedge.js';
import { memory } from '../../../src/registries/memory.js';
import { type CallContext, contract, implement, unary } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { Inbox } from '../../fixtures/waiting.js';

describe('hedge() of a consumer', () => {
  noLeaks();

  it('aborts the handler of the attempt that lost', async () => {
    const Greeter = contract('Greeter', { hello: unary<string, string>({ idempotent: true }) });
    const entered = new Inbox<string>('a call');
    const stopped = new Inbox<string>('a cancelled call');
    let slow = '';
    const greeter = (name: string) =>
      implement(Greeter, {
        async hello(_: string, context: CallContext) {
          if (slow === '') slow = name;
          entered.push(name);
          if (name !== slow) return name;
          context.signal.addEventListener('abort', () => stopped.push(name));
          return new Promise<string>(() => {});
        },
      });
    await using registry = memory();
    const options = { registry, address: 'tcp://127.0.0.1:0', drainTimeout: 0 };
    await using _a = await provide({ ...options, id: 'a', services: [greeter('a')] });
    await using _b = await provide({ ...options, id: 'b', services: [greeter('b')] });
    await using consumer = consume({
      registry,
      balancer: leastActive(),
      strategy: hedge({ after: 20 }),
    });
    const answer = await consumer.stub(Greeter).hello('x');
    expect(await entered.take(2)).toEqual([slow, answer]);
    expect(answer).not.toBe(slow);
    expect(await stopped.next()).toBe(slow);
    const { candidates } = await consumer.explain(Greeter);
    expect(candidates.map(({ inFlight }) => inFlight)).toEqual([0, 0]);
  });
});
