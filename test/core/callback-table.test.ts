/**
 * Every callback that the public types name, with each way in which it may fail: the process
 * survives, the failure is told once, and what does not depend on the callback goes on.
 */
import { runInNewContext } from 'node:vm';
import type { Tracer } from '@opentelemetry/api';
import { Registry as MetricsRegistry } from 'prom-client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tracing } from '../../src/adapters/opentelemetry/index.js';
import { rpcMetrics } from '../../src/adapters/prometheus/index.js';
import { messageOf } from '../../src/core/errors.js';
import {
  consistentHash,
  consume,
  failover,
  leastActive,
  p2cEwma,
  provide,
  type Registry,
  random,
  roundRobin,
  type ServiceNode,
} from '../../src/micro/index.js';
import { etcd } from '../../src/registries/etcd/index.js';
import { memory } from '../../src/registries/memory.js';
import { ZooKeeperClient } from '../../src/registries/zookeeper/index.js';
import {
  auth,
  bearer,
  type Call,
  type CallContext,
  type CallOptions,
  circuitBreaker,
  connect as connectRpc,
  contract,
  duplex,
  type Interceptor,
  implement,
  jwt,
  logging,
  type Messages,
  oneway,
  RpcError,
  type RpcServerOptions,
  rateLimit,
  retry,
  serve as serveRpc,
  serverStream,
  unary,
} from '../../src/rpc/index.js';
import {
  connect,
  type EventListener,
  type Logger,
  lines,
  mapCodec,
  RefusedError,
  type Session,
  type SessionSetup,
  serve,
  type TaskPool,
} from '../../src/transport/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { publicTypes } from '../fixtures/public-types.js';
import { turns, until, within } from '../fixtures/waiting.js';

noLeaks();

// ---- the ways to fail ----

/** A value that throws whenever it is looked at. */
function hostile(): never {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy as never;
}

/** Stands in for any callback: it takes any arguments and pretends to answer anything. */
type Fail = (...args: unknown[]) => never;

const FAILURES: Readonly<Record<string, Fail>> = {
  throws: () => {
    throw new Error('no');
  },
  rejects: () => Promise.reject(new Error('no')) as never,
  'returns a thenable that rejects': () =>
    // biome-ignore lint/suspicious/noThenProperty: a thenable is what is tested.
    ({ then: (_: unknown, reject: (error: Error) => void) => reject(new Error('no')) }) as never,
  'returns a rejected promise of another realm': () =>
    runInNewContext('Promise.reject(new Error("no"))') as never,
  'throws a revoked proxy': () => {
    throw hostile();
  },
  'rejects with a revoked proxy': () => Promise.reject(hostile()) as never,
  'returns a revoked proxy': () => hostile(),
};

// ---- what is told ----

/** What was told of a failure, by whichever way. */
class Told {
  readonly what: string[] = [];

  add(what: string, error: unknown): void {
    let text = 'a value without a text';
    try {
      text = String((error as { code?: string }).code ?? error);
    } catch {
      // A hostile value.
    }
    this.what.push(`${what}: ${text}`);
  }

  /** Awaits an operation that shall fail because of the callback. */
  async rejection(operation: () => unknown): Promise<void> {
    try {
      await operation();
    } catch (error) {
      this.add('rejection', error);
    }
  }

  readonly logger: Logger = {
    info() {},
    warn: (details) => this.add('logger', (details as { error?: unknown }).error),
  };
}

let told = new Told();
const uncaught: unknown[] = [];
const EVENTS = ['unhandledRejection', 'uncaughtException'] as const;
const others = new Map<string, ((...args: unknown[]) => void)[]>();
const onUncaught = (error: unknown): void => void uncaught.push(error);
const onWarning = (warning: Error & { code?: string }): void => told.add('warning', warning);

beforeAll(() => {
  for (const event of EVENTS) {
    others.set(event, process.listeners(event as 'unhandledRejection') as never);
    process.removeAllListeners(event);
    process.on(event, onUncaught);
  }
  process.on('warning', onWarning);
});

