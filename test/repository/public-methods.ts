/** The methods of objects that the package makes, with arguments that they accept. */
import { rpcMetrics } from '../../src/adapters/prometheus/index.js';
import { consume, provide } from '../../src/micro/index.js';
import { memory } from '../../src/registries/memory.js';
import { staticRegistry } from '../../src/registries/static/index.js';
import * as rpc from '../../src/rpc/index.js';
import { mockStub, proxy, testRegistry } from '../../src/testing/index.js';
import * as transport from '../../src/transport/index.js';
import { node } from '../fixtures/registries.js';
import { FREE, Greeter, greeter, setup } from './option-functions.js';
import { ANY, type Kind, OPTIONS, type Row } from './public-functions.js';

const method = (call: unknown, valid: readonly unknown[], ...accepted: readonly Kind[][]): Row => ({
  call: call as Row['call'],
  valid,
  accepted,
});

/** A filter of nodes: the properties that they must have, or a function. */
const FILTER: Kind[] = ['undefined', 'object', 'function'];
type Arguments = readonly unknown[];
/** A function of an object, called with arguments that the compiler refuses. */
const callOf = (owner: unknown, name: string, args: Arguments): unknown =>
  (owner as Record<string, (...all: Arguments) => unknown>)[name]?.(...args);

const ofMemory =
  (name: string) =>
  async (...args: Arguments): Promise<unknown> => {
    await using registry = memory();
    return await callOf(registry, name, args);
  };
const ofTestRegistry =
  (name: string) =>
  (...args: Arguments): unknown =>
    callOf(testRegistry(), name, args);

const ofSession =
  (name: string) =>
  async (...args: Arguments): Promise<unknown> => {
    await using server = await transport.serve('memory://', setup);
    await using client = await transport.connect(server.address, setup);
    return await callOf(await client.session(), name, args);
  };
const ofClient =
  (name: string) =>
  async (...args: Arguments): Promise<unknown> => {
    await using server = await rpc.serve('memory://', [greeter]);
    await using client = await rpc.connect(server.address, {
      interceptors: [(next) => (call) => next(call)],
    });
    return await callOf(client, name, args);
  };
const ofProvider =
  (name: string) =>
  async (...args: Arguments): Promise<unknown> => {
    await using registry = memory();
    await using provider = await provide({ registry, services: [greeter], address: 'memory://' });
    return await callOf(provider, name, args);
  };
const ofConsumer =
  (name: string) =>
  async (...args: Arguments): Promise<unknown> => {
    await using registry = memory();
    await using consumer = consume({ registry });
    return await callOf(consumer, name, args);
  };
/** `of`: whether the call is one that a client makes or one that a server has received. */
async function withCall(
  of: 'client' | 'server',
  use: (call: rpc.Call) => unknown,
): Promise<unknown> {
  let result: unknown;
  const interceptors: rpc.Interceptor[] = [
    (next) => async (call) => {
      result = await Promise.resolve(call)
        .then(use)
        .catch((error) => error);
      return next(call);
    },
  ];
  const ofClient = of === 'client' ? { interceptors } : {};
  const ofServer = of === 'server' ? { interceptors } : {};
  await using server = await rpc.serve('memory://', [greeter], ofServer);
  await using client = await rpc.connect(server.address, ofClient);
  await client.stub(Greeter).hello('Ann');
  if (result instanceof Error) throw result;
  return undefined;
}
const changing = (of: 'client' | 'server', name?: string) => (given: unknown) =>
  withCall(of, (call) => callOf(call, 'with', [name === undefined ? given : { [name]: given }]));

