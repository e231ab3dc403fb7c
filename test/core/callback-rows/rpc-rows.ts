/** The callbacks of the rpc layer, except the callbacks of the ready interceptors. */
import { expect } from 'vitest';
import {
  type CallContext,
  connect,
  contract,
  type Interceptor,
  Introspection,
  implement,
  logging,
  serve,
  unary,
} from '../../../src/rpc/index.js';
import { type FailingCallback, once } from './failures.js';
import { double, testCall, unavailableOnce } from './numbers-service.js';
import type { Reports } from './reports.js';
import { freeAddress, type Row, type Rows } from './row.js';

async function readAll(replies: AsyncIterable<unknown>): Promise<void> {
  for await (const reply of replies) void reply;
}

const iterableOf = (next: FailingCallback) => ({ [Symbol.asyncIterator]: () => ({ next }) });

/** Calls the method `double` of an own contract: the first call must fail, the second succeeds. */
async function testMethod(reports: Reports, method: object): Promise<void> {
  const Doubler = contract('Doubler', { double: method as never });
  const server = await serve(freeAddress(), [implement(Doubler, { double } as never)]);
  const client = await connect(server.address);
  const stub = client.stub(Doubler) as unknown as { double(n: number): Promise<number> };
  await reports.rejection(() => stub.double(1));
  expect(await stub.double(2)).toBe(4);
  await client.close();
  await server.close();
}

function messageClassRow(name: 'encode' | 'decode'): Row {
  return (fail, reports) => {
    const encode = (n: number) => ({ finish: () => Uint8Array.of(n) });
    const valid = { encode, decode: (bytes: Uint8Array) => bytes[0] as number };
    const failing = { ...valid, [name]: once(fail, valid[name] as never) };
    return testMethod(reports, unary({ protobuf: { input: failing, output: valid } }));
  };
}

const schemaOf = (validate: FailingCallback) => ({
  '~standard': { version: 1 as const, vendor: 'test', validate },
});

/** The introspection service says that a conversion has failed. */
function jsonSchemaRow(direction: 'input' | 'output'): Row {
  return async (fail, reports) => {
    const convert = (() => ({ type: 'number' })) as FailingCallback;
    const jsonSchema = { input: convert, output: convert, [direction]: once(fail, convert) };
    const { '~standard': standard } = schemaOf(((value: unknown) => ({ value })) as never);
    const schema = { '~standard': { ...standard, jsonSchema } };
    const Numbers = contract('Numbers', { double: unary({ input: schema, output: schema }) });
    const handlers = { double: (n: number) => 2 * n };
    const server = await serve(freeAddress(), [implement(Numbers, handlers as never)], {
      introspection: true,
    });
    const client = await connect(server.address);
    const [described] = await client.stub(Introspection).services();
    if (described?.methods[0]?.[direction]?.jsonSchemaOmitted === 'failed')
      reports.add('introspection', direction);
    expect(await client.stub(Numbers).double(2 as never)).toBe(4);
    await client.close();
    await server.close();
  };
}

/** The client calls an interceptor before it connects, so connect() rejects. */
const interceptorRow: Row = (fail, reports) =>
  reports.rejection(() => connect(freeAddress(), { interceptors: [fail] }));

export const RPC_ROWS: Rows = {
  'Logger.warn': (fail, reports) =>
    testCall(reports, {
      server: { logger: { info() {}, warn: once(fail) } },
      handlers: { log: unavailableOnce() },
      call: (stub) => stub.log(1),
    }),
  'Logger.info': (fail, reports) =>
    testCall(reports, {
      client: { interceptors: [logging({ logger: { info: once(fail), warn() {} } })] },
    }),
  'Handlers (unary)': (fail, reports) =>
    testCall(reports, { handlers: { double: once(fail, double as never) } }),
  'Handlers (serverStream)': (fail, reports) =>
    testCall(reports, {
      handlers: { count: once(fail) },
      call: (stub) => readAll(stub.count(1)),
    }),
  'Handlers (duplex)': (fail, reports) =>
    testCall(reports, {
      handlers: { echo: once(fail) },
      call: (stub) => readAll(stub.echo([1])),
    }),
  'Handlers (oneway)': (fail, reports) =>
    testCall(reports, {
      server: { logger: reports.logger },
      handlers: { log: once(fail) },
      call: (stub) => stub.log(1),
    }),
  'Handlers (items)': (fail, reports) =>
    testCall(reports, {
      handlers: { count: () => iterableOf(once(fail)) },
      call: (stub) => readAll(stub.count(1)),
    }),
  'Messages (items)': (fail, reports) =>
    testCall(reports, { call: (stub) => readAll(stub.echo(iterableOf(once(fail)))) }),
  'RpcOptions.interceptors': interceptorRow,
  Interceptor: interceptorRow,
  'compose(interceptors)': interceptorRow,
  'Invoke (client)': (fail, reports) =>
    testCall(reports, {
      client: { interceptors: [((next) => once(fail, next as never)) as Interceptor] },
    }),
  'Invoke (server)': (fail, reports) =>
    testCall(reports, {
      server: { interceptors: [((next) => once(fail, next as never)) as Interceptor] },
    }),
  'CallOptions.onMetadata': (fail, reports) =>
    testCall(reports, {
      handlers: {
        double(n: number, context: CallContext) {
          context.replyMetadata.a = 'b';
          return double(n);
        },
      },
      options: { onMetadata: once(fail) },
    }),
  Callback: (fail, reports) => testCall(reports, { call: (stub) => stub.double(1, once(fail)) }),
  'RpcClientOptions.onReady': (fail, reports) =>
    testCall(reports, { client: { onReady: once(fail) } }),
  'RpcClientOptions.onResponsive': (fail, reports) =>
    testCall(reports, { client: { onResponsive: once(fail) } }),
  'MessageClass.encode': messageClassRow('encode'),
  'MessageClass.decode': messageClassRow('decode'),
  'StandardJsonSchema.input': jsonSchemaRow('input'),
  'StandardJsonSchema.output': jsonSchemaRow('output'),
  'StandardProps.validate': (fail, reports) => {
    const accept = ((value: unknown) => ({ value })) as never;
    return testMethod(
      reports,
      unary({ input: schemaOf(once(fail, accept)), output: schemaOf(accept) }),
    );
  },
};
