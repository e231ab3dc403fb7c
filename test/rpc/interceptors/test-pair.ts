/** A server and a client, of which one has interceptors. */
import {
  clientStream,
  contract,
  duplex,
  type Interceptor,
  implement,
  oneway,
  type RpcClient,
  RpcError,
  serverStream,
  unary,
} from '../../../src/rpc/index.js';
import { type Rig, rig } from '../../fixtures/rpc.js';
import { gate, Inbox } from '../../fixtures/waiting.js';

export const ENDPOINTS = ['client', 'server'] as const;
type EndpointKind = (typeof ENDPOINTS)[number];

const Trial = contract('Trial', {
  echo: unary<unknown, unknown>(),
  fail: unary<string, never>({ idempotent: true }),
  wait: unary<void, string>(),
  tell: oneway<string>(),
  count: serverStream<number, number>(),
  sum: clientStream<number, number>(),
  each: duplex<number, number>(),
});

/** Opens with the reply of `wait`. */
type ReplyGate = ReturnType<typeof gate<string>>;

/** A server and a client of Trial, of which one has interceptors. */
export class TestPair implements AsyncDisposable {
  readonly pair: Rig;
  readonly stub: ReturnType<typeof stubOf>;
  readonly received: Inbox<string>;
  readonly waiting: Inbox<AbortSignal>;
  readonly gate: ReplyGate;

  constructor(
    pair: Rig,
    received: Inbox<string>,
    waiting: Inbox<AbortSignal>,
    replyGate: ReplyGate,
  ) {
    this.pair = pair;
    this.stub = stubOf(pair.client);
    this.received = received;
    this.waiting = waiting;
    this.gate = replyGate;
  }

  static async open(side: EndpointKind, ...interceptors: Interceptor[]): Promise<TestPair> {
    const received = new Inbox<string>('a oneway call');
    const waiting = new Inbox<AbortSignal>('a call that waits');
    const replyGate = gate<string>();
    const service = implement(Trial, {
      echo: (input) => input,
      fail(text) {
        received.push(text);
        throw new RpcError('UNAVAILABLE', text, { metadata: { is: 'kept' } });
      },
      wait(_, { signal }) {
        waiting.push(signal);
        return replyGate.promise;
      },
      tell: (text) => received.push(text),
      count: (to) => Array.from({ length: to }, (_, n) => n),
      async sum(items) {
        let sum = 0;
        for await (const item of items) sum += item;
        return sum;
      },
      async *each(items) {
        for await (const item of items) yield 2 * item;
      },
    });
    return new TestPair(
      await rig({ services: [service], [side]: { interceptors } }),
      received,
      waiting,
      replyGate,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.gate.open('closed');
    await this.pair[Symbol.asyncDispose]();
  }
}

const stubOf = (client: RpcClient) => client.stub(Trial);
