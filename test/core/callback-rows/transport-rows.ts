/** The callbacks of the transport layer. */
import { expect } from 'vitest';
import {
  type ClientOptions,
  connect,
  type EventListener,
  lines,
  mapCodec,
  RefusedError,
  type Session,
  type SessionSetup,
  serve,
  type TaskPool,
} from '../../../src/transport/index.js';
import { until } from '../../fixtures/waiting.js';
import { once } from './failures.js';
import type { Reports } from './reports.js';
import { freeAddress, type Rows } from './row.js';

type PartialSetup = Partial<Omit<SessionSetup<string>, 'listener'>> & {
  listener?: Partial<EventListener<string>>;
};

const SILENT_SETUP: SessionSetup<string> = { codec: lines(), listener: { onMessage() {} } };
const NO_RECONNECT: ClientOptions = { reconnect: false };
const echo = (session: Session<string>, line: string): unknown => session.write(line);
const same = (line: string): string => line;

/**
 * Serves `setup`. A first client sends `a`, which must cause a report. A second client must get an
 * answer to `b`.
 */
async function testSession(
  reports: Reports,
  setup: PartialSetup,
  { closesFirst = false } = {},
): Promise<void> {
  const listener: EventListener<string> = {
    onMessage: echo,
    onError: (_, error) => reports.add('onError', error),
    ...setup.listener,
  };
  const server = await serve<string>(freeAddress(), { codec: lines(), ...setup, listener });
  const first = await connect<string>(server.address, SILENT_SETUP, NO_RECONNECT);
  first.current?.write('a');
  if (closesFirst) await first.close();
  await reports.first();
  let answer = '';
  const onMessage = (_: Session<string>, line: string): void => {
    answer = line;
  };
  const second = await connect<string>(server.address, { codec: lines(), listener: { onMessage } });
  second.current?.write('b');
  await until(() => answer === 'b', 'the second client got an answer');
  await Promise.all([first.close(), second.close(), server.close()]);
}

export const TRANSPORT_ROWS: Rows = {
  'EventListener.onOpen': (fail, reports) =>
    testSession(reports, { listener: { onOpen: once(fail) } }),
  'EventListener.onMessage': (fail, reports) =>
    testSession(reports, { listener: { onMessage: once(fail, echo as never) } }),
  'EventListener.onError': (fail, reports) =>
    testSession(reports, {
      listener: {
        onMessage: (session, line) =>
          line === 'a' ? session.destroy(new Error('mine')) : session.write(line),
        onError: once(fail),
      },
    }),
  'EventListener.onClose': (fail, reports) =>
    testSession(reports, {
      listener: {
        onMessage: (session, line) => (line === 'a' ? session.destroy() : session.write(line)),
        onClose: once(fail),
      },
    }),
  CloseCallback: (fail, reports) => {
    const callback = once(fail);
    return testSession(reports, {
      listener: {
        onOpen: (session) => session.addCloseCallback(callback),
        onMessage: (session, line) => (line === 'a' ? session.destroy() : session.write(line)),
      },
    });
  },
  'EventListener.onEnd': (fail, reports) =>
    testSession(
      reports,
      {
        listener: {
          onMessage: (session, line) =>
            line === 'a' ? session.writeBytes(Buffer.from('partly\n')) : session.write(line),
          onEnd: once(fail),
        },
      },
      { closesFirst: true },
    ),
  'EventListener.onCron': (fail, reports) =>
    testSession(reports, { cronPeriod: 20, listener: { onCron: once(fail) } }),
  'Codec.read': (fail, reports) => {
    const codec = lines();
    return testSession(reports, { codec: { ...codec, read: once(fail, codec.read as never) } });
  },
  'Codec.write': (fail, reports) => {
    const codec = lines();
    return testSession(reports, { codec: { ...codec, write: once(fail, codec.write as never) } });
  },
  'mapCodec(decode)': (fail, reports) =>
    testSession(reports, { codec: mapCodec(lines(), once(fail, same as never), same) }),
  'mapCodec(encode)': (fail, reports) =>
    testSession(reports, { codec: mapCodec(lines(), same, once(fail, same as never)) }),
  'TaskPool.run': (fail, reports) =>
    testSession(reports, {
      taskPool: {
        full: false,
        room: async () => {},
        run: once(fail, ((task: () => unknown) => task()) as never),
      } as TaskPool,
    }),
  'TaskPool.full': (fail, reports) => {
    const read = once(fail, () => false);
    return testSession(reports, {
      taskPool: {
        get full() {
          return read() as boolean;
        },
        room: async () => {},
        run: async <T>(task: () => T | Promise<T>): Promise<T> => task(),
      },
    });
  },
  'TaskPool.room': (fail, reports) => {
    let isFull = true;
    const room = once(() => {
      isFull = false;
      return fail();
    });
    return testSession(reports, {
      taskPool: {
        get full() {
          return isFull;
        },
        room,
        run: async <T>(task: () => T | Promise<T>): Promise<T> => task(),
      },
    });
  },

  async Setup(fail, reports) {
    const server = await serve<string>(freeAddress(), SILENT_SETUP);
    await reports.rejection(() => connect(server.address, fail));
    await (await connect<string>(server.address, SILENT_SETUP)).close();
    await server.close();
  },
  async 'ClientOptions.onState'(fail) {
    const server = await serve<string>(freeAddress(), SILENT_SETUP);
    const client = await connect<string>(server.address, SILENT_SETUP, { onState: once(fail) });
    expect(client.current?.closed).toBe(false);
    await client.close();
    await server.close();
  },
  async 'ServerOptions.onRefused'(fail, reports) {
    const setup = (): never => {
      throw new RefusedError('not now');
    };
    const server = await serve(freeAddress(), setup, { onRefused: once(fail) });
    await connect(server.address, SILENT_SETUP, NO_RECONNECT).catch(() => {});
    await reports.first();
    expect(server.refusals.setup).toBe(1);
    await server.close();
  },
  async 'WebSocketOptions.allowOrigin'(fail, reports) {
    const server = await serve('ws://127.0.0.1:0', SILENT_SETUP, {
      websocket: { allowOrigin: once(fail, () => true) },
    });
    const headers = { Origin: 'https://example.org' };
    const connectAsPage = () =>
      connect(server.address, SILENT_SETUP, { reconnect: false, websocket: { headers } });
    await expect(connectAsPage()).rejects.toMatchObject({ code: 'CONNECT_FAILED' });
    await reports.first();
    await (await connectAsPage()).close();
    await server.close();
  },
  async 'HealthCheck.isHealthy'(fail, reports) {
    const server = await serve('ws://127.0.0.1:0', SILENT_SETUP, {
      websocket: { health: { path: '/healthz', isHealthy: once(fail, () => true) } },
    });
    const check = async () => {
      const response = await fetch(`${server.address.replace('ws:', 'http:')}/healthz`);
      await response.text();
      return response.status;
    };
    expect(await check()).toBe(503);
    await reports.first();
    expect(await check()).toBe(200);
    await server.close();
  },
  async 'WebSocketOptions.headers'(fail, reports) {
    const server = await serve('ws://127.0.0.1:0', SILENT_SETUP);
    const headers = once(fail, () => ({ 'X-Attempt': 'second' }));
    const dial = () =>
      connect(server.address, SILENT_SETUP, { reconnect: false, websocket: { headers } });
    await reports.rejection(dial);
    await (await dial()).close();
    await server.close();
  },
};
