/** A registry server, providers, and a consumer that calls them during an outage. */
import type { ChildProcess } from 'node:child_process';
import { expect } from 'vitest';
import { type Consumer, consume, type Provider, provide } from '../../src/micro/index.js';
import type { Registry } from '../../src/micro/types.js';
import { registry as openRegistry, type RegistryOptions } from '../../src/registries/index.js';
import { contract, implement, type Service, unary } from '../../src/rpc/index.js';
import { RecordingLogger } from '../fixtures/registries.js';
import type { RegistryServer } from '../fixtures/registry-server.js';
import { TcpProxy } from '../fixtures/tcp-proxy.js';
import { elapse, until } from '../fixtures/waiting.js';
import { ChildProcesses } from './child-processes.js';
import { type OutageRow, ROOT } from './outage-rows.js';

/** Milliseconds between two calls of the consumer. */
const CALL_INTERVAL = 5;

export const Greeter = contract(
  'Greeter',
  { hello: unary<string, string>({ idempotent: true }) },
  { version: 'v1' },
);

/** A service whose answers begin with the id of its provider. */
export const greeter = (id: string): Service =>
  implement(Greeter, { hello: (name) => `${id}: ${name}` });

export class OutageScenario implements AsyncDisposable {
  readonly server: RegistryServer;
  /** The log of the consumer's registry. */
  readonly log = new RecordingLogger();
  readonly failures: unknown[] = [];
  /** The number of answers, by the id of the provider. */
  readonly answers = new Map<string, number>();
  readonly #row: OutageRow;
  readonly #ttl: number;
  readonly #options: RegistryOptions;
  readonly #providers: Provider[] = [];
  readonly #registries: Registry[] = [];
  readonly #children = new ChildProcesses();
  readonly #proxies: TcpProxy[] = [];
  #consumer: Consumer | undefined;
  #calls: Promise<void> | undefined;
  #isStopped = false;

  private constructor(row: OutageRow, server: RegistryServer, ttl: number) {
    this.#row = row;
    this.server = server;
    this.#ttl = ttl;
    this.#options = row.options(ttl);
  }

  /** A scenario with leases or sessions of `ttl` ms, whose server is not started. */
  static async withoutServer(row: OutageRow, ttl: number): Promise<OutageScenario> {
    return new OutageScenario(row, await row.createServer(), ttl);
  }

  /** A scenario with leases or sessions of `ttl` ms, and its server. */
  static async withServer(row: OutageRow, ttl: number): Promise<OutageScenario> {
    const scenario = await OutageScenario.withoutServer(row, ttl);
    await scenario.server.start();
    return scenario;
  }

  /** The same with the providers `p1` and `p2`, and a consumer that calls them. */
  static async withCalls(row: OutageRow, ttl: number): Promise<OutageScenario> {
    const scenario = await OutageScenario.withServer(row, ttl);
    await scenario.provide(2);
    await scenario.consume();
    await scenario.untilListed(['p1', 'p2']);
    await scenario.startCalls();
    return scenario;
  }

  async openProxy(): Promise<TcpProxy> {
    const proxy = await TcpProxy.to(this.server);
    this.#proxies.push(proxy);
    return proxy;
  }

