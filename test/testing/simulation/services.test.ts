/** Providers and consumers for half an hour, through a crash, a restart and a partition. */
import { expect, test } from 'vitest';
import { consume, failover, provide, roundRobin } from '../../../src/micro/index.js';
import { memory } from '../../../src/registries/memory.js';
import { connect, contract, implement, serve, unary } from '../../../src/rpc/index.js';
import { type Simulation, simulate } from '../../../src/testing/simulation/index.js';

const Greeter = contract('Greeter', {
  hello: unary<string, string>({ idempotent: true }),
});

const REGISTRY = 'simulated';

/** A provider on a host of its name. Its clock is that of the host. */
function startGreeter({ host }: Simulation, name: string) {
  return host(name, () =>
    provide({
      registry: memory(REGISTRY),
      group: 'bj',
      address: `sim://${name}:1000`,
      services: [implement(Greeter, { hello: (to) => `hello, ${to}, from ${name}` })],
    }),
  );
}

const startConsumer = () =>
  consume({
    registry: memory(REGISTRY),
    group: 'bj',
    balancer: roundRobin(),
    strategy: failover({ attempts: 3 }),
  });

test('half an hour of calls survives a crash, a restart and a partition', async () => {
  const failures: [minute: number, code: string][] = [];
  const { value: answers, duration } = await simulate(
    { seed: 7, duration: '30m' },
    async (simulation) => {
      const { network, clock } = simulation;
      const [a, b] = ['a', 'b'].map((name) => startGreeter(simulation, name));
      if (a === undefined || b === undefined) throw new Error('no hosts');
      await Promise.all([a.ready(), b.ready()]);
      network.between('client', a, { latency: [1, 20], loss: 0.01 });
      network.between('client', b, { latency: [1, 20], jitter: 2 });
      clock.at('5m', () => a.crash());
      clock.at('6m', () => a.restart());
      clock.at('10m', () => network.partition(['client'], [b]));
      clock.at('12m', () => network.heal());
      const stub = startConsumer().stub(Greeter);
      const counts: Record<string, number> = {};
      const call = async (): Promise<void> => {
        try {
          const answer = await stub.hello('world', { timeout: 3_000 });
          counts[answer] = (counts[answer] ?? 0) + 1;
        } catch (error) {
          failures.push([clock.now / 60_000, (error as { code: string }).code]);
        }
      };
      while (clock.now < 29.5 * 60_000) {
        void call();
        await clock.sleep(500);
      }
      await clock.sleep('5s');
      return counts;
    },
  );
  expect(duration).toBe(1_800_000);
  // Only calls that were on their way when a host became silent fail.
  expect(failures.length).toBeLessThan(12);
  for (const [minute] of failures)
    expect((minute > 5 && minute < 5.2) || (minute > 10 && minute < 10.2)).toBe(true);
  const total = Object.values(answers).reduce((sum, count) => sum + count, failures.length);
  expect(total).toBe(3_540);
  expect(answers['hello, world, from a']).toBeGreaterThan(1_500);
  expect(answers['hello, world, from b']).toBeGreaterThan(1_500);
});

test('a pause beyond the heartbeat moves the calls to another node, and back', async () => {
  await simulate({ seed: 3 }, async (simulation) => {
    const { clock } = simulation;
    const [a, b] = ['a', 'b'].map((name) => startGreeter(simulation, name));
    await Promise.all([a?.ready(), b?.ready()]);
    const stub = startConsumer().stub(Greeter);
    const call = () =>
      stub.hello('world', { timeout: 2_000 }).then(
        (answer) => answer.at(-1),
        (error: unknown) => (error as { code: string }).code,
      );
    const answers = async (count: number): Promise<Set<string | undefined>> => {
      const seen = new Set<string | undefined>();
      for (let i = 0; i < count; i++) {
        seen.add(await call());
        await clock.sleep('1s');
      }
      return seen;
    };
    expect(await answers(10)).toEqual(new Set(['a', 'b']));
    a?.pause();
    // Some calls to the paused node time out, until the consumer leaves it out.
    await answers(60);
    expect(await answers(30)).toEqual(new Set(['b']));
    a?.resume();
    await answers(60);
    expect(await answers(10)).toEqual(new Set(['a', 'b']));
  });
});

test('the timers and writes of a handler die with its host', async () => {
  const { value } = await simulate({ seed: 4 }, async ({ host, clock }) => {
    const log: string[] = [];
    const a = host('a', () =>
      serve('sim://a:1000', [
        implement(Greeter, {
          async hello(to) {
            log.push('began');
            setTimeout(() => log.push('timer'), 5_000);
            await clock.sleep('10s');
            log.push('ended');
            return to;
          },
        }),
      ]),
    );
    await a.ready();
    const client = await connect('sim://a:1000', { heartbeatPeriod: 1_000 });
    const call = client.stub(Greeter).hello('world', { timeout: 60_000 });
    clock.at('2s', () => a.crash());
    const error = await call.catch((reason: Error) => reason);
    await clock.sleep('1m');
    return { log, code: (error as { code?: string }).code, seconds: clock.now / 1_000 };
  });
  expect(value.log).toEqual(['began']);
  // The heartbeats of the client notice the silence before the call times out.
  expect(value.code).toBe('UNAVAILABLE');
  expect(value.seconds).toBeLessThan(70);
});