export const METHODS: Readonly<Record<string, Row>> = {
  // transport
  'Session.send': method(ofSession('send'), ['text', {}], ANY, OPTIONS),
  'Session.close': method(ofSession('close'), [{}], OPTIONS),
  'Session.use': method(ofSession('use'), [{ codec: transport.lines() }], OPTIONS),
  'Session.startTls': method(ofSession('startTls'), [{}], OPTIONS),
  'Session.writeBytes': method(ofSession('writeBytes'), [new Uint8Array(1)], []),
  'Session.writeBytesArray': method(ofSession('writeBytesArray'), [[]], ['array']),
  'Session.addCloseCallback': method(ofSession('addCloseCallback'), [() => {}], ['function']),
  'Client.session': method(async (...args: Arguments) => {
    await using server = await transport.serve('memory://', setup);
    await using client = await transport.connect(server.address, setup);
    await callOf(client, 'session', args);
  }, []),
  'Server.reloadTls': method(
    async (...args: Arguments) => {
      await using server = await transport.serve(FREE, setup);
      await callOf(server, 'reloadTls', args);
    },
    [{}],
    [],
  ),
  'Server.writeTo': method(
    async (...args: Arguments) => {
      await using server = await transport.serve('udp://127.0.0.1:0', setup);
      callOf(server, 'writeTo', args);
    },
    ['text', 'udp://127.0.0.1:1'],
    ANY,
    [],
  ),
  'TaskPool.run': method(
    (...args: Arguments) => callOf(transport.taskPool(), 'run', args),
    [() => {}],
    ['function'],
  ),
  // rpc
  'Call.with': method(changing('client'), [{}], ['object', 'array']),
  'Call.with of a received call': method(changing('server'), [{}], ['object', 'array']),
  'Call.with signal': method(changing('client', 'signal'), [], ['undefined']),
  'Call.with signal of a received call': method(changing('server', 'signal'), [], ['undefined']),
  'Call.with timeout': method(changing('client', 'timeout'), [], ['undefined', 'number']),
  'Call.with timeout of a received call': method(
    changing('server', 'timeout'),
    [],
    ['undefined', 'number'],
  ),
  'Call.with metadata': method(
    changing('client', 'metadata'),
    [],
    ['undefined', 'object', 'array'],
  ),
  'Call.with metadata of a received call': method(
    changing('server', 'metadata'),
    [],
    ['undefined', 'object', 'array'],
  ),
  'RpcClient.invoke': method(ofClient('invoke'), [], []),
  'RpcClient.stub': method(ofClient('stub'), [Greeter, {}], [], OPTIONS),
  'Channel.stub': method(
    async (...args: Arguments) => {
      await using server = await rpc.serve('memory://', [greeter]);
      await using client = await rpc.connect(server.address);
      return callOf([...client.channels][0], 'stub', args);
    },
    [Greeter, {}],
    [],
    OPTIONS,
  ),
  'RpcServer.reloadTls': method(
    async (...args: Arguments) => {
      await using server = await rpc.serve(FREE, [greeter]);
      await callOf(server, 'reloadTls', args);
    },
    [{}],
    [],
  ),
  'LatencyStatistics.cumulative': method(
    (...args: Arguments) => callOf(new rpc.Histogram(), 'cumulative', args),
    [[]],
    ['array'],
  ),
  'Histogram.percentile': method(
    (...args: Arguments) => callOf(new rpc.Histogram(), 'percentile', args),
    [0.5],
    [],
  ),
  // micro
  'Consumer.invoke': method(ofConsumer('invoke'), [], []),
  'Consumer.stub': method(ofConsumer('stub'), [Greeter, {}], [], OPTIONS),
  'Consumer.resolver': method(ofConsumer('resolver'), [Greeter, {}], [], OPTIONS),
  'Consumer.explain': method(ofConsumer('explain'), [Greeter, {}], [], OPTIONS),
  'Consumer.notify': method(
    ofConsumer('notify'),
    [Greeter, () => {}, {}],
    [],
    ['function'],
    OPTIONS,
  ),
  'Provider.setWeight': method(ofProvider('setWeight'), [5, undefined], ['number'], OPTIONS),
  'Provider.update': method(ofProvider('update'), [{}], ['object']),
  'Provider.reloadTls': method(ofProvider('reloadTls'), [{}], []),
  // registries
  'Registry.register': method(
    ofMemory('register'),
    [node('a'), () => {}],
    [],
    ['undefined', 'function'],
  ),
  'Registry.watch': method(ofMemory('watch'), [{ service: 'A' }, {}], [], OPTIONS),
  'StaticRegistry.update': method(
    (...args: Arguments) => callOf(staticRegistry([]), 'update', args),
    [[]],
    ['array'],
  ),
  // testing and adapters
  'TestRegistry.add': method(ofTestRegistry('add'), [{ service: 'A', address: FREE }], []),
  'TestRegistry.remove': method(ofTestRegistry('remove'), [{}], FILTER),
  'TestRegistry.restore': method(ofTestRegistry('restore'), [{}], FILTER),
  'TestRegistry.double': method(ofTestRegistry('double'), [{}], FILTER),
  'TestRegistry.flap': method(ofTestRegistry('flap'), [{}, {}], FILTER, OPTIONS),
  'MockStub.inputsOf': method(
    (...args: Arguments) => callOf(mockStub(Greeter), 'inputsOf', args),
    ['hello'],
    [],
  ),
  'FaultProxy.set': method(
    async (...args: Arguments) => {
      await using running = await proxy('memory://nowhere');
      await callOf(running, 'set', args);
    },
    [{}],
    ['object'],
  ),
  'RpcMetrics.add': method((...args: Arguments) => callOf(rpcMetrics(), 'add', args), [], []),
};

/** Methods without parameters. */
const WITHOUT_PARAMETERS = [
  'Consumer.close',
  'Consumer.resetStatistics',
  'Consumer.statistics',
  'FaultProxy.close',
  'FaultProxy.reset',
  'MockStub.clear',
  'Provider.close',
  'Provider.destroy',
  'Provider.drain',
  'Provider.resetStatistics',
  'Provider.statistics',
  'Provider.undrain',
  'Registry.list',
  'RpcClient.close',
  'RpcClient.destroy',
  'RpcClient.resetStatistics',
  'RpcClient.statistics',
  'RpcMetrics.close',
  'RpcServer.close',
  'RpcServer.destroy',
  'RpcServer.resetStatistics',
  'RpcServer.statistics',
  'Server.stopListening',
  'Session.drained',
  'Session.pause',
  'Session.resume',
  'Session.trust',
  'Session.updateActive',
  'TaskPool.room',
  'TestRegistry.down',
  'TestRegistry.failWatches',
  'TestRegistry.hold',
  'TestRegistry.release',
  'TestRegistry.up',
];
/** Their argument is a message or an error: any value. */
const TAKE_ANY_VALUE = ['Session.destroy', 'Session.removeCloseCallback', 'Session.write'];
export const METHODS_WITHOUT_ROW: readonly string[] = [...WITHOUT_PARAMETERS, ...TAKE_ANY_VALUE];
