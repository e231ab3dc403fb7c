/** The response to an upgrade request, by its headers. */
import { describe, expect, it, test } from 'vitest';
import { answerUpgrade } from '../../../../src/transport/websocket/handshake/server-handshake.js';
import type { UpgradeRequest } from '../../../../src/transport/websocket/handshake/upgrade-request.js';
import { VALID_REQUEST, withHeaders } from './upgrade-request.js';

type Row = [name: string, request: UpgradeRequest, status: number];

/** The status of the response of a server that is `here`. */
const statusOf = (request: UpgradeRequest): string | undefined =>
  /^HTTP\/1.1 (\d+) /.exec(answerUpgrade(request, '', { allowHost: ['here'] }).response)?.[1];

const rawHeaders = (count: number): string[] => [
  'Host',
  'here',
  ...Array(count - 1)
    .fill(['x', '1'])
    .flat(),
];

describe('the request', () => {
  test.each<Row>([
    ['a valid request', VALID_REQUEST, 101],
    ['a method other than GET', { ...VALID_REQUEST, method: 'POST' }, 405],
    ['another upgrade', withHeaders({ upgrade: 'h2c' }), 426],
    ['no version', withHeaders({ 'sec-websocket-version': undefined }), 426],
    ['version 8', withHeaders({ 'sec-websocket-version': '8' }), 426],
    ['version 13 twice', withHeaders({ 'sec-websocket-version': '13, 13' }), 426],
    ['no key', withHeaders({ 'sec-websocket-key': undefined }), 400],
    ['a short key', withHeaders({ 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ' }), 400],
    ['100 headers', { ...VALID_REQUEST, rawHeaders: rawHeaders(100) }, 101],
    ['101 headers', { ...VALID_REQUEST, rawHeaders: rawHeaders(101) }, 431],
    ['HTTP/1.0', { ...VALID_REQUEST, httpVersion: '1.0' }, 400],
    ['a body', withHeaders({ 'content-length': '5' }), 400],
    ['a body of no bytes', withHeaders({ 'content-length': '0' }), 101],
    ['Transfer-Encoding', withHeaders({ 'transfer-encoding': 'chunked' }), 400],
  ])('answers %s: %o', (_name, request, status) => {
    expect(statusOf(request)).toBe(String(status));
  });
});

describe('the target and the Host header', () => {
  test.each<Row>([
    ['no Host header', withHeaders({ host: undefined }), 400],
    [
      'an origin without a Host header',
      withHeaders({ host: undefined, origin: 'http://here' }),
      400,
    ],
    ['a name of over 255 characters', withHeaders({ host: 'a.'.repeat(200) }), 400],
    ['two Host headers', { ...VALID_REQUEST, rawHeaders: ['Host', 'here', 'HOST', 'there'] }, 400],
    ['a malformed Host header', withHeaders({ host: 'here/there' }), 400],
    ['a Host header with a user', withHeaders({ host: 'evil@here' }), 400],
    ['an empty Host header', withHeaders({ host: '' }), 400],
    ['a port over 65,535', withHeaders({ host: 'here:65536' }), 400],
    ['an absolute target', { ...VALID_REQUEST, url: 'http://here/live' }, 101],
    ['an absolute target without a path', { ...VALID_REQUEST, url: 'ws://here?x' }, 101],
    ['an absolute target with a user', { ...VALID_REQUEST, url: 'http://evil@here/live' }, 400],
    ['a target that is not a path', { ...VALID_REQUEST, url: '*' }, 400],
    ['an empty target', { ...VALID_REQUEST, url: '' }, 400],
  ])('answers %s: %o', (_name, request, status) => {
    expect(statusOf(request)).toBe(String(status));
  });

  it('passes the path and the query of an absolute target to the setup function', () => {
    const absolute = (url: string, path: string) =>
      answerUpgrade({ ...VALID_REQUEST, url }, path, {});
    expect(absolute('http://here/live?a=1', '/live')).toMatchObject({
      request: { url: '/live?a=1' },
    });
    expect(absolute('http://here?a=1', '')).toMatchObject({ request: { url: '/?a=1' } });
    expect(absolute('http://here/other', '/live').refusal).toMatchObject({
      reason: 'path',
      status: 404,
    });
  });
});