afterAll(() => {
  process.off('warning', onWarning);
  for (const event of EVENTS) {
    process.off(event, onUncaught);
    for (const listener of others.get(event) ?? []) process.on(event, listener);
  }
});

// ---- programs for the rows ----

let lastName = 0;
const freeAddress = (): string => `memory://callback-table-${++lastName}`;

/** Fails at the first call; then it answers what `then` does. */
function once(fail: Fail, then: (...args: never[]) => unknown = () => undefined): Fail {
  let failed = false;
  return ((...args: never[]) => {
    if (failed) return then(...args);
    failed = true;
    return fail();
  }) as Fail;
}

/**
 * A server of lines with `setup`; a message goes to it, and then one of another session is
 * answered.
 */
async function listening(
  setup: Partial<Omit<SessionSetup<string>, 'listener'>> & {
    listener?: Partial<EventListener<string>>;
  },
  word = 'a',
  isEnded = false,
): Promise<void> {
  const listener: EventListener<string> = {
    onMessage: (session, line) => session.write(line),
    onError: (_, error) => told.add('onError', error),
    ...setup.listener,
  };
  const server = await serve<string>(freeAddress(), {
    codec: lines(),
    ...setup,
    listener,
  } as SessionSetup<string>);
  const first = await connect<string>(
    server.address,
    { codec: lines(), listener: { onMessage() {} } },
    { reconnect: false },
  );
  first.current?.write(word);
  if (isEnded) await first.close();
  await until(() => told.what.length > 0, 'the failure was told');
  let answer = '';
  const onMessage = (_: Session<string>, line: string): void => {
    answer = line;
  };
  const second = await connect<string>(server.address, { codec: lines(), listener: { onMessage } });
  second.current?.write('b');
  await until(() => answer === 'b', 'another session was answered');
  await Promise.all([first.close(), second.close(), server.close()]);
}

const Numbers = contract('Numbers', {
  double: unary<number, number>({ idempotent: true }),
  count: serverStream<number, number>(),
  echo: duplex<number, number>(),
  log: oneway<number>(),
});

interface Rig {
  readonly server?: RpcServerOptions;
  readonly client?: object;
  readonly handlers?: object;
  readonly options?: CallOptions;
  /** The call that meets the callback. Default: double(1). */
  readonly call?: (
    stub: Awaited<ReturnType<typeof stubAt>>['stub'],
    options: CallOptions | undefined,
  ) => unknown;
}

async function stubAt(address: string, client: object = {}) {
  const made = await connectRpc(address, { connections: 1, ...client });
  return { client: made, stub: made.stub(Numbers) };
}

/**
 * The failure is told by the first call's rejection, or otherwise; then a second call is answered.
 */
async function calling({
  server: serverOptions,
  client: clientOptions,
  handlers,
  options,
  call,
}: Rig): Promise<void> {
  const service = implement(Numbers, {
    double: (n: number) => 2 * n,
    async *count(n: number) {
      for (let i = 0; i < n; i++) yield i;
    },
    echo: (items: Messages<number>) => items,
    log() {},
    ...handlers,
  } as never);
  const server = await serveRpc(freeAddress(), [service], serverOptions);
  let { client, stub } = await stubAt(server.address, clientOptions);
  await told.rejection(() =>
    within(
      Promise.resolve(call === undefined ? stub.double(1, options) : call(stub, options)),
      'the call',
    ),
  );
  await until(() => told.what.length > 0, 'the failure was told');
  if (client.closed) ({ client, stub } = await stubAt(server.address));
  expect(await stub.double(2)).toBe(4);
  await client.close();
  await server.close();
}

const node = (address: string): ServiceNode => ({
  id: 'a',
  service: 'Numbers',
  group: '',
  version: '',
  protocol: 'json',
  address,
  metadata: {},
});

