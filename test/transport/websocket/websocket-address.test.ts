/** The parts of a WebSocket address: user, path, query, fragment. */
import { expect, it } from 'vitest';
import {
  type Client,
  type ClientOptions,
  connect,
  lines,
  type Server,
  type ServerOptions,
  serve,
  type WebSocketRequest,
} from '../../../src/transport/index.js';
import { CLIENT_TLS, SERVER_TLS } from '../../fixtures/certificates.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { rejection } from '../../fixtures/transports.js';

noLeaks();

const setup = { codec: lines(), listener: { onMessage() {} } };

/** A server that records its requests. */
async function recordingServer(address = 'ws://127.0.0.1:0', options: ServerOptions = {}) {
  const requests: WebSocketRequest[] = [];
  const server = await serve<string>(
    address,
    ({ request }) => {
      requests.push(request as WebSocketRequest);
      return setup;
    },
    options,
  );
  return { server, requests, address: server.address, [Symbol.asyncDispose]: () => server.close() };
}

const connectTo = (address: string, options: ClientOptions = {}): Promise<Client<string>> =>
  connect(address, setup, { reconnect: false, ...options });

/** `address` with `user` before its host. */
const withUser = (user: string, address: string): string =>
  address.replace('://', () => `://${user}@`);
/** The user and the password of a request. */
const credentialsOf = (request: WebSocketRequest | undefined): string =>
  Buffer.from(String(request?.headers.authorization).replace(/^Basic /, ''), 'base64').toString();

it.each([
  ['me:secret', 'me:secret'],
  ['me', 'me:'],
  [':secret', ':secret'],
  ['me:a:b', 'me:a:b'],
  ['me:a@b', 'me:a@b'],
  ['m%C3%A9:s%3A%2F%40', 'mé:s:/@'],
  ['mé:§', 'mé:§'],
])('the user information %s is sent as the basic authorization of %s', async (user, expected) => {
  await using server = await recordingServer();
  await using _client = await connectTo(withUser(user, server.address));
  expect(credentialsOf(server.requests[0])).toBe(expected);
});

it('wss sends the user and the query, and no address of a session shows them', async () => {
  await using server = await recordingServer('wss://localhost:0/live', { tls: SERVER_TLS });
  await using client = await connectTo(`${withUser('me:secret', server.address)}?token=secret`, {
    tls: CLIENT_TLS,
  });
  expect(credentialsOf(server.requests[0])).toBe('me:secret');
  expect(server.requests[0]?.url).toBe('/live?token=secret');
  const session = await client.session();
  const [peer] = server.server.sessions;
  expect(client.address).toBe(`${withUser('***', server.address)}?***`);
  expect(
    [session.remoteAddress, session.localAddress, peer?.remoteAddress, peer?.localAddress].join(),
  ).not.toContain('secret');
});

it('the header Authorization of the options replaces the user information', async () => {
  await using server = await recordingServer();
  await using _client = await connectTo(withUser('me:secret', server.address), {
    websocket: { headers: { authorization: 'Bearer x' } },
  });
  expect(server.requests[0]?.headers.authorization).toBe('Bearer x');
});

it('an empty user information sends no authorization', async () => {
  await using server = await recordingServer();
  await using _client = await connectTo(withUser('', server.address));
  expect(server.requests[0]?.headers.authorization).toBe(undefined);
});

it.each(['%zz', 'a%3Ab:c', 'a%00', 'a:b%0D%0Ac', '%C3'])(
  'the user information %s is rejected with BAD_ADDRESS',
  async (user) => {
    const error = await rejection(connectTo(`ws://${user}@127.0.0.1:1`));
    expect(error).toMatchObject({
      code: 'BAD_ADDRESS',
      message: expect.stringContaining('got "ws://***@127.0.0.1:1"'),
    });
  },
);

it.each([
  ['', '/'],
  ['/', '/'],
  ['?token=1', '/?token=1'],
  ['/?token=1', '/?token=1'],
  ['?', '/?'],
  ['/grün?ü=ß', '/gr%C3%BCn?%C3%BC=%C3%9F'],
  ['/gr%c3%bcn', '/gr%C3%BCn'],
  ['/a%b', '/a%25b'],
  ['/a"b|c', '/a%22b%7Cc'],
  ['/😀', '/%F0%9F%98%80'],
  ['/a?b=c/d?e', '/a?b=c/d?e'],
])('an address that ends in %j requests %j', async (tail, url) => {
  await using server = await recordingServer();
  await using _client = await connectTo(server.address + tail);
  expect(server.requests[0]?.url).toBe(url);
});

it.each(['/live', '/grün', '/gr%C3%BCn'])(
  'a server at %s accepts each spelling of its path',
  async (path) => {
    await using server = await recordingServer(`ws://127.0.0.1:0${path}`);
    const { origin } = new URL(server.address);
    const base =
      origin === 'null' ? server.address.slice(0, server.address.lastIndexOf('/')) : origin;
    for (const spelling of new Set([
      path,
      encodeURI(decodeURI(path)),
      encodeURI(decodeURI(path)).toLowerCase(),
      `${path}?x=1`,
    ])) {
      await using client = await connectTo(base + spelling);
      expect(client.state).toBe('ready');
    }
    expect((await rejection(connectTo(`${base}/other`))).message).toContain('404');
  },
);

it.each(['ws://127.0.0.1:0/live?v=1', 'ws://127.0.0.1:0?v=1', 'ws://me:secret@127.0.0.1:0/live'])(
  'a server address with a user or a query is rejected: %s',
  async (address) => {
    const error = await rejection<Error & { code: string }>(serve(address, setup));
    expect(error).toMatchObject({
      code: 'BAD_ADDRESS',
      message: expect.stringContaining('expected no user and no query'),
    });
    expect(error.message).not.toContain('secret');
  },
);

it.each([
  'ws://127.0.0.1:1/live#part',
  'ws://127.0.0.1:1#part',
  'ws://127.0.0.1:1?a#',
  'ws://127.0.0.1:1/\ud800',
  'ws://127.0.0.1:1/a\u0007',
])('servers and clients reject the address %j', async (address) => {
  const attempts: Promise<Server<string> | Client<string>>[] = [
    serve(address, setup),
    connectTo(address),
  ];
  for (const attempt of attempts)
    expect(await rejection(attempt)).toMatchObject({ code: 'BAD_ADDRESS' });
});
