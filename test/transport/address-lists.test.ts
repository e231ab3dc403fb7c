/** Servers and clients with several addresses. */
import { afterEach, describe, expect, it } from 'vitest';
import {
  type Client,
  type ClientState,
  connect,
  lines,
  type Server,
  type ServerOptions,
  type SessionSetup,
  serve,
} from '../../src/transport/index.js';
import { CLIENT_TLS, SERVER_TLS } from '../fixtures/certificates.js';
import { noLeaks } from '../fixtures/leaks.js';
import { freePort, portOf } from '../fixtures/ports.js';
import { loseSession, makeSessionsOld, restoreMocks } from '../fixtures/reconnecting-clients.js';
import { Recorder } from '../fixtures/recorder.js';
import { untilQuiet } from '../fixtures/session-probes.js';
import { connectStartTls, serveStartTls } from '../fixtures/start-tls-endpoints.js';
import { rejection, thrown } from '../fixtures/transports.js';
import { bytes, PlainPeer } from '../fixtures/udp-endpoints.js';
import { gate, Inbox, until } from '../fixtures/waiting.js';

noLeaks();
afterEach(restoreMocks);

const SETUP: SessionSetup<string> = { codec: lines(), listener: { onMessage() {} } };
const ECHO: SessionSetup<string> = {
  codec: lines(),
  listener: { onMessage: (session, line) => void session.write(line) },
};
const TCP = 'tcp://127.0.0.1:0';
const SHORT = { initialDelay: 1, maxDelay: 2 };
let lastName = 0;
const memory = (): string => `memory://list-${++lastName}`;

/** The answer of the server at `address` to a line. */
async function echoAt(address: string): Promise<string> {
  const events = new Recorder<string>('the client');
  await using client = await connect(address, { codec: lines(), listener: events });
  (await client.session()).write('hello');
  // Not after the end of the block: at udp:// the client does not wait for the answer.
  return await events.messages.next();
}