/** A call through a consumer that meets the callback; then one more, which is answered. */
async function consuming(
  options: object,
  first?: (consumer: ReturnType<typeof consume>) => unknown,
): Promise<void> {
  const server = await serveRpc(freeAddress(), [implement(Numbers, numbers())]);
  const registry = memory();
  await registry.register(node(server.address));
  const consumer = consume({ registry, ...options });
  const stub = consumer.stub(Numbers);
  await told.rejection(() =>
    within(Promise.resolve(first === undefined ? stub.double(1) : first(consumer)), 'the call'),
  );
  await until(() => told.what.length > 0, 'the failure was told');
  expect(await stub.double(2)).toBe(4);
  await consumer.close();
  await server.close();
  await registry[Symbol.asyncDispose]();
}

function numbers(): never {
  return {
    double: (n: number) => 2 * n,
    async *count() {
      yield 1;
    },
    echo: (items: Messages<number>) => items,
    log() {},
  } as never;
}

async function readAll(replies: AsyncIterable<unknown>): Promise<void> {
  for await (const reply of replies) void reply;
}

/** A handler that fails once. */
const unavailable = (): Fail =>
  once(
    () => {
      throw new RpcError('UNAVAILABLE', 'not now');
    },
    ((n: number) => 2 * n) as never,
  );

/** A clock that is a minute later each time, so that a circuit is not open for long. */
function leaping(): () => number {
  let now = 0;
  return () => {
    now += 60_000;
    return now;
  };
}

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const TOKEN = `${part({ alg: 'RS256', kid: 'a' })}.${part({ sub: 'a', iss: 'i', aud: 'b', exp: 4e9 })}.AAAA`;

const schemaOf = (validate: Fail) => ({
  '~standard': { version: 1 as const, vendor: 'test', validate },
});

/** What a failing MessageClass is in one of its methods. */
function messageClassRow(name: 'encode' | 'decode') {
  return async (fail: Fail): Promise<void> => {
    const encode = (n: number) => ({ finish: () => Uint8Array.of(n) });
    const good = { encode, decode: (bytes: Uint8Array) => bytes[0] as number };
    const bad = { ...good, [name]: once(fail, good[name] as never) };
    const C = contract('C', { double: unary({ protobuf: { input: bad, output: good } }) });
    const server = await serveRpc(freeAddress(), [
      implement(C, { double: (n: number) => 2 * n } as never),
    ]);
    const client = await connectRpc(server.address);
    const stub = client.stub(C) as unknown as { double(n: number): Promise<number> };
    await told.rejection(() => stub.double(1));
    expect(await stub.double(2)).toBe(4);
    await client.close();
    await server.close();
  };
}

// ---- the table ----

type Row = (fail: Fail) => Promise<void>;

