import { expect, it } from 'vitest';
import type { ServerOptions } from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { rejection } from '../../fixtures/transports.js';
import { echo, ourClient } from '../../fixtures/websocket.js';

noLeaks();

it.each<[name: string, websocket: object]>([
  ['protocols', { protocols: 'v1' }],
  ['protocols', { protocols: ['v 1'] }],
  ['protocols', { protocols: ['v1', 'v1'] }],
  ['compression', { compression: 'gzip' }],
  ['text', { text: 1 }],
  ['allowOrigin', { allowOrigin: 'https://good.example' }],
  ['allowOrigin', { allowOrigin: ['good.example'] }],
  ['allowOrigin', { allowOrigin: ['https://good.example/'] }],
  ['allowOrigin', { allowOrigin: ['https://*.good.example'] }],
  ['allowOrigin', { allowOrigin: ['*'] }],
  ['allowOrigin', { allowOrigin: ['https://good.example:443'] }],
  ['allowOrigin', { allowOrigin: ['https://GOOD.example'] }],
  ['allowOrigin', { allowOrigin: ['https://grün.example'] }],
  ['allowOrigin', { allowOrigin: ['wss://good.example'] }],
  ['allowOrigin', { allowOrigin: ['null'] }],
  ['allowOrigin', { allowOrigin: ['capacitor://*'] }],
  ['allowHost', { allowHost: 'game.example' }],
  ['allowHost', { allowHost: ['*.game.example'] }],
  ['allowHost', { allowHost: ['game.example:8080'] }],
  ['allowHost', { allowHost: ['Game.example'] }],
  ['allowHost', { allowHost: ['https://game.example'] }],
  ['headers', { headers: 1 }],
  ['headers', { headers: ['a'] }],
  ['headers', { headers: { 'X Bad': 'a' } }],
  ['headers.X-Bad', { headers: { 'X-Bad': 'a\r\nb' } }],
  ['headers.X-Bad', { headers: { 'X-Bad': 1 } }],
  ['headers', { headers: { 'Content-Length': '3' } }],
  ['headers: got a promise', { headers: Promise.resolve({ 'X-A': 'a' }) }],
  ['headers: got an iterable', { headers: new Map([['X-A', 'a']]) }],
  ['headers: got an iterable', { headers: new Headers([['X-A', 'a']]) }],
])('servers and clients reject an invalid %s with BAD_OPTION: %o', async (name, websocket) => {
  const error = await rejection(echo({}, { websocket } as ServerOptions));
  expect(error).toMatchObject({ code: 'BAD_OPTION', message: expect.stringContaining(name) });
  expect((await rejection(ourClient('ws://127.0.0.1:1', {}, { websocket } as object))).code).toBe(
    'BAD_OPTION',
  );
});