describe('a server with several addresses', () => {
  it('has one set of sessions, and the addresses in their order', async () => {
    const given = [TCP, 'ws://127.0.0.1:0/live', 'udp://127.0.0.1:0', memory()];
    const server = await serve(given, ECHO);
    const { addresses } = server;
    expect(addresses.map((address) => address.replace(/:\d+/, ':0'))).toEqual(given);
    expect(server.address).toBe(addresses[0]);
    for (const address of addresses) expect(await echoAt(address)).toBe('hello');
    const clients = await Promise.all(addresses.map((address) => connect(address, SETUP)));
    await until(() => server.sessions.size >= 4, 'the server has a session at each address');
    for (const { endpoint } of server.sessions) expect(endpoint).toBe(server);
    await Promise.all(clients.map((client) => client.close()));
    await server.close();
    // All addresses are free.
    for (const address of addresses) await (await serve(address, SETUP)).close();
  });

  it('counts the sessions of all addresses for its limits', async () => {
    const refused = new Inbox<string>('a refusal');
    const onRefused: ServerOptions['onRefused'] = (_, { reason }) => refused.push(reason);
    const options = { maxSessions: 1, onRefused };
    await using server = await serve([TCP, 'ws://127.0.0.1:0'], SETUP, options);
    const [first = '', second = ''] = server.addresses;
    await using _client = await connect(first, SETUP);
    await until(() => server.sessions.size === 1, 'the server has a session');
    expect(await rejection(connect(second, SETUP))).toMatchObject({ code: 'CONNECT_FAILED' });
    expect(await refused.next()).toBe('limit');
    expect(server.refusals.limit).toBe(1);
  });

  it('stops listening at all addresses, and keeps its sessions', async () => {
    await using server = await serve([TCP, memory()], SETUP);
    const [first = '', second = ''] = server.addresses;
    await using _client = await connect(second, SETUP);
    await until(() => server.sessions.size === 1, 'the server has a session');
    await server.stopListening();
    for (const address of [first, second])
      expect((await rejection(connect(address, SETUP))).code).toBe('CONNECT_FAILED');
    expect(server.sessions.size).toBe(1);
  });

  it('rejects with LISTEN_FAILED if one address is in use, and frees the others', async () => {
    await using other = await serve(TCP, SETUP);
    const port = await freePort();
    const free = `tcp://127.0.0.1:${port}`;
    expect(await rejection(serve([free, memory(), other.address], SETUP))).toMatchObject({
      code: 'LISTEN_FAILED',
      message: expect.stringContaining(other.address),
    });
    await using _again = await serve(free, SETUP);
  });

  it('destroys the sessions that an earlier address has accepted when a later one fails', async () => {
    const closed = gate();
    const address = memory();
    // The first address is open while the system looks up the name of the second one.
    const serving = rejection(
      serve([address, 'udp://name.invalid:1'], {
        codec: lines(),
        listener: { onMessage() {}, onClose: () => closed.open() },
      }),
    );
    await using client = await connect(address, SETUP, { reconnect: false });
    await closed.promise;
    expect(await serving).toMatchObject({ code: 'LISTEN_FAILED' });
    await until(() => client.sessions.size === 0, 'the client has lost its session');
  });

  it('rejects with ENDPOINT_CLOSED if a session closes it before it listens everywhere', async () => {
    const address = memory();
    const serving = rejection(
      serve([address, 'udp://localhost:0'], {
        codec: lines(),
        listener: { onMessage() {}, onOpen: ({ endpoint }) => void endpoint.close() },
      }),
    );
    await (await connect(address, SETUP, { reconnect: false })).close();
    expect(await serving).toMatchObject({ code: 'ENDPOINT_CLOSED' });
  });

  it('uses `tls` at the addresses with TLS, and reloads it there', async () => {
    await using server = await serve([TCP, 'tls://127.0.0.1:0'], ECHO, { tls: SERVER_TLS });
    const [plain = '', secure = ''] = server.addresses;
    expect(await echoAt(plain)).toBe('hello');
    await using client = await connect(secure, SETUP, { tls: CLIENT_TLS });
    expect((await client.session()).encrypted).toBe(true);
    server.reloadTls({});
    await using other = await serve([TCP, memory()], SETUP);
    expect(thrown(() => other.reloadTls({})).code).toBe('BAD_OPTION');
  });

  it('listens at message ports and at addresses of the system', async () => {
    const { port1, port2 } = new MessageChannel();
    await using server = await serve([TCP, { port: port1 }], ECHO);
    const events = new Recorder<string>('the client');
    const setup = { codec: lines(), listener: events };
    // Each of them is used by a client whose other address has no server.
    for (const given of [
      [{ port: port2 }, memory()],
      [memory(), server.address],
    ]) {
      await using client = await connect(given, setup);
      (await client.session()).write('hello');
      expect(await events.messages.next()).toBe('hello');
    }
    port1.close();
  });

  it('writes to peers of its UDP address', async () => {
    await using server = await serve([memory(), 'udp://127.0.0.1:0'], SETUP);
    using peer = new PlainPeer(server.addresses[1] as string);
    await peer.bind();
    server.writeTo('hello', peer.address);
    expect(await peer.received.next()).toEqual(bytes('hello\n'));
  });

  it.each<[string, readonly string[], ServerOptions, string]>([
    ['no address', [], {}, 'BAD_ADDRESS'],
    ['a wrong address', [TCP, 'http://127.0.0.1:1'], {}, 'BAD_ADDRESS'],
    ['`tls` without TLS', [TCP, 'ws://127.0.0.1:0'], { tls: SERVER_TLS }, 'BAD_OPTION'],
    ['a list in a list', [[TCP] as never], {}, 'BAD_ADDRESS'],
    ['`backlog` without a listening socket', [memory()], { socket: { backlog: 5 } }, 'BAD_OPTION'],
    ['`allow` at memory://', [TCP, 'memory://allow'], { allow: ['::1'] }, 'BAD_OPTION'],
    [
      '`behindProxy` at udp://',
      [TCP, 'udp://127.0.0.1:0'],
      { behindProxy: { trusted: ['::1'], header: 'proxy-protocol' } },
      'BAD_OPTION',
    ],
  ])('rejects with its error for %s', async (_, addresses, options, code) => {
    expect(await rejection(serve(addresses, SETUP, options))).toMatchObject({ code });
  });

  it('accepts options of the socket that one of its transports has', async () => {
    const socket = { noDelay: true, receiveBufferBytes: 100_000 };
    await using _server = await serve([TCP, 'udp://127.0.0.1:0'], SETUP, { socket });
  });
});