const ROWS: Readonly<Record<string, Row>> = {
  'EventListener.onOpen': (fail) => listening({ listener: { onOpen: once(fail) } }),
  'EventListener.onMessage': (fail) =>
    listening({
      listener: {
        onMessage: once(fail, ((s: Session<string>, line: string) => s.write(line)) as never),
      },
    }),
  'EventListener.onError': (fail) =>
    listening({
      listener: {
        onMessage: (s, line) => (line === 'a' ? s.destroy(new Error('mine')) : s.write(line)),
        onError: once(fail),
      },
    }),
  'EventListener.onClose': (fail) =>
    listening({
      listener: {
        onMessage: (s, line) => (line === 'a' ? s.destroy() : s.write(line)),
        onClose: once(fail),
      },
    }),
  'EventListener.onEnd': (fail) =>
    listening(
      {
        listener: {
          onMessage: (s, line) =>
            line === 'a' ? s.writeBytes(Buffer.from('partly\n')) : s.write(line),
          onEnd: once(fail),
        },
      },
      'a',
      true,
    ),
  'ServerOptions.onRefused': async (fail) => {
    const setup = (): never => {
      throw new RefusedError('not now');
    };
    const server = await serve(freeAddress(), setup, { onRefused: once(fail) });
    await connect(
      server.address,
      { codec: lines(), listener: { onMessage() {} } },
      { reconnect: false },
    ).catch(() => {});
    await until(() => told.what.length > 0, 'the failure was told');
    expect(server.refusals.setup).toBe(1);
    await server.close();
  },
  'WebSocketOptions.allowOrigin': async (fail) => {
    const setup: SessionSetup<string> = { codec: lines(), listener: { onMessage() {} } };
    const server = await serve('ws://127.0.0.1:0', setup, {
      websocket: { allowOrigin: once(fail, () => true) },
    });
    const asPage = () =>
      connect(server.address, setup, {
        reconnect: false,
        websocket: { headers: { Origin: 'https://example.org' } },
      });
    await expect(asPage()).rejects.toMatchObject({ code: 'CONNECT_FAILED' });
    await until(() => told.what.length > 0, 'the failure was told');
    await (await asPage()).close();
    await server.close();
  },
  'WebSocketOptions.headers': async (fail) => {
    const setup: SessionSetup<string> = { codec: lines(), listener: { onMessage() {} } };
    const server = await serve('ws://127.0.0.1:0', setup);
    const headers = once(fail, () => ({ 'X-Attempt': 'second' }));
    const dial = () => connect(server.address, setup, { reconnect: false, websocket: { headers } });
    await told.rejection(dial);
    await (await dial()).close();
    await server.close();
  },
  'EventListener.onCron': (fail) => listening({ cronPeriod: 20, listener: { onCron: once(fail) } }),
  'Codec.read': (fail) => {
    const codec = lines();
    return listening({ codec: { ...codec, read: once(fail, codec.read as never) } });
  },
  'Codec.write': (fail) => {
    const codec = lines();
    return listening({ codec: { ...codec, write: once(fail, codec.write as never) } });
  },
  'mapCodec(decode)': (fail) =>
    listening({
      codec: mapCodec(
        lines(),
        once(fail, ((line: string) => line) as never),
        (line: string) => line,
      ),
    }),
  'mapCodec(encode)': (fail) =>
    listening({
      codec: mapCodec(lines(), (line) => line, once(fail, ((line: string) => line) as never)),
    }),
  async Setup(fail) {
    const server = await serve<string>(freeAddress(), {
      codec: lines(),
      listener: { onMessage() {} },
    });
    await told.rejection(() => connect(server.address, fail));
    await (
      await connect<string>(server.address, { codec: lines(), listener: { onMessage() {} } })
    ).close();
    await server.close();
  },
  async 'ClientOptions.onState'(fail) {
    const server = await serve<string>(freeAddress(), {
      codec: lines(),
      listener: { onMessage() {} },
    });
    const client = await connect<string>(
      server.address,
      { codec: lines(), listener: { onMessage() {} } },
      { onState: once(fail) },
    );
    expect(client.current?.closed).toBe(false);
    await client.close();
    await server.close();
  },
  'TaskPool.run': (fail) =>
    listening({
      taskPool: {
        full: false,
        room: async () => {},
        run: once(fail, ((task: () => unknown) => task()) as never),
      } as TaskPool,
    }),
  'TaskPool.room': (fail) => {
    let full = true;
    const room = once(() => {
      full = false;
      return fail();
    });
    const run = async <T>(task: () => T | Promise<T>): Promise<T> => task();
    return listening({
      taskPool: {
        get full() {
          return full;
        },
        room,
        run,
      },
    });
  },
  'Logger.warn': (fail) =>
    calling({
      server: { logger: { info() {}, warn: once(fail) } },
      handlers: { log: unavailable() },
      call: (stub) => stub.log(1),
    }),
  'Logger.info': (fail) =>
    calling({ client: { interceptors: [logging({ logger: { info: once(fail), warn() {} } })] } }),
  'Handlers (unary)': (fail) =>
    calling({ handlers: { double: once(fail, ((n: number) => 2 * n) as never) } }),
  'Handlers (serverStream)': (fail) =>
    calling({ handlers: { count: once(fail) }, call: (stub) => readAll(stub.count(1)) }),
  'Handlers (duplex)': (fail) =>
    calling({ handlers: { echo: once(fail) }, call: (stub) => readAll(stub.echo([1])) }),
  'Handlers (oneway)': (fail) =>
    calling({
      server: { logger: told.logger },
      handlers: { log: once(fail) },
      call: (stub) => stub.log(1),
    }),
  'Handlers (items)': (fail) =>
    calling({
      handlers: { count: () => ({ [Symbol.asyncIterator]: () => ({ next: once(fail) }) }) },
      call: (stub) => readAll(stub.count(1)),
    }),
  'Messages (items)': (fail) =>
    calling({
      call: (stub) => readAll(stub.echo({ [Symbol.asyncIterator]: () => ({ next: once(fail) }) })),
    }),
  async 'RpcOptions.interceptors'(fail) {
    await told.rejection(() => connectRpc(freeAddress(), { interceptors: [fail] }));
  },
  Interceptor: (fail) => (ROWS['RpcOptions.interceptors'] as Row)(fail),
  'compose(interceptors)': (fail) => (ROWS['RpcOptions.interceptors'] as Row)(fail),
  'Invoke (client)': (fail) =>
    calling({ client: { interceptors: [((next) => once(fail, next as never)) as Interceptor] } }),
  'Invoke (server)': (fail) =>
    calling({ server: { interceptors: [((next) => once(fail, next as never)) as Interceptor] } }),
  'CallOptions.onMetadata': (fail) =>
    calling({
      handlers: {
        double(n: number, context: CallContext) {
          context.replyMetadata.a = 'b';
          return 2 * n;
        },
      },
      options: { onMetadata: once(fail) },
    }),
  Callback: (fail) => calling({ call: (stub) => stub.double(1, once(fail)) }),
  'RpcClientOptions.onReady': (fail) => calling({ client: { onReady: once(fail) } }),
  'RpcClientOptions.onResponsive': (fail) => calling({ client: { onResponsive: once(fail) } }),
  'AuthOptions.authenticate': (fail) =>
    calling({
      server: { interceptors: [auth({ authenticate: once(fail, () => ({ subject: 'a' })) })] },
    }),
  'AuthOptions.authorize': (fail) =>
    calling({
      server: {
        interceptors: [
          auth({ authenticate: () => ({ subject: 'a' }), authorize: once(fail, () => true) }),
        ],
      },
    }),
  'bearer(token)': (fail) =>
    calling({ client: { interceptors: [bearer(once(fail, () => 'token'))] } }),
  async 'JwtOptions.keys'(fail) {
    const authenticate = jwt({
      keys: once(fail, () => ({ keys: [] })),
      issuer: 'i',
      audience: 'b',
    });
    await told.rejection(() =>
      authenticate({
        token: TOKEN,
        metadata: {},
        certificate: undefined,
        request: undefined,
        peer: 'p',
      }),
    );
  },
  JwtKeys: (fail) => (ROWS['JwtOptions.keys'] as Row)(fail),
  Authenticate: (fail) => (ROWS['AuthOptions.authenticate'] as Row)(fail),
  'CircuitBreakerOptions.key': (fail) =>
    calling({ client: { interceptors: [circuitBreaker({ key: once(fail, () => 'k') })] } }),
  'CircuitBreakerOptions.isFailure': (fail) =>
    calling({
      client: { interceptors: [circuitBreaker({ isFailure: once(fail, () => false) })] },
      handlers: { double: unavailable() },
      call: (stub) => stub.double(1).catch(() => {}),
    }),
  'CircuitBreakerOptions.onState': (fail) =>
    calling({
      client: {
        interceptors: [
          circuitBreaker({ failures: 1, ratio: 0.1, now: leaping(), onState: once(fail) }),
        ],
      },
      handlers: { double: unavailable() },
      call: (stub) => stub.double(1).catch(() => {}),
    }),
  'CircuitBreakerOptions.now': (fail) =>
    calling({
      client: { interceptors: [circuitBreaker({ now: once(fail, () => performance.now()) })] },
    }),
  'RateLimitOptions.key': (fail) =>
    calling({ client: { interceptors: [rateLimit({ key: once(fail, () => 'k') })] } }),
  'RateLimitOptions.now': (fail) =>
    calling({
      client: { interceptors: [rateLimit({ now: once(fail, () => performance.now()) })] },
    }),
  'LoggingOptions.details': (fail) =>
    calling({
      client: {
        interceptors: [
          logging({ logger: { info() {}, warn() {} }, details: once(fail, () => ({})) }),
        ],
      },
    }),
  'LoggingOptions.now': (fail) =>
    calling({
      client: {
        interceptors: [
          logging({ logger: { info() {}, warn() {} }, now: once(fail, () => performance.now()) }),
        ],
      },
    }),
  'RetryOptions.onRetry': (fail) =>
    calling({
      client: { interceptors: [retry({ initialDelay: 1, onRetry: once(fail) })] },
      handlers: { double: unavailable() },
    }),
  async 'FailoverOptions.onRetry'(fail) {
    let attempts = 0;
    const invoke = failover({ onRetry: once(fail) })(async (_, tried) => {
      tried.add(node(`memory://${++attempts}`));
      if (attempts === 1) throw new RpcError('UNAVAILABLE', 'no', { unsent: true });
      return 'done';
    });
    expect(await invoke({ method: { idempotent: true } } as Call)).toBe('done');
    await until(() => told.what.length > 0, 'the failure was told');
  },
  async 'ConsumeOptions.balancer'(fail) {
    const consumer = consume({ registry: memory(), balancer: fail });
    await told.rejection(async () => consumer.stub(Numbers).double(1));
    await consumer.close();
  },
  Balancer: (fail) => (ROWS['ConsumeOptions.balancer'] as Row)(fail),
  Picker: (fail) => consuming({ balancer: () => once(fail, roundRobin()() as never) }),
  async 'ConsumeOptions.strategy'(fail) {
    await told.rejection(async () => consume({ registry: memory(), strategy: fail }));
  },
  Strategy: (fail) =>
    consuming({
      strategy: (attempt: (call: Call, tried: Set<ServiceNode>) => unknown) =>
        once(fail, ((call: Call) => attempt(call, new Set())) as never),
    }),
  'consistentHash(key)': (fail) => consuming({ balancer: consistentHash(once(fail, () => 'k')) }),
  'RandomOptions.random': (fail) =>
    consuming({ balancer: random({ random: once(fail, () => 0.5) }) }),
  'RandomOptions.random (p2cEwma)': (fail) =>
    consuming({ balancer: p2cEwma({ random: once(fail, () => 0.5) }) }),
  'RandomOptions.random (leastActive)': (fail) =>
    consuming({ balancer: leastActive({ random: once(fail, () => 0.5) }) }),
  ChangeListener: (fail) =>
    consuming({ logger: told.logger }, (consumer) => consumer.notify(Numbers, once(fail))),
  async 'Registry.watch'(fail) {
    const inner = memory();
    const server = await serveRpc(freeAddress(), [implement(Numbers, numbers())]);
    await inner.register(node(server.address));
    const registry = {
      watch: once(fail, ((...args: Parameters<Registry['watch']>) =>
        inner.watch(...args)) as never),
    } as unknown as Registry;
    const consumer = consume({ registry, logger: told.logger });
    expect(await consumer.stub(Numbers).double(2)).toBe(4);
    await consumer.close();
    await server.close();
    await inner[Symbol.asyncDispose]();
  },
  async 'Registry.register'(fail) {
    const registry = { register: fail } as unknown as Registry;
    await told.rejection(() =>
      provide({ registry, address: freeAddress(), services: [implement(Numbers, numbers())] }),
    );
  },
  async 'ProvideOptions.onPublish'(fail) {
    await using registry = memory();
    const options = { registry, address: freeAddress(), services: [implement(Numbers, numbers())] };
    await using provider = await provide({ ...options, onPublish: once(fail) });
    expect(provider.published).toEqual(provider.nodes);
  },
  async PublicationListener(fail) {
    await using registry = etcd('http://127.0.0.1:1', { logger: { info() {}, warn() {} } });
    await registry.register(node('tcp://127.0.0.1:1'), once(fail));
  },
  'MessageClass.encode': messageClassRow('encode'),
  'MessageClass.decode': messageClassRow('decode'),
  async 'StandardProps.validate'(fail) {
    const pass = ((value: unknown) => ({ value })) as never;
    const C = contract('C', {
      double: unary({ input: schemaOf(once(fail, pass)), output: schemaOf(pass) }),
    });
    const server = await serveRpc(freeAddress(), [
      implement(C, { double: (n: number) => 2 * n } as never),
    ]);
    const client = await connectRpc(server.address);
    const stub = client.stub(C) as unknown as { double(n: number): Promise<number> };
    await told.rejection(() => stub.double(1));
    expect(await stub.double(2)).toBe(4);
    await client.close();
    await server.close();
  },
  async 'StatisticsSource.statistics'(fail) {
    const register = new MetricsRegistry();
    using metrics = rpcMetrics({ register });
    metrics.add('a', {
      statistics: once(fail, () => ({ since: 0, calls: [], served: [], peers: [] })),
    });
    expect(await register.metrics()).toContain('getty_rpc_sessions');
  },
  async 'ZooKeeperClientOptions.onState'(fail) {
    const client = new ZooKeeperClient('127.0.0.1:1', { onState: once(fail) });
    // The state becomes `closed`.
    await client.close();
  },
  'a span of TracingOptions.tracer': (fail) => {
    const span = {
      isRecording: () => true,
      spanContext: () => ({}),
      setAttribute() {},
      setStatus() {},
      end: once(fail),
    };
    return calling({
      client: {
        interceptors: [tracing({ tracer: { startSpan: () => span } as unknown as Tracer })],
      },
    });
  },
};

