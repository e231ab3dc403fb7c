/** The health checks that a WebSocket server answers. */
import { afterEach, expect, it, vi } from 'vitest';
import type { HealthCheck, ServerOptions } from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import {
  RAW_SETUP,
  refusalCounts,
  serveRecording,
  upgradeStatus,
} from '../../fixtures/refusals.js';
import { rejection } from '../../fixtures/transports.js';
import { gate, within } from '../../fixtures/waiting.js';
import { rawPeer } from '../../fixtures/websocket.js';

noLeaks();
afterEach(() => vi.restoreAllMocks());

const serveHealthy = (health: string | HealthCheck, options?: ServerOptions) =>
  serveRecording('ws://127.0.0.1:0/live', { ...options, websocket: { health } }, RAW_SETUP);

/** The whole answer to a request. */
async function answerTo(address: string, request: string): Promise<string> {
  using peer = rawPeer(address);
  peer.socket.write(request);
  await within(peer.ended, 'the connection to end');
  return String(peer.received.all.at(-1));
}

it('answers GET and HEAD requests at its path, and counts no refusal', async () => {
  await using server = await serveHealthy('/healthz');
  expect(await answerTo(server.address, 'GET /healthz?a=1 HTTP/1.1\r\nHost: x\r\n\r\n')).toBe(
    'HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nConnection: close\r\n' +
      'Content-Type: text/plain\r\nContent-Length: 3\r\n\r\nOK\n',
  );
  expect(await answerTo(server.address, 'HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n')).toMatch(
    /^HTTP\/1\.1 200 OK\r\n[\s\S]*Content-Length: 3\r\n\r\n$/,
  );
  // HTTP/1.0 has no Host header.
  expect(await answerTo(server.address, 'GET /healthz HTTP/1.0\r\n\r\n')).toMatch(
    /^HTTP\/1\.1 200/,
  );
  expect(refusalCounts(server.server)).toEqual({});
  expect(server.server.sessions.size).toBe(0);
});

it('answers other requests as without it', async () => {
  await using server = await serveHealthy('/healthz');
  const request = (line: string, more = ''): string => `${line} HTTP/1.1\r\nHost: x\r\n${more}\r\n`;
  for (const [text, status] of [
    [request('GET /other'), 426],
    [request('GET /healthz/'), 426],
    [request('POST /healthz'), 426],
    [request('GET /healthz', 'Content-Length: 1\r\n'), 426],
    [request('GET /healthz', 'Connection: upgrade\r\nUpgrade: h2c\r\n'), 426],
  ] as const)
    expect((await answerTo(server.address, text)).slice(9, 12), text).toBe(`${status}`);
  expect(refusalCounts(server.server)).toEqual({ request: 5 });
  expect(await upgradeStatus(server.address)).toBe(101);
  expect(await upgradeStatus(server.address.replace('/live', '/healthz'))).toBe(404);
});

it.each<[what: string, isHealthy: () => unknown, status: number]>([
  ['true', () => true, 200],
  ['a promise of true', async () => true, 200],
  ['false', () => false, 503],
  ['another value', () => 'yes', 503],
  ['a promise of false', async () => false, 503],
])('isHealthy returns %s: answers %s', async (_, isHealthy, status) => {
  await using server = await serveHealthy({
    path: '/healthz',
    isHealthy: isHealthy as () => boolean,
  });
  const response = await fetch(server.address.replace('ws:', 'http:').replace('live', 'healthz'));
  expect(response.status).toBe(status);
  await response.text();
});

it('answers 503 if isHealthy fails, with one warning', async () => {
  const warnings = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
  let count = 0;
  const isHealthy = (): boolean | Promise<boolean> => {
    if (count++ === 0) throw new Error('no database');
    return Promise.reject(new Error('no database'));
  };
  await using server = await serveHealthy({ path: '/healthz', isHealthy });
  const url = server.address.replace('ws:', 'http:').replace('live', 'healthz');
  for (let i = 0; i < 2; i++) {
    const response = await fetch(url);
    expect([response.status, await response.text()]).toEqual([503, 'Service Unavailable\n']);
  }
  expect(warnings).toHaveBeenCalledOnce();
  expect(warnings.mock.calls[0]?.[0]).toMatchObject({ code: 'HANDLER_FAILED' });
});

it('a check that does not end has handshakeTimeout, and ends with the server', async () => {
  const isHealthy = (): Promise<boolean> => new Promise(() => {});
  const request = 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n';
  {
    const options = { handshakeTimeout: 50 };
    await using server = await serveHealthy({ path: '/healthz', isHealthy }, options);
    expect(await answerTo(server.address, request)).toBe('undefined');
    expect(refusalCounts(server.server)).toEqual({ timeout: 1 });
  }
  const asked = gate();
  const answer = gate<boolean>();
  const server = await serveHealthy({
    path: '/healthz',
    isHealthy() {
      asked.open();
      return answer.promise;
    },
  });
  using peer = rawPeer(server.address);
  peer.socket.write(request);
  await asked.promise;
  await within(server.server.close(), 'the server to close');
  answer.open(true);
  await within(peer.ended, 'the connection to end');
});

it.each<[health: unknown, message: string]>([
  ['healthz', 'websocket.health: got "healthz", expected a path with a leading slash'],
  ['/healthz?a', 'websocket.health: got'],
  [true, 'websocket.health: got true'],
  [null, 'websocket.health: got null'],
  [{}, 'websocket.health.path: got undefined'],
  [{ path: '/', isHealthy: true }, 'websocket.health.isHealthy: got true, expected a function'],
  [{ path: '/', healthy: true }, 'healthy is not an option of websocket.health'],
])('refuses the option %o', async (health, message) => {
  const error = await rejection(serveHealthy(health as string));
  expect(error).toMatchObject({ code: 'BAD_OPTION', message: expect.stringContaining(message) });
});
