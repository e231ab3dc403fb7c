/** The services of the simulated providers. Each handler reports its call to the history. */
import { TestService as descriptor } from '../../demo/test_service_pb.js';
import type { Consumer } from '../../src/micro/index.js';
import {
  clientStream,
  contract,
  implement,
  oneway,
  type Service,
  serverStream,
  unary,
} from '../../src/rpc/index.js';
import type { Random } from '../../src/testing/simulation/index.js';
import type { History } from './history.js';

/** The calls are the ids of the history. */
export const Shop = contract('Shop', {
  read: unary<string, string>({ idempotent: true }),
  order: unary<string, string>(),
  note: oneway<string>(),
  list: serverStream<string, number>(),
  collect: clientStream<string, number>(),
  relay: unary<string, string>(),
});
/** In Protobuf: `test` is idempotent, and `err` is not. */
export const TestService = contract(descriptor, { version: 'v1.0', oneway: ['Event'] });

export const MESSAGES_PER_STREAM = 5;

/** Milliseconds: the timeout of nested calls. */
const TIMEOUT = 3_000;

interface Environment {
  readonly host: string;
  readonly history: History;
  readonly random: Random;
  sleep(ms: number): Promise<void>;
  /** The consumer of this host, for nested calls. */
  consumer(): Consumer;
}

export function shopServices({ host, history, random, sleep, consumer }: Environment): Service[] {
  const work = (): Promise<void> => sleep(random.chance(0.02) ? 2_500 : random.integer(0, 30));
  const shop = implement(Shop, {
    async read(id) {
      history.run(id);
      await work();
      return id;
    },
    async order(id) {
      history.run(id);
      await work();
      return id;
    },
    note(id) {
      history.run(id);
    },
    async *list(id) {
      history.run(id);
      for (let i = 0; i < MESSAGES_PER_STREAM; i++) {
        await work();
        yield i;
      }
    },
    async collect(ids) {
      let count = 0;
      for await (const id of ids) if (count++ === 0) history.run(id);
      return count;
    },
    async relay(id, context) {
      history.run(id);
      const nested = history.begin({ kind: 'nested order', host, isIdempotent: false }, TIMEOUT);
      try {
        await consumer().stub(Shop).order(nested.id, { parent: context, timeout: TIMEOUT });
        history.end(nested);
      } catch (error) {
        history.end(nested, error);
        throw error;
      }
      return id;
    },
  });
  return [
    shop,
    implement(TestService, {
      async test({ A }) {
        history.run(A);
        await work();
        return { A };
      },
      add: ({ A, B }) => ({ Sum: A + B }),
      async err({ A }) {
        history.run(`${A}`);
        await work();
        return {};
      },
      event({ A }) {
        history.run(A);
        return {};
      },
    }),
  ];
}
