/** Servers that the commands of the tests ask and call. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { z } from 'zod';
import {
  type ProvideOptions,
  type Provider,
  provide,
  type Registry,
} from '../../src/micro/index.js';
import { memory } from '../../src/registries/memory.js';
import {
  clientStream,
  contract,
  duplex,
  implement,
  noReply,
  oneway,
  RpcError,
  type RpcServer,
  type RpcServerOptions,
  type Service,
  serve,
  serverStream,
  unary,
} from '../../src/rpc/index.js';
import { freeMemoryAddress, testService } from '../fixtures/rpc.js';

export const Greeter = contract(
  'Greeter',
  {
    hello: unary<string, string>({ idempotent: true }),
    price: unary({ input: z.object({ item: z.string() }), output: z.number(), timeout: 700 }),
    fail: unary<string, string>(),
    whoami: unary<void, Record<string, string>>(),
    nothing: unary<void, void>(),
    note: oneway<string>(),
    mark: noReply<string>(),
    count: serverStream<number, number>(),
    sum: clientStream<number, number>(),
    echo: duplex<unknown, unknown>(),
  },
  { version: 'v1' },
);

/** `notes` gets the arguments of note() and mark(). */
export function greeter(name = 'greeter', notes: { push(note: string): unknown } = []): Service {
  return implement(Greeter, {
    hello: (who) => `hello, ${who} from ${name}`,
    price: ({ item }) => item.length,
    fail: (message) => {
      throw new RpcError('NOT_FOUND', message);
    },
    whoami: (_, { metadata }) => ({ ...metadata }),
    nothing: () => undefined,
    note: (text) => void notes.push(text),
    mark: (text) => void notes.push(text),
    async *count(to) {
      for (let i = 1; i <= to; i++) yield i;
    },
    async sum(numbers) {
      let sum = 0;
      for await (const number of numbers) sum += number;
      return sum;
    },
    async *echo(items) {
      yield* items;
    },
  });
}

/** A server of Greeter and of the Protobuf service TestService, with introspection. */
export function serveGreeter(
  options: RpcServerOptions = { introspection: true },
  services: readonly Service[] = [greeter(), testService()],
): Promise<RpcServer> {
  return serve(freeMemoryAddress(), services, options);
}

let lastRegistry = 0;

export interface TestFleet extends AsyncDisposable {
  readonly url: string;
  readonly registry: Registry;
  /** Starts a provider of Greeter. Its name is its id. */
  provide(id: string, options?: Partial<ProvideOptions>): Promise<Provider>;
}

/** A registry in memory, with the providers that a test starts. */
export function openFleet(url = `memory:cli-${++lastRegistry}`, given?: Registry): TestFleet {
  const registry = given ?? memory(url.replace('memory:', ''));
  const providers: Provider[] = [];
  return {
    url,
    registry,
    async provide(id, options = {}) {
      const provider = await provide({
        registry,
        id,
        address: 'tcp://127.0.0.1:0',
        services: [greeter(id)],
        introspection: true,
        admin: true,
        ...options,
      });
      providers.push(provider);
      return provider;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(providers.map((provider) => provider.close()));
      await registry[Symbol.asyncDispose]();
    },
  };
}

/** A temporary directory, and its URL as a registry. */
export async function temporaryFolder(): Promise<{ path: string; url: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'getty-cli-'));
  return {
    path,
    url: pathToFileURL(path).href,
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}
