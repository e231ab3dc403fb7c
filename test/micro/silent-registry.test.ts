/** A provider closes although its registry does not answer. */
import { expect, test } from 'vitest';
import { type NodeRegistration, provide, type Registry } from '../../src/micro/index.js';
import { memory } from '../../src/registries/memory.js';
import { connect, contract, implement, unary } from '../../src/rpc/index.js';
import { simulate } from '../../src/testing/index.js';

const Greeter = contract('Greeter', { hello: unary<void, string>() });
const services = [implement(Greeter, { hello: () => 'hello' })];
/** Milliseconds, as docs/micro.md has it. */
const LIMIT = 10_000;
const never = <T>(): Promise<T> => new Promise(() => {});

/** A registry whose `register` is replaced. */
function registryWith(register: (inner: Registry) => Registry['register']): Registry {
  const inner = memory();
  return {
    register: register(inner),
    watch: (query, options) => inner.watch(query, options),
    list: () => inner.list(),
    [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
  };
}

/** Its registrations succeed while `isAnswering()`, and do not settle otherwise. */
const silentAfter = (isAnswering: () => boolean): Registry =>
  registryWith(
    (inner) => (node) => (isAnswering() ? inner.register(node) : never<NodeRegistration>()),
  );

test.each<[string, (act: { update: boolean }) => Registry]>([
  ['a register() of update()', (act) => silentAfter(() => !act.update)],
  [
    'the disposal of a registration',
    () => registryWith(() => async () => ({ [Symbol.asyncDispose]: never })),
  ],
])('close() ends when %s does not settle', async (_, make) => {
  await simulate({ duration: '1m' }, async ({ clock }) => {
    const act = { update: false };
    await using registry = make(act);
    const address = 'sim://client:1000';
    const provider = await provide({ registry, address, services });
    act.update = true;
    provider.update({ weight: 7 }).catch(() => {});
    // The change begins.
    await clock.sleep(1);
    const start = clock.now;
    await expect(provider.close()).rejects.toMatchObject({
      code: 'REGISTRY_FAILED',
      message: `the provider at ${address} could not deregister: its registry did not answer within ${LIMIT} ms`,
    });
    expect(clock.now - start).toBe(LIMIT);
    await expect(connect(address)).rejects.toMatchObject({ code: 'CONNECT_FAILED' });
  });
});

test('drain() ends when another provider of the process cannot publish the entry again', async () => {
  await simulate({ duration: '1m' }, async ({ clock }) => {
    let isAnswering = true;
    await using registry = silentAfter(() => isAnswering);
    const [first, second] = [
      await provide({ registry, id: 'same', address: 'sim://client:1000', services }),
      await provide({ registry, id: 'same', address: 'sim://client:1001', services }),
    ];
    isAnswering = false;
    const start = clock.now;
    await second.drain();
    expect(clock.now - start).toBe(LIMIT);
    await second.close();
    await expect(first.close()).rejects.toMatchObject({ code: 'REGISTRY_FAILED' });
  });
});

test('the entry is removed when a late register() has settled', async () => {
  await simulate({ duration: '1m' }, async ({ clock }) => {
    let delay = 0;
    await using registry = registryWith((inner) => async (node) => {
      if (delay > 0) await clock.sleep(delay);
      return await inner.register(node);
    });
    const provider = await provide({ registry, address: 'sim://client:1000', services });
    delay = LIMIT + 1_000;
    const updated = provider.update({ weight: 7 });
    await clock.sleep(1);
    await expect(provider.close()).rejects.toMatchObject({ code: 'REGISTRY_FAILED' });
    expect(await registry.list()).toHaveLength(1);
    await updated;
    await clock.sleep(1);
    expect(await registry.list()).toEqual([]);
  });
});