/** Callbacks that are told of in other tests. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  'WatchOptions.watch': 'a ZooKeeper server is needed: test/registries/zookeeper/client.test.ts',
  Watcher: 'as WatchOptions.watch',
  'Registry.list': 'no part of the package calls it; the program that calls it gets its rejection',
};

/** Objects that the package makes and the user holds: their functions are no callbacks. */
const MADE_BY_US = [
  'AttributeMap',
  'Attempt',
  'Call',
  'Channel',
  'Client',
  'Consumer',
  'Endpoint',
  'LatencyStatistics',
  'MessageCodec',
  'Provider',
  'RpcClient',
  'RpcMetrics',
  'RpcServer',
  'Server',
  'Session',
  'compose(invoke)',
  'makeStub(contract)',
  'makeStub(invoke)',
  'mapCodec(codec)',
];

const base = (name: string): string => name.replace(/ \(.*\)$/, '');

test('every callback of the public types has its row', () => {
  const { members, functions, parameters } = publicTypes();
  const needed = [...members, ...functions, ...parameters].filter(
    (name) => !MADE_BY_US.includes(name) && !MADE_BY_US.includes(name.split('.')[0] as string),
  );
  const rows = new Set([...Object.keys(ROWS).map(base), ...Object.keys(ELSEWHERE)]);
  expect(needed.length).toBeGreaterThan(50);
  expect(needed.filter((name) => !rows.has(name))).toEqual([]);
});

describe.each(Object.keys(ROWS))('%s', (name) => {
  test.each(Object.keys(FAILURES))('%s', async (way) => {
    told = new Told();
    uncaught.length = 0;
    await (ROWS[name] as Row)(FAILURES[way] as Fail);
    // A rejection that nothing handles is known a turn later.
    await turns(5);
    expect(uncaught.map(messageOf)).toEqual([]);
    expect(told.what).toHaveLength(1);
  });
});
