/** Close codes and reasons of sessions. */
import { expect, it, test } from 'vitest';
import type { CloseOptions } from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { echo, ourClient, wsClient, wsServer } from '../../fixtures/websocket.js';

noLeaks();

it.each<[options: CloseOptions | undefined, received: string]>([
  [{ code: 4001, reason: 'grün' }, '4001 grün'],
  [{ code: 1008 }, '1008'],
  [{ reason: 'x'.repeat(123) }, `1000 ${'x'.repeat(123)}`],
  [{}, '1000'],
  [undefined, '1000'],
])('close(%o) sends the code and the reason to the peer', async (options, received) => {
  await using server = await echo();
  using peer = wsClient(server.address);
  await peer.opened;
  const session = await server.events.opened.next();
  const isClosed = session.close(options);
  expect(await peer.closed.next()).toBe(received);
  await isClosed;
  // The peer answers with the same code.
  expect(session.closeCode).toBe(options?.code ?? 1000);
  expect(
    server.events.errors.all.filter(
      (error) => (error as { code?: string }).code !== 'CONNECTION_LOST',
    ),
  ).toEqual([]);
});

it.each([
  [{ code: 1005 }, 'code: got 1005'],
  [{ code: 1006 }, 'code: got 1006'],
  [{ code: 999 }, 'code: got 999'],
  [{ code: 5000 }, 'code: got 5000'],
  [{ code: 1000.5 }, 'code: got 1000.5'],
  [{ code: '1000' }, 'code: got "1000"'],
  [{ reason: 'ü'.repeat(62) }, 'reason: got'],
  [{ reason: 1 }, 'reason: got 1'],
  [{ cod: 1000 }, 'did you mean code?'],
  [1000, 'close(): got 1000'],
  [null, 'close(): got null'],
])('close(%o) throws BAD_OPTION, and the session stays open', async (options, message) => {
  await using server = await echo();
  await using ours = await ourClient(server.address);
  const badOption = expect.objectContaining({
    code: 'BAD_OPTION',
    message: expect.stringContaining(message),
  });
  expect(() => ours.session.close(options as object)).toThrow(badOption);
  expect(ours.session.closed).toBe(false);
});

it('the session has the code and the reason of the peer, and so has the error of a failure', async () => {
  await using server = await echo();
  for (const [code, reason] of [
    [1000, 'done'],
    [1001, ''],
    [4001, 'why'],
    [undefined, ''],
  ] as const) {
    using peer = wsClient(server.address);
    await peer.opened;
    const session = await server.events.opened.next();
    expect([session.closeCode, session.closeReason]).toEqual([undefined, undefined]);
    peer.socket.close(code, reason);
    await server.events.closed.next();
    expect([session.closeCode, session.closeReason]).toEqual([code, reason]);
  }
  expect(server.events.errors.all).toHaveLength(1);
  expect(server.events.errors.all[0]).toMatchObject({
    name: 'CloseError',
    code: 'CONNECTION_LOST',
    closeCode: 4001,
    closeReason: 'why',
  });
});

it('a session has no code and no reason after its connection is lost', async () => {
  await using server = await echo();
  using peer = wsClient(server.address);
  await peer.opened;
  peer.socket.terminate();
  const session = await server.events.opened.next();
  await server.events.closed.next();
  expect([session.closeCode, session.closeReason]).toEqual([undefined, undefined]);
});

it('other transports accept a code and a reason, and do not send them', async () => {
  await using server = await echo({}, {}, 'tcp://127.0.0.1:0');
  await using ours = await ourClient(server.address);
  await ours.session.close({ code: 4000, reason: 'bye' });
  await server.events.closed.next();
  expect((await server.events.opened.next()).closeCode).toBeUndefined();
  expect([...server.events.errors.all, ...ours.events.errors.all]).toEqual([]);
});

it('close() of a client sends the code 1000 after its messages', async () => {
  await using server = await wsServer();
  await using ours = await ourClient(server.address);
  ours.session.write(Buffer.from('last words'));
  await ours.session.close();
  const peer = await server.peers.next();
  expect(await peer.closed.next()).toBe('1000');
  expect(peer.messages.all).toHaveLength(1);
  expect(ours.events.log).toEqual(['open', 'close']);
});

it('close() of a server sends the code 1001', async () => {
  await using server = await echo();
  using peer = wsClient(server.address);
  await peer.opened;
  await server.server.close();
  expect(await peer.closed.next()).toBe('1001');
  expect(server.events.log).toEqual(['open', 'close']);
});

test.each([
  [undefined, '1005', []],
  [1000, '1000', []],
  [1001, '1001', []],
  [1011, '1011', ['CONNECTION_LOST']],
  [4001, '4001', ['CONNECTION_LOST']],
] as const)(
  'the code %s of a peer is answered with %s, and reported with the errors %o',
  async (code, answer, errors) => {
    await using server = await echo();
    using peer = wsClient(server.address);
    await peer.opened;
    peer.socket.close(code, code === undefined ? undefined : 'that is "why"');
    // The ws package reports the code of the answer.
    expect((await peer.closed.next()).split(' ')[0]).toBe(answer);
    await server.events.closed.next();
    expect(server.events.errors.all.map((error) => error.code)).toEqual(errors);
    if (errors.length > 0)
      expect(server.events.errors.all[0]?.message).toMatch(
        / closed with code \d+: "that is \\"why\\""$/,
      );
  },
);

it('a peer that ends the connection without a close frame is reported with CONNECTION_LOST', async () => {
  await using server = await echo();
  using peer = wsClient(server.address);
  await peer.opened;
  peer.socket.terminate();
  expect(await server.events.errors.next()).toMatchObject({
    code: 'CONNECTION_LOST',
    message: expect.stringContaining('without a close'),
  });
  await server.events.closed.next();
});
