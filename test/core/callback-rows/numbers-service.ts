/** An rpc service and a call of it, for the rows of rpc, of micro and of the adapters. */
import { expect } from 'vitest';
import {
  type CallOptions,
  connect,
  contract,
  duplex,
  implement,
  type Messages,
  oneway,
  RpcError,
  type RpcServerOptions,
  type Service,
  serve,
  serverStream,
  unary,
} from '../../../src/rpc/index.js';
import { within } from '../../fixtures/waiting.js';
import { type FailingCallback, once } from './failures.js';
import type { Reports } from './reports.js';
import { freeAddress } from './row.js';

export const Numbers = contract('Numbers', {
  double: unary<number, number>({ idempotent: true }),
  count: serverStream<number, number>(),
  echo: duplex<number, number>(),
  log: oneway<number>(),
});

export const double = (n: number): number => 2 * n;

export function numbersService(handlers: object = {}): Service {
  return implement(Numbers, {
    double,
    async *count(n: number) {
      for (let i = 0; i < n; i++) yield i;
    },
    echo: (items: Messages<number>) => items,
    log() {},
    ...handlers,
  } as never);
}

/** A handler of `double` or `log` that fails with UNAVAILABLE at its first call. */
export const unavailableOnce = (): FailingCallback =>
  once(() => {
    throw new RpcError('UNAVAILABLE', 'not now');
  }, double as never);

async function connectStub(address: string, options: object = {}) {
  const client = await connect(address, { connections: 1, ...options });
  return { client, stub: client.stub(Numbers) };
}

type NumbersStub = Awaited<ReturnType<typeof connectStub>>['stub'];

interface CallSetup {
  readonly server?: RpcServerOptions;
  readonly client?: object;
  readonly handlers?: object;
  readonly options?: CallOptions;
  /** Default: double(1) with `options`. */
  readonly call?: (stub: NumbersStub) => unknown;
}

/** Makes a call that must cause a report. A second call must be answered. */
export async function testCall(
  reports: Reports,
  { server: serverOptions, client: clientOptions, handlers, options, call }: CallSetup,
): Promise<void> {
  const server = await serve(freeAddress(), [numbersService(handlers)], serverOptions);
  let { client, stub } = await connectStub(server.address, clientOptions);
  const makeCall = call ?? ((numbers: NumbersStub) => numbers.double(1, options));
  await reports.rejection(() => within(Promise.resolve(makeCall(stub)), 'the call'));
  await reports.first();
  if (client.closed) ({ client, stub } = await connectStub(server.address));
  expect(await stub.double(2)).toBe(4);
  await client.close();
  await server.close();
}