describe('a client with several addresses', () => {
  it('dials them in turn until one has a session', async () => {
    await using server = await serve(TCP, SETUP);
    const unused = [memory(), `tcp://127.0.0.1:${await freePort()}`];
    await using client = await connect([...unused, server.address], SETUP, { reconnect: false });
    expect((await client.session()).remoteAddress).toBe(server.address);
    expect(client.addresses).toEqual([...unused, server.address]);
    expect([client.address, client.reconnectAttempts]).toEqual([unused[0], 0]);
  });

  it('rejects with the errors of all addresses', async () => {
    const addresses = [memory(), memory()];
    const error = await rejection(connect(addresses, SETUP));
    expect(error).toMatchObject({ code: 'CONNECT_FAILED', cause: expect.any(AggregateError) });
    for (const address of addresses) expect(error.message).toContain(address);
    expect((error.cause as AggregateError).errors).toMatchObject([
      { code: 'CONNECT_FAILED' },
      { code: 'CONNECT_FAILED' },
    ]);
  });

  /** The addresses of the sessions that the client opens. */
  async function follow(addresses: readonly string[]) {
    const opened = new Inbox<string>('a session');
    const states: ClientState[] = [];
    const client = await connect(
      addresses,
      {
        codec: lines(),
        listener: {
          onOpen: (session) => opened.push(session.remoteAddress),
          onMessage() {},
        },
      },
      { reconnect: SHORT, onState: (state) => states.push(state) },
    );
    return { client, opened, states };
  }

  /** Lets the client receive a message, so that its server counts as one that serves. */
  async function serveOnce(server: Server<string>, client: Client<string>): Promise<void> {
    await until(() => server.sessions.size > 0, 'the server has the session');
    for (const session of server.sessions) session.write('hello');
    await until(() => (client.current?.stats.bytesRead ?? 0) > 0, 'the client has received it');
  }

  it('tries the next one in the attempt after the loss of its server, and stays there', async () => {
    const first = await serve(memory(), SETUP);
    await using second = await serve(memory(), SETUP);
    const { client, opened } = await follow([first.address, second.address]);
    await serveOnce(first, client);
    makeSessionsOld();
    await first.close();
    expect(await opened.take(2)).toEqual([first.address, second.address]);
    await using _again = await serve(first.address, SETUP);
    await serveOnce(second, client);
    makeSessionsOld();
    await loseSession(second, client);
    expect(await opened.next()).toBe(second.address);
    await client.close();
  });

  it('begins with the next one if the server has ended its session within 1 s', async () => {
    await using first = await serve<string>(memory(), () => {
      throw new Error('full');
    });
    await using second = await serve(memory(), SETUP);
    const { client, opened } = await follow([first.address, second.address]);
    expect(await opened.take(2)).toEqual([first.address, second.address]);
    await untilQuiet();
    expect(opened.unread).toEqual([]);
    await client.close();
  });

  it('begins with the next one if its server has sent nothing', async () => {
    await using first = await serve(memory(), SETUP);
    await using second = await serve(memory(), SETUP);
    const { client, opened } = await follow([first.address, second.address]);
    await opened.next();
    makeSessionsOld();
    await loseSession(first, client);
    expect(await opened.next()).toBe(second.address);
    await client.close();
  });

  it('verifies the host of the address in startTls()', async () => {
    await using server = await serveStartTls();
    const port = portOf(server.address);
    // The certificate has no host of the first address, which is unused.
    await using client = await connectStartTls([
      `tcp://127.0.0.9:${await freePort()}`,
      `tcp://localhost:${port}`,
    ]);
    expect((await client.peer).certificate?.altNames).toContain('DNS:localhost');
  });

  it('ends an attempt at an address with an error that further attempts would have too', async () => {
    const unused = memory();
    const reconnect = { retryFirst: true, ...SHORT };
    const tls = { ca: 'no certificate' };
    expect(
      await rejection(connect([unused, 'tls://127.0.0.1:1'], SETUP, { reconnect, tls })),
    ).toMatchObject({ code: 'BAD_OPTION' });
  });

  it.each<[string, readonly string[], object, string]>([
    ['no address', [], {}, 'BAD_ADDRESS'],
    ['a wrong address', [TCP, 'http://127.0.0.1:1'], {}, 'BAD_ADDRESS'],
    ['`tls` without TLS', [TCP, 'ws://127.0.0.1:1'], { tls: CLIENT_TLS }, 'BAD_OPTION'],
    ['`proxy` at memory://', [TCP, 'memory://x'], { proxy: 'http://127.0.0.1:1' }, 'BAD_OPTION'],
  ])('rejects with its error for %s', async (_, addresses, options, code) => {
    expect(await rejection(connect(addresses, SETUP, options))).toMatchObject({ code });
  });

  it('names the forms of addresses for an empty list', async () => {
    for (const attempt of [connect([], SETUP), serve([], SETUP)])
      expect((await rejection(attempt)).message).toMatch(
        /^address: got an array, expected tcp:\/\/host:port or /,
      );
  });
});

describe('Client.reconnectAttempts', () => {
  it('counts attempts since a session was opened last', async () => {
    const address = memory();
    const server = await serve(address, SETUP);
    const counts = new Inbox<string>('a state');
    let client: Client<string> | undefined;
    client = await connect(address, SETUP, {
      reconnect: SHORT,
      onState: (state) => counts.push(`${state} ${client?.reconnectAttempts}`),
    });
    expect(client.reconnectAttempts).toBe(0);
    makeSessionsOld();
    await server.close();
    await until(() => (client?.reconnectAttempts ?? 0) >= 3, 'three attempts have begun');
    await using _again = await serve(address, SETUP);
    await until(() => client?.state === 'ready', 'the client is ready again');
    expect(client.reconnectAttempts).toBe(0);
    await client.close();
    const [first, down, ...attempts] = counts.all;
    expect([first, down, ...attempts.slice(0, 4)]).toEqual([
      'ready undefined',
      'down 0',
      'connecting 1',
      'down 1',
      'connecting 2',
      'down 2',
    ]);
    expect(attempts.slice(-2)).toEqual(['ready 0', 'closed 0']);
  });
});
