/** What a server does with requests while it closes. */
import { expect, test } from 'vitest';
import { contract, implement, serve, unary } from '../../src/rpc/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { RawPeer } from '../fixtures/raw-peer.js';
import { jsonRequest } from '../fixtures/rpc-frames.js';
import { gate, until, within } from '../fixtures/waiting.js';

noLeaks();

test('a draining server handles the requests of a peer that knows no goaway', async () => {
  const open = gate();
  const handled: string[] = [];
  const Plain = contract('Plain', { wait: unary<void, string>(), ask: unary<string, string>() });
  const server = await serve(
    'memory://draining',
    [
      implement(Plain, {
        wait: async () => {
          await open.promise;
          return 'waited';
        },
        ask: (text) => {
          handled.push(text);
          return text;
        },
      }),
    ],
    { drainTimeout: 600_000 },
  );
  await using peer = await RawPeer.connect(server.address);
  await peer.send(jsonRequest('Plain', 'wait', undefined, { sequence: 1n }));
  await until(() => [...server.channels].some(({ serving }) => serving === 1), 'the first call');
  const closed = server.close();
  await peer.send(jsonRequest('Plain', 'ask', 'while draining', { sequence: 3n }));
  expect((await peer.frames.next()).body.toString()).toBe('"while draining"');
  open.open();
  expect((await peer.frames.next()).body.toString()).toBe('"waited"');
  await within(closed, 'the server to close');
  expect(handled).toEqual(['while draining']);
});
