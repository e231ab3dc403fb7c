/**
 * Providers that are restarted one after another under load: no call is lost, and each new provider
 * receives its share of the calls.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import {
  type Consumer,
  consume,
  leastActive,
  type Provider,
  p2cEwma,
  provide,
  type Registry,
  roundRobin,
  weighted,
} from '../../src/micro/index.js';
import { file } from '../../src/registries/file/index.js';
import { memory } from '../../src/registries/memory.js';
import { contract, implement, unary } from '../../src/rpc/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { noTimersLeft } from '../fixtures/timers.js';
import { turns, until } from '../fixtures/waiting.js';

// Not idempotent, so a call that is lost in flight fails.
const Shop = contract('Shop', { pay: unary<number, string>() });
const IDS = ['a', 'b', 'c', 'd', 'e'];
const CALLERS = 16;
/** Calls between two restarts. */
const CALLS_PER_STEP = 800;

/**
 * A provider that answers with its id and the number of its start. It answers a turn later, so that
 * calls are in flight when it closes.
 */
function start(
  registry: Registry,
  id: string,
  startNumber: number,
  address = 'tcp://127.0.0.1:0',
): Promise<Provider> {
  const pay = (): Promise<string> =>
    new Promise((resolve) => setImmediate(() => resolve(`${id}${startNumber}`)));
  return provide({ registry, id, address, services: [implement(Shop, { pay })] });
}

/** CALLERS callers. Each makes its next call when it has an answer. */
class Load implements AsyncDisposable {
  readonly failures: unknown[] = [];
  answered = 0;
  /** The number of answers, by id and start number of the provider. */
  answers = new Map<string, number>();
  readonly #startTime = performance.now();
  #isStopped = false;
  readonly #callers: Promise<void>[];

  constructor(consumer: Consumer) {
    const stub = consumer.stub(Shop);
    this.#callers = Array.from({ length: CALLERS }, async () => {
      while (!this.#isStopped) {
        try {
          const answer = await stub.pay(1);
          this.answers.set(answer, (this.answers.get(answer) ?? 0) + 1);
          this.answered++;
        } catch (error) {
          this.failures.push(error);
          // A call may fail without a turn of the event loop.
          await turns();
        }
      }
    });
  }

  /** Waits until `count` more calls are answered. */
  async untilAnswered(count: number): Promise<void> {
    const enough = this.answered + count;
    await until(() => this.answered >= enough, `another ${count} calls were answered`);
  }

  /** Calls per second. */
  get rate(): number {
    return Math.round(this.answered / ((performance.now() - this.#startTime) / 1000));
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#callers);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

/** Registries that share their entries, and providers. Disposal closes all of them. */
class RestartScenario implements AsyncDisposable {
  readonly #open: () => Registry;
  readonly #cleanUp: () => Promise<void>;
  readonly #opened: AsyncDisposable[] = [];

  constructor(open: () => Registry, cleanUp: () => Promise<void>) {
    this.#open = open;
    this.#cleanUp = cleanUp;
  }

  openRegistry(): Registry {
    const registry = this.#open();
    this.#opened.push(registry);
    return registry;
  }

  async provide(id: string, startNumber: number, address?: string): Promise<Provider> {
    const provider = await start(this.openRegistry(), id, startNumber, address);
    this.#opened.push(provider);
    return provider;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const opened of this.#opened.reverse()) await opened[Symbol.asyncDispose]();
    await this.#cleanUp();
  }
}

const SCENARIOS: Readonly<Record<string, () => Promise<RestartScenario>>> = {
  memory: async () =>
    new RestartScenario(
      () => memory('rolling'),
      async () => {},
    ),
  async file() {
    const directory = await mkdtemp(join(tmpdir(), 'getty-rolling-'));
    return new RestartScenario(
      () => file(directory, { pollInterval: 20, ttl: 5_000 }),
      () => rm(directory, { recursive: true, force: true }),
    );
  },
};

noLeaks();
noTimersLeft();

/**
 * The registry, the balancer, and the smallest allowed share of each provider at the end, relative
 * to an equal share. Balancers by latency or load do not give equal shares: on a busy machine a
 * provider may seem slow to p2cEwma(), and gets few calls.
 */
it.each([
  ['memory', 'roundRobin', roundRobin(), 0.5],
  ['memory', 'p2cEwma', p2cEwma(), 0],
  ['file', 'roundRobin', roundRobin(), 0.5],
  ['file', 'weighted', weighted(), 0.5],
  ['file', 'leastActive', leastActive(), 0.3],
] as const)(
  'a restart of five providers one after another loses no call: %s registry, %s',
  async (kind, name, balancer, minShare) => {
    await using scenario = await (SCENARIOS[kind] as () => Promise<RestartScenario>)();
    const present = new Map<string, Provider>();
    for (const id of IDS) present.set(id, await scenario.provide(id, 1));
    await using consumer = consume({ registry: scenario.openRegistry(), balancer });
    const resolver = consumer.resolver(Shop);
    await until(() => resolver.nodes().length === IDS.length, 'the list has all nodes');
    await using load = new Load(consumer);
    for (const id of IDS) {
      await load.untilAnswered(CALLS_PER_STEP);
      const old = present.get(id) as Provider;
      await old.close();
      await load.untilAnswered(CALLS_PER_STEP);
      await scenario.provide(id, 2, old.address);
      // The new provider has answered before the next one is closed.
      await until(() => load.answers.has(`${id}2`), `${id} has answered again`);
    }
    await load.untilAnswered(CALLS_PER_STEP);
    load.answers = new Map();
    await load.untilAnswered(5 * CALLS_PER_STEP);
    await until(() => load.answers.size === IDS.length, 'each provider has answered again');
    await load.stop();
    console.info(
      `${kind}, ${name}: ${load.answered} calls at ${load.rate} calls/s, ${load.failures.length} failed`,
    );
    expect(load.failures).toEqual([]);
    expect([...load.answers.keys()].sort()).toEqual(IDS.map((id) => `${id}2`));
    const share = [...load.answers.values()].reduce((sum, count) => sum + count, 0) / IDS.length;
    for (const count of load.answers.values()) expect(count / share).toBeGreaterThan(minShare);
  },
);

it('a restart at the same addresses loses no call, if each provider is published before the next is closed', async () => {
  await using scenario = await (SCENARIOS.memory as () => Promise<RestartScenario>)();
  const ids = ['a', 'b'];
  const present = new Map<string, Provider>();
  for (const id of ids) present.set(id, await scenario.provide(id, 1));
  await using consumer = consume({ registry: scenario.openRegistry() });
  await using load = new Load(consumer);
  for (const startNumber of [2, 3]) {
    for (const id of ids) {
      await load.untilAnswered(CALLS_PER_STEP);
      const old = present.get(id) as Provider;
      await old.close();
      await load.untilAnswered(CALLS_PER_STEP);
      const next = await scenario.provide(id, startNumber, old.address);
      expect(next.published).toHaveLength(next.nodes.length);
      present.set(id, next);
    }
  }
  await load.untilAnswered(CALLS_PER_STEP);
  await load.stop();
  expect(load.failures).toEqual([]);
});
