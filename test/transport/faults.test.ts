/**
 * Exceptions in the code that handles the bytes of a peer, on every transport. An exception ends
 * that connection with one error; the process and the listener continue.
 */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { ALL_SCHEMES, parseAddress } from '../../src/transport/address.js';
import { AdmissionControl } from '../../src/transport/admission.js';
import { CLIENT_DEFAULTS } from '../../src/transport/client/client.js';
import { SERVER_DEFAULTS } from '../../src/transport/server.js';
import { SERVER_SOCKET_DEFAULTS } from '../../src/transport/socket-options.js';
import { memory } from '../../src/transport/stream/memory.js';
import { tcp } from '../../src/transport/stream/tcp.js';
import { tls } from '../../src/transport/stream/tls.js';
import { unix } from '../../src/transport/stream/unix.js';
import type { Connection, ConnectionEvents, Transport } from '../../src/transport/types.js';
import { udp } from '../../src/transport/udp/udp.js';
import { ws, wss } from '../../src/transport/websocket/websocket.js';
import { CLIENT_TLS, SERVER_TLS } from '../fixtures/certificates.js';
import { noLeaks } from '../fixtures/leaks.js';
import { Inbox, until } from '../fixtures/waiting.js';

const TRANSPORTS: Readonly<Record<string, Transport>> = { tcp, tls, unix, udp, ws, wss, memory };
const ADDRESSES: Readonly<Record<string, string>> = {
  unix: `unix:///tmp/getty-faults-${process.pid}.sock`,
  memory: 'memory://faults',
};
const LIMITS = { maxMessageBytes: 1_000, maxInflatedBytes: 1_000, maxQueuedBytes: 1_000 };
const NO_EVENTS: ConnectionEvents = {
  onData() {},
  onMessage() {},
  onAlive() {},
  onTaken() {},
  onEnd() {},
  onClose() {},
};

noLeaks();
afterEach(() => vi.restoreAllMocks());

/** Listens without a server, so that a test can attach events that throw. */
async function listenOn(scheme: string, accept: (connection: Connection) => void) {
  const transport = TRANSPORTS[scheme] as Transport;
  const options = {
    ...SERVER_DEFAULTS,
    socket: SERVER_SOCKET_DEFAULTS,
    tls: SERVER_TLS,
    behindProxy: undefined,
  };
  const refusals = new Inbox<string>('a refusal');
  const admission = new AdmissionControl(
    { onRefused: (_, { message }) => refusals.push(message) },
    () => 'here',
  );
  const address = parseAddress(ADDRESSES[scheme] ?? `${scheme}://127.0.0.1:0`, [scheme]);
  const listener = await transport.listen(address, { ...options, admission }, accept);
  const dialed: Connection[] = [];
  return {
    admission,
    refusals,
    async dial(events: Partial<ConnectionEvents> = {}): Promise<Connection> {
      const options = { ...CLIENT_DEFAULTS, tls: CLIENT_TLS };
      const connection = await transport.dial(
        parseAddress(listener.address, [scheme]),
        options,
        new AbortController().signal,
      );
      connection.attach({ ...NO_EVENTS, ...events }, LIMITS);
      connection.resume();
      dialed.push(connection);
      return connection;
    },
    async [Symbol.asyncDispose]() {
      for (const connection of dialed) connection.destroy();
      await listener.close();
    },
  };
}

/** One small message; in a masked frame on a WebSocket. */
function encodedMessage(scheme: string): Buffer {
  return scheme.startsWith('w') ? Buffer.from('828100000000aa', 'hex') : Buffer.from('x');
}

it('is tested for every scheme', () => {
  // Only a simulation can use these two, and it has no bytes of a real peer.
  const real = ALL_SCHEMES.filter((scheme) => !['sim', 'simudp'].includes(scheme));
  expect(Object.keys(TRANSPORTS).sort()).toEqual([...real].sort());
});

describe.each(Object.keys(TRANSPORTS))('%s', (scheme) => {
  it.each<(keyof ConnectionEvents)[]>([['onData', 'onMessage'], ['onEnd']])(
    'an exception in %s ends the connection with one error',
    async (...names) => {
      if (scheme === 'udp' && names.includes('onEnd')) return;
      const fail = (): void => {
        throw new Error('an internal error');
      };
      const ends = new Inbox<Error | undefined>('the end of a connection');
      const accepted: Connection[] = [];
      await using server = await listenOn(scheme, (connection) => {
        const isFirst = accepted.push(connection) === 1;
        const faults = isFirst ? Object.fromEntries(names.map((name) => [name, fail])) : {};
        connection.attach(
          { ...NO_EVENTS, ...faults, onClose: (error) => ends.push(error) },
          LIMITS,
        );
        connection.resume();
      });
      const first = await server.dial();
      first.write(encodedMessage(scheme));
      if (names.includes('onEnd')) {
        await until(() => accepted.length === 1, 'the connection is accepted');
        first.end();
      }
      expect(await ends.next()).toMatchObject({
        code: 'CONNECTION_LOST',
        message: expect.stringContaining('an internal error'),
      });
      const second = await server.dial();
      second.write(encodedMessage(scheme));
      await until(() => accepted.length === 2, 'the listener accepts the next connection');
      for (const connection of accepted) connection.destroy();
      await until(() => ends.all.length === 2, 'both connections have ended');
      expect(server.admission.refusals.fault).toBe(0);
    },
  );

  it.runIf(scheme !== 'memory')(
    'an exception while a session is created is a refusal',
    async () => {
      let count = 0;
      await using server = await listenOn(scheme, (connection) => {
        if (++count === 1) throw new Error('an internal error');
        connection.destroy();
      });
      // The dial of a WebSocket fails, because its request is not answered.
      const dial = async (): Promise<void> => (await server.dial()).write(encodedMessage(scheme));
      await dial().catch(() => {});
      expect(await server.refusals.next()).toContain('an internal error');
      await dial().catch(() => {});
      await until(() => count >= 2, 'the listener accepts the next connection');
      expect(server.admission.refusals.fault).toBe(1);
    },
  );
});

it('an exception in onClose is a process warning', async () => {
  const warning = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
  await using server = await listenOn('tcp', (connection) => {
    const onClose = (): void => {
      throw new Error('an internal error');
    };
    connection.attach({ ...NO_EVENTS, onClose }, LIMITS);
    connection.destroy();
  });
  await server.dial();
  await until(() => warning.mock.calls.length === 1, 'a warning is emitted');
  expect(warning.mock.calls[0]?.[0]).toMatchObject({ code: 'CONNECTION_LOST' });
});