  async openRegistry(
    url = this.server.url(ROOT),
    options: RegistryOptions = {},
  ): Promise<Registry> {
    const registry = await openRegistry(url, { ...this.#options, ...options });
    this.#registries.push(registry);
    return registry;
  }

  /** Starts the providers `p1`, `p2` and so on, each with a registry of its own. */
  async provide(count: number, url?: string): Promise<void> {
    for (let i = 1; i <= count; i++) {
      const id = `p${this.#providers.length + 1}`;
      this.#providers.push(
        await provide({
          registry: await this.openRegistry(url),
          id,
          address: 'tcp://127.0.0.1:0',
          services: [greeter(id)],
        }),
      );
    }
  }

  /** Starts a provider in a process of its own. */
  spawnProvider(id: string): Promise<ChildProcess> {
    const args = [this.server.url(ROOT), JSON.stringify(this.#options), id];
    return this.#children.start('registry-provider.mjs', args);
  }

  async consume(url?: string): Promise<Consumer> {
    this.#consumer = consume({
      registry: await this.openRegistry(url, { logger: this.log }),
      timeout: 30_000,
    });
    this.#consumer.resolver(Greeter);
    return this.#consumer;
  }

  /** Makes one call after the other until the scenario is disposed. */
  async startCalls(): Promise<void> {
    const stub = (this.#consumer as Consumer).stub(Greeter);
    const callUntilStopped = async (): Promise<void> => {
      for (let n = 0; !this.#isStopped; n++) {
        try {
          const answer = await stub.hello(`${n}`);
          const [id = '', echo] = answer.split(': ');
          if (echo !== `${n}`) throw new Error(`the answer to ${n} is ${answer}`);
          this.answers.set(id, (this.answers.get(id) ?? 0) + 1);
        } catch (error) {
          this.failures.push(error);
        }
        await elapse(CALL_INTERVAL);
      }
    };
    await stub.hello('first');
    this.#calls = callUntilStopped();
  }

  /** The ids of the consumer's list. */
  listedIds(): string[] {
    return (this.#consumer as Consumer)
      .resolver(Greeter)
      .nodes()
      .map(({ id }) => id);
  }

  async untilListed(ids: readonly string[]): Promise<void> {
    await until(
      () => `${this.listedIds()}` === `${ids}`,
      () => `the list is [${ids}], it is [${this.listedIds()}]`,
    );
  }

  /** The ids of the entries on the server, read without the code under test. */
  async publishedIds(): Promise<string[]> {
    const paths = [...(await this.server.entries(ROOT)).keys()];
    return paths.map((path) => path.split('/').at(-1) ?? '').sort();
  }

  async untilPublished(ids: readonly string[]): Promise<void> {
    let found: readonly string[] | undefined;
    await until(
      async () => {
        found = await this.publishedIds().catch(() => undefined);
        return `${found}` === `${ids}`;
      },
      () => `the server has [${ids}], it has [${found}]`,
    );
  }

  /**
   * Waits until the log has the lines of an outage: its begin, then its end. On a busy machine a
   * short session can be lost once more; then the lines are repeated.
   */
  async untilOutageLogged(): Promise<void> {
    const { outageMessage } = this.#row;
    const levels = (): string =>
      this.log.lines
        .filter(({ message }) => outageMessage?.test(message) !== true)
        .map(({ level }) => level)
        .join();
    await until(
      () => /^warn,info(?:,warn,info)*$/.test(levels()),
      () => `the log has one warning and one info for each outage, it has ${levels()}`,
    );
  }

  /**
   * After an outage: no call has failed, the consumer and a new one list the providers, and one ttl
   * later, when nodes that were kept for it are removed, they still do.
   */
  async expectRecovered(ids: readonly string[]): Promise<void> {
    await this.untilPublished(ids);
    // A server that was frozen first expires leases, so a new consumer may see an incomplete list.
    await using consumer = consume({ registry: await this.openRegistry(), timeout: 30_000 });
    const resolver = consumer.resolver(Greeter);
    const listed = (): string[] => resolver.nodes().map(({ id }) => id);
    await until(
      () => `${listed()}` === `${ids}`,
      () => `a new consumer lists [${ids}], it lists [${listed()}]`,
    );
    await elapse(this.#ttl + 200);
    await this.untilListed(ids);
    await this.untilPublished(ids);
    expect(this.failures).toEqual([]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true;
    this.server.thaw();
    await this.#calls;
    await this.#consumer?.close();
    await Promise.all(this.#providers.map((provider) => provider.close()));
    await this.#children[Symbol.asyncDispose]();
    await Promise.all(this.#registries.map((registry) => registry[Symbol.asyncDispose]()));
    for (const proxy of this.#proxies) await proxy.close();
    await this.server.stop();
  }
}
