/** Which web pages a server accepts. */
import { afterEach, describe, expect, it, test, vi } from 'vitest';
import { answerUpgrade } from '../../../../src/transport/websocket/handshake/server-handshake.js';
import type { UpgradeRequest } from '../../../../src/transport/websocket/handshake/upgrade-request.js';
import { noLeaks } from '../../../fixtures/leaks.js';
import { echo, type WsPeer, wsClient } from '../../../fixtures/websocket.js';
import { withHeaders } from './upgrade-request.js';

noLeaks();
afterEach(() => vi.restoreAllMocks());

type Row = [name: string, request: UpgradeRequest];

const responseTo = (request: UpgradeRequest): string =>
  answerUpgrade(request, '', { allowHost: ['here'] }).response;

test.each<Row>([
  ['its own host', withHeaders({ origin: 'http://HERE' })],
  ['its own host over TLS', withHeaders({ origin: 'https://here' })],
  [
    'the host of an absolute target, whatever the Host header is',
    { ...withHeaders({ host: 'x', origin: 'http://here' }), url: 'http://here/' },
  ],
  [
    'its own host, with the default port in Host',
    withHeaders({ host: 'here:80', origin: 'http://here' }),
  ],
  [
    'its own host over TLS, with the default port in Host',
    withHeaders({ host: 'here:443', origin: 'https://here' }),
  ],
  ['its own host and port', withHeaders({ host: 'here:8080', origin: 'http://here:8080' })],
])('accepts a page of %s', (_name, request) => {
  expect(responseTo(request)).toMatch(/^HTTP\/1.1 101 /);
});

test.each<Row>([
  ['another port', withHeaders({ origin: 'http://here:81' })],
  [
    'its own host over TLS, with the default port of HTTP in Host',
    withHeaders({ host: 'here:80', origin: 'https://here' }),
  ],
  [
    'its own host, with the default port of HTTPS in Host',
    withHeaders({ host: 'here:443', origin: 'http://here' }),
  ],
  ['an origin without a scheme', withHeaders({ origin: 'here' })],
  ['two origins', withHeaders({ origin: 'http://here, http://evil' })],
  ['an origin with a path', withHeaders({ origin: 'http://here/' })],
  ['an origin with bytes over 127', withHeaders({ origin: 'http://a\xc4\x82.b' })],
])('refuses a page of %s', (_name, request) => {
  expect(responseTo(request)).toMatch(/^HTTP\/1.1 403 /);
});

test.each<[host: string, allowHost: readonly string[] | 'any', listenHost: string, status: number]>(
  [
    ['evil.example', [], '', 403],
    ['evil.example', ['game.example'], '', 403],
    ['sub.game.example', ['game.example'], '', 403],
    ['game.example', ['game.example'], '', 101],
    ['GAME.example:8443', ['game.example'], '', 101],
    ['evil.example', 'any', '', 101],
    ['game.example', [], 'Game.Example', 101],
    ['localhost:8080', [], '', 101],
    ['app.localhost', [], '', 101],
    ['localhost.evil.example', [], '', 403],
    ['127.0.0.1.evil.example', [], '', 403],
    ['192.168.1.7:8080', [], '', 101],
    ['[::1]:8080', [], '', 101],
  ],
)(
  'answers a page of the same host %s, with allowHost %o and a server at "%s", with %i',
  (host, allowHost, listenHost, status) => {
    const origin = `http://${host.toLowerCase()}`;
    const request = withHeaders({ host, origin });
    const answer = answerUpgrade(request, '', { allowHost }, listenHost);
    expect(answer.response).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    if (status === 403) expect(answer.refusal?.reason).toBe('host');
    // A program sends no origin, and may use any name.
    const program = answerUpgrade(withHeaders({ host }), '', { allowHost }, listenHost);
    expect(program.response).toMatch(/^HTTP\/1.1 101 /);
    const allowed = answerUpgrade(request, '', { allowHost, allowOrigin: [origin] }, listenHost);
    expect(allowed.response).toMatch(/^HTTP\/1.1 101 /);
  },
);

describe('allowOrigin', () => {
  /** A page with this origin is accepted. */
  async function isAccepted(address: string, origin: string): Promise<boolean> {
    using peer: WsPeer = wsClient(address, { origin });
    return await peer.opened.then(
      () => true,
      (error) => {
        expect(String(error)).toContain('403');
        return false;
      },
    );
  }

  it('allows only pages of the same origin by default', async () => {
    await using server = await echo();
    const { host } = new URL(server.address);
    expect(await isAccepted(server.address, `http://${host}`)).toBe(true);
    expect(await isAccepted(server.address, `http://${host}0`)).toBe(false);
    expect(await isAccepted(server.address, 'http://127.0.0.1')).toBe(false);
    expect(await isAccepted(server.address, 'https://good.example')).toBe(false);
    expect(await isAccepted(server.address, 'null')).toBe(false);
  });

  it('allows the origins of a list', async () => {
    await using server = await echo({}, { websocket: { allowOrigin: ['https://good.example'] } });
    expect(await isAccepted(server.address, 'https://good.example')).toBe(true);
    expect(await isAccepted(server.address, 'https://good.example.evil.example')).toBe(false);
  });

  it('allows the origins for which a function returns true, and warns if it throws', async () => {
    const warning = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    const allowOrigin = (origin: string): boolean => {
      if (origin === 'null') throw new Error('oh');
      return origin.endsWith('.example');
    };
    await using server = await echo({}, { websocket: { allowOrigin } });
    expect(await isAccepted(server.address, 'https://good.example')).toBe(true);
    expect(await isAccepted(server.address, 'https://bad.test')).toBe(false);
    expect(await isAccepted(server.address, 'null')).toBe(false);
    expect(
      warning.mock.calls.map(([error]) => (error as unknown as { code: string }).code),
    ).toEqual(['HANDLER_FAILED']);
  });
});
