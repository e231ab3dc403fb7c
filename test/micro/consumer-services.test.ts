/** Services that a consumer offers to the providers, and the interceptors around their calls. */
import { describe, expect, it } from 'vitest';
import { consume, type Provider, provide, type Registry } from '../../src/micro/index.js';
import { memory } from '../../src/registries/memory.js';
import {
  auth,
  type Call,
  connect,
  contract,
  type Interceptor,
  implement,
  type RpcClientOptions,
  RpcError,
  type Service,
  unary,
} from '../../src/rpc/index.js';
import { ADDRESS } from '../fixtures/greeter.js';
import { noLeaks } from '../fixtures/leaks.js';

const Office = contract('Office', {
  join: unary<string, string>({ idempotent: true }),
  greet: unary<string, string>(),
});
const Agent = contract('Agent', { secret: unary<string, string>() });

/** A service whose method `join` calls secret() of its caller. */
const office = (): Service =>
  implement(Office, {
    join: (input, { channel }) => channel.stub(Agent).secret(input),
    greet: (input) => `hello, ${input}`,
  });

const services = [
  implement(Agent, {
    secret: (input, { channel, identity }) =>
      input === 'call back'
        ? channel.stub(Office).greet('provider')
        : `secret of ${identity?.subject}`,
  }),
];

/** Records calls: METHOD for a call that is made, `METHOD served` for one that is received. */
function recorder(): { seen: string[]; interceptor: Interceptor } {
  const seen: string[] = [];
  const interceptor: Interceptor = (next) => (call: Call) => {
    seen.push('channel' in call ? `${call.method.name} served` : call.method.name);
    return next(call);
  };
  return { seen, interceptor };
}

async function publish(registry: Registry, id: string, ...interceptors: Interceptor[]) {
  return provide({ registry, id, address: ADDRESS, services: [office()], interceptors });
}

describe('a call of a provider to a service of its consumer', () => {
  noLeaks();

  it.each([
    [
      'connect()',
      (_: Registry, to: Provider, options: RpcClientOptions) => connect(to.address, options),
    ],
    [
      'consume()',
      async (registry: Registry, _: Provider, options: RpcClientOptions) =>
        consume({ registry, ...options }),
    ],
  ])('runs through the interceptors of the options: %s', async (_, start) => {
    await using registry = memory();
    await using provider = await publish(registry, 'a');
    const { seen, interceptor } = recorder();
    await using caller = await start(registry, provider, {
      services,
      interceptors: [interceptor, auth({ authenticate: () => ({ subject: 'office' }) })],
    });
    const stub = caller.stub(Office);
    expect(await stub.join('x')).toBe('secret of office');
    expect(seen).toEqual(['join', 'secret served']);
    seen.length = 0;
    expect(await stub.join('call back')).toBe('hello, provider');
    expect(seen).toEqual(['join', 'secret served', 'greet']);
  });

  it('does not reach the handler if auth() of the consumer refuses it', async () => {
    await using registry = memory();
    await using _provider = await publish(registry, 'a');
    let calls = 0;
    await using consumer = consume({
      registry,
      services: [implement(Agent, { secret: () => `${++calls}` })],
      interceptors: [
        auth({
          authenticate: () => {
            throw new Error('unknown caller');
          },
        }),
      ],
    });
    await expect(consumer.stub(Office).join('x')).rejects.toMatchObject({
      code: 'UNAUTHENTICATED',
    });
    expect(calls).toBe(0);
  });
});

describe('the interceptors of a consumer', () => {
  noLeaks();

  it('run once for each call, also if it has several attempts', async () => {
    const refuse: Interceptor = () => async () => {
      throw new RpcError('UNAVAILABLE', 'no', { unsent: true });
    };
    await using registry = memory();
    await using _a = await publish(registry, 'a', refuse);
    await using _b = await publish(registry, 'b', refuse);
    const { seen, interceptor } = recorder();
    await using consumer = consume({ registry, services, interceptors: [interceptor] });
    await expect(consumer.stub(Office).join('x')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(consumer.statistics().attempts).toBe(2);
    expect(seen).toEqual(['join']);
  });
});
