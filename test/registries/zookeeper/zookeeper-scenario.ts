/** Providers on ZooKeeper servers, and a consumer that calls them during an outage. */
import type { ChildProcess } from 'node:child_process';
import { expect } from 'vitest';
import {
  type Consumer,
  consume,
  type Provider,
  provide,
  type Resolver,
} from '../../../src/micro/index.js';
import type { Registry } from '../../../src/micro/types.js';
import {
  type ZooKeeperRegistryOptions,
  zookeeper,
} from '../../../src/registries/zookeeper/index.js';
import { contract, implement, unary } from '../../../src/rpc/index.js';
import { RecordingLogger } from '../../fixtures/registries.js';
import { elapse, until } from '../../fixtures/waiting.js';
import type { ZooKeeperServer } from '../../fixtures/zookeeper-server.js';
import { ChildProcesses } from '../child-processes.js';

const Who = contract(
  'Who',
  { who: unary<string, string>({ idempotent: true }) },
  { version: 'v1' },
);
export const ROOT = '/outages';
/** Milliseconds between two calls. */
const CALL_INTERVAL = 5;

/** Providers, a consumer that calls them all the time, and the results of these calls. */
export class ZooKeeperScenario implements AsyncDisposable {
  readonly log = new RecordingLogger();
  readonly failures: unknown[] = [];
  readonly #servers: readonly ZooKeeperServer[];
  readonly #hosts: string;
  readonly #options: ZooKeeperRegistryOptions;
  readonly #registries: Registry[] = [];
  readonly #providers: Provider[] = [];
  readonly #children = new ChildProcesses();
  readonly consumer: Consumer;
  readonly resolver: Resolver;
  /** The ids of every list. */
  readonly lists: string[] = [];
  /** What happened when, for a test that fails. */
  readonly #history: string[] = [];
  #calls: Promise<void> | undefined;
  #isStopped = false;

  constructor(
    servers: readonly ZooKeeperServer[],
    options: ZooKeeperRegistryOptions,
    hosts = servers.map(({ address }) => address).join(),
  ) {
    this.#servers = servers;
    this.#hosts = hosts;
    this.#options = options;
    this.consumer = consume({ registry: this.#open('consumer', this.log) });
    this.resolver = this.consumer.resolver(Who);
    this.resolver.onChange((_, nodes) => {
      const list = nodes.map(({ id }) => id).join();
      this.lists.push(list);
      this.#note(`the list is ${list}`);
    });
  }

  #note(event: string): void {
    this.#history.push(`${Math.round(performance.now())} ms: ${event}`);
  }

  /** `name` is for the history. */
  #open(name: string, log?: RecordingLogger): Registry {
    const write =
      (level: 'info' | 'warn') =>
      (details: object, message: string): void => {
        this.#note(`${name}: ${message}`);
        log?.[level](details, message);
      };
    const logger = { info: write('info'), warn: write('warn') };
    const registry = zookeeper(this.#hosts, { root: ROOT, logger, ...this.#options });
    this.#registries.push(registry);
    return registry;
  }

  async provide(id: string): Promise<Provider> {
    const registry = this.#open(id);
    const provider = await provide({
      registry,
      id,
      address: 'tcp://127.0.0.1:0',
      services: [implement(Who, { who: () => id })],
      onPublish: (nodes) => this.#note(`${id} has ${nodes.length} published nodes`),
    });
    this.#providers.push(provider);
    return provider;
  }

  /** Starts a provider in a process of its own. */
  spawn(id: string): Promise<ChildProcess> {
    const url = `zookeeper://${this.#hosts}${ROOT}`;
    return this.#children.start('zookeeper-provider.mjs', [url, JSON.stringify(this.#options), id]);
  }

  /** Waits until the consumer lists these nodes. */
  async untilListed(...ids: string[]): Promise<void> {
    const wanted = ids.join();
    const present = (): string =>
      this.resolver
        .nodes()
        .map(({ id }) => id)
        .join();
    await until(
      () => present() === wanted,
      () => `the list is [${wanted}]; lists so far: ${this.lists.join(' | ')}`,
    );
  }

  /** Waits until the server has the entries of these nodes. It may have that of `other`. */
  async untilPublished(ids: readonly string[], other = ''): Promise<void> {
    let found: readonly string[] = [];
    await until(
      async () => {
        const entries = await this.#servers[0]
          ?.entries(ROOT)
          .catch(() => new Map<string, string>());
        found = [...(entries?.keys() ?? [])]
          .map((path) => path.split('/').at(-1) as string)
          .filter((id) => id !== other)
          .sort();
        return `${found}` === `${ids}`;
      },
      () => `the server has the entries [${ids}], it has [${found}]`,
    );
  }

  /** Expects that every list since the first one that is `first` matches. */
  expectLists(first: string, pattern: RegExp): void {
    const wrong = this.lists.slice(this.lists.indexOf(first)).filter((list) => !pattern.test(list));
    expect(wrong, this.#history.join('\n')).toEqual([]);
  }

  /** Makes calls at equal intervals until the scenario is disposed. */
  startCalls(): void {
    const stub = this.consumer.stub(Who);
    const call = async (): Promise<void> => {
      try {
        await stub.who('');
      } catch (error) {
        this.failures.push(error);
      }
    };
    this.#calls = (async () => {
      while (!this.#isStopped) {
        void call();
        await elapse(CALL_INTERVAL);
      }
    })();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true;
    await this.#calls;
    await this.consumer.close();
    for (const provider of this.#providers) await provider.close();
    for (const registry of this.#registries) await registry[Symbol.asyncDispose]();
    await this.#children[Symbol.asyncDispose]();
    for (const server of this.#servers)
      await until(async () => (await server.connections()) === 0, 'the server has no connections');
  }
}
