/** The services of the simulated providers. Each handler reports its call to the history. */
import type { Consumer } from '../../src/micro/index.js';
import { type CallContext, contract, implement, type Service } from '../../src/rpc/index.js';
import type { Random } from '../../src/testing/simulation/index.js';
import { Shop as descriptor } from '../fixtures/protobuf/shop_pb.js';
import type { History } from './history.js';

const shop = (version: string) =>
  contract(descriptor, { name: 'Shop', version, oneway: ['Note'], noReply: ['Settle'] });

/** The contract of each version. A provider has one of them, in JSON and in Protobuf. */
export const SHOPS = { '1.0': shop('1.0'), '2.0': shop('2.0') };
export type Version = keyof typeof SHOPS;
export const VERSIONS = Object.keys(SHOPS) as Version[];
export const CODECS = ['json', 'protobuf'] as const;

export const MESSAGES_PER_STREAM = 4;

/** Milliseconds: the timeout of nested calls. */
const TIMEOUT = 3_000;

interface Environment {
  readonly host: string;
  readonly version: Version;
  readonly history: History;
  readonly random: Random;
  sleep(ms: number): Promise<void>;
  /** The consumer of this host, for nested calls. */
  consumer(): Consumer;
}

export function shopService(environment: Environment): Service {
  const { host, version, history, random, sleep, consumer } = environment;
  const work = (): Promise<void> => sleep(random.chance(0.02) ? 2_500 : random.integer(0, 30));
  const run = (id: string): void => history.run(id, host);

  async function callNested(
    method: 'order' | 'read',
    context: CallContext,
    isIdempotent: boolean,
  ): Promise<void> {
    const codec = random.pick(CODECS);
    const kind = `nested ${method}, ${codec}, failfast`;
    const nested = history.begin({ kind, host, isIdempotent }, TIMEOUT);
    try {
      const stub = consumer().stub(SHOPS[version], { codec });
      const { id } = await stub[method]({ id: nested.id }, { parent: context, timeout: TIMEOUT });
      if (id !== nested.id) history.wrongAnswer(nested, id);
      history.end(nested);
    } catch (error) {
      history.end(nested, error);
      throw error;
    }
  }

  async function* items(id: string): AsyncGenerator<{ id: string; index: number }> {
    run(id);
    for (let index = 0; index < MESSAGES_PER_STREAM; index++) {
      await work();
      yield { id, index };
    }
  }

  async function answer({ id }: { id: string }): Promise<{ id: string }> {
    run(id);
    await work();
    return { id };
  }

  return implement(SHOPS[version], {
    read: answer,
    order: answer,
    note({ id }) {
      run(id);
      return {};
    },
    async settle({ id }) {
      run(id);
      await work();
      return {};
    },
    browse: ({ id }) => items(id),
    list: ({ id }) => items(id),
    async collect(inputs) {
      const ids: string[] = [];
      for await (const { id, index } of inputs) {
        if (ids.length === 0) run(id);
        ids.push(`${id}.${index}`);
      }
      return { id: ids.join(' ') };
    },
    async *chat(inputs) {
      let isFirst = true;
      for await (const { id, index } of inputs) {
        if (isFirst) run(id);
        isFirst = false;
        await work();
        yield { id, index };
      }
    },
    async relay({ id }, context) {
      run(id);
      await callNested('order', context, false);
      return { id };
    },
    async route({ id }, context) {
      run(id);
      await callNested('read', context, true);
      return { id };
    },
  });
}
