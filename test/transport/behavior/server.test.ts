/** What servers do. The same on every transport. */
import { expect, vi } from 'vitest';
import type { Peer } from '../../../src/transport/index.js';
import { Recorder } from '../../fixtures/recorder.js';
import { untilQuiet } from '../../fixtures/session-probes.js';
import {
  connectAs,
  pair,
  rejection,
  runForEveryTransport,
  serveAs,
  setupOf,
  type TransportRow,
} from '../../fixtures/transports.js';
import { gate, until, within } from '../../fixtures/waiting.js';

/**
 * Connects to a server whose setup refuses the session. A WebSocket request is answered with an
 * error status. Other connections are closed at once.
 */
async function expectRefused(row: TransportRow, address: string): Promise<void> {
  const refused = new Recorder<string>('the refused client');
  const attempt = connectAs(row, address, setupOf(row, refused), { reconnect: false });
  if (/^wss?:/.test(address)) {
    expect((await rejection(attempt)).code).toBe('CONNECT_FAILED');
    return;
  }
  await using client = await attempt;
  await refused.closed.next();
  expect(client.sessions.size).toBe(0);
}

runForEveryTransport({
  async 'has a type, an id and an address, as its clients have'(row) {
    await using p = await pair(row);
    expect(p.server.type).toBe('server');
    expect(p.client.type).toBe('client');
    expect(p.server.id).not.toBe(p.client.id);
    expect(p.client.address).toBe(p.server.address);
    expect(p.server.address).not.toMatch(/:0$/);
    expect([p.server.closed, p.client.closed]).toEqual([false, false]);
  },

  async 'answers many clients at once, each with its own answers'(row) {
    const events = new Recorder<string>('the server', {
      onMessage: (session, line) => session.write(`to ${line}`),
    });
    await using server = await serveAs(row, setupOf(row, events));
    await Promise.all(
      Array.from({ length: 20 }, async (_, i) => {
        const clientEvents = new Recorder<string>(`client ${i}`);
        await using client = await connectAs(row, server.address, setupOf(row, clientEvents));
        const session = await client.session();
        for (let n = 0; n < 5; n++) session.write(`${i}.${n}`);
        expect(await clientEvents.messages.take(5)).toEqual(
          Array.from({ length: 5 }, (_, n) => `to ${i}.${n}`),
        );
      }),
    );
  },

  async 'opens no session when its setup function closes or destroys it'(row) {
    for (const end of ['close', 'destroy'] as const) {
      const events = new Recorder<string>('the server');
      const server = await serveAs<string>(row, () => {
        void server[end]();
        return setupOf(row, events);
      });
      const client = await connectAs(row, server.address, setupOf(row, new Recorder('a client')), {
        reconnect: false,
      }).catch(() => undefined);
      // The first datagram makes the session of a UDP server.
      client?.current?.write('x');
      await within(
        (async () => {
          await until(() => server.closed, 'the setup function is called');
          await server.close();
        })(),
        'the close of the server',
      );
      expect([events.log, server.sessions.size]).toEqual([[], 0]);
      client?.destroy();
    }
  },

  async 'calls the setup function with the peer of each session'(row) {
    const events = new Recorder<string>('the server');
    const peers: Peer[] = [];
    await using server = await serveAs<string>(row, (peer) => {
      peers.push({ localAddress: peer.localAddress, remoteAddress: peer.remoteAddress });
      return { ...setupOf(row, events), name: `peer ${peers.length}` };
    });
    await using _first = await connectAs(
      row,
      server.address,
      setupOf(row, new Recorder<string>('the first client')),
    );
    await using _second = await connectAs(
      row,
      server.address,
      setupOf(row, new Recorder<string>('the second client')),
    );
    const sessions = await events.opened.take(2);
    expect(sessions.map((session) => session.name)).toEqual(['peer 1', 'peer 2']);
    expect(peers).toEqual(
      sessions.map(({ localAddress, remoteAddress }) => ({ localAddress, remoteAddress })),
    );
  },

  async 'refuses a session whose setup function throws, and accepts the next one'(row) {
    const events = new Recorder<string>('the server');
    let refuse = true;
    await using server = await serveAs<string>(row, () => {
      if (refuse) throw new Error('not today');
      return setupOf(row, events);
    });
    await expectRefused(row, server.address);
    expect(server.sessions.size).toBe(0);
    refuse = false;
    await using accepted = await connectAs(
      row,
      server.address,
      setupOf(row, new Recorder<string>('the accepted client')),
    );
    (await accepted.session()).write('hello');
    expect(await events.messages.next()).toBe('hello');
  },

  async 'emits a process warning when the setup function returns an invalid option'(row) {
    const warning = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    try {
      await using server = await serveAs(row, () => ({
        ...setupOf(row, new Recorder<string>('x')),
        idleTimeout: -1,
      }));
      await expectRefused(row, server.address);
      expect(warning.mock.calls[0]?.[0]).toMatchObject({
        code: 'BAD_OPTION',
        message: expect.stringContaining('idleTimeout: got -1'),
      });
    } finally {
      warning.mockRestore();
    }
  },

  async 'closes its sessions and releases its address when it is closed'(row) {
    await using p = await pair(row);
    p.serverSession.write('goodbye');
    await within(p.server.close(), 'the server to close');
    expect(p.server.closed).toBe(true);
    expect(p.server.sessions.size).toBe(0);
    expect(p.serverEvents.log).toEqual(['open', 'close']);
    await p.clientEvents.closed.next();
    expect(p.clientEvents.log).toEqual(['open', 'message', 'close']);
    expect(
      (
        await rejection(
          connectAs(row, p.server.address, setupOf(row, new Recorder<string>('late'))),
        )
      ).code,
    ).toBe('CONNECT_FAILED');
    await using again = await serveAs(
      row,
      setupOf(row, new Recorder<string>('the next server')),
      p.server.address,
    );
    expect(again.address).toBe(p.server.address);
    await p.server.close();
  },

  async 'destroys sessions that are closing'(row) {
    await using p = await pair(row, {
      serverSide: { waitTime: 300_000 },
      clientSide: { waitTime: 300_000 },
    });
    p.clientSession.pause();
    void p.server.close();
    await untilQuiet();
    expect(p.serverSession.closed).toBe(true);
    expect(p.server.sessions.size).toBe(1);
    p.server.destroy();
    await p.serverEvents.closed.next();
    await within(p.server.close(), 'the server to close');
    expect(p.server.sessions.size).toBe(0);
  },

  async 'rejects with LISTEN_FAILED at an address in use'(row) {
    await using server = await serveAs(row, setupOf(row, new Recorder<string>('the first server')));
    const error = await rejection(
      serveAs(row, setupOf(row, new Recorder<string>('the second server')), server.address),
    );
    expect(error).toMatchObject({
      code: 'LISTEN_FAILED',
      message: expect.stringContaining(server.address),
    });
  },

  async 'accepts no connection after stopListening(), and keeps its sessions'(row) {
    await using p = await pair(row);
    void p.server.stopListening();
    await until(() => true, 'the next turn');
    expect(
      (
        await rejection(
          connectAs(row, p.server.address, setupOf(row, new Recorder<string>('late'))),
        )
      ).code,
    ).toBe('CONNECT_FAILED');
    p.clientSession.write('still here');
    expect(await p.serverEvents.messages.next()).toBe('still here');
    expect(p.server.closed).toBe(false);
  },

  async 'settles stopListening() when the address is free, and keeps its sessions'(row) {
    await using p = await pair(row);
    await within(p.server.stopListening(), 'the address to be free');
    await using next = await serveAs(
      row,
      setupOf(row, new Recorder<string>('the next server')),
      p.server.address,
    );
    expect(next.address).toBe(p.server.address);
    p.clientSession.write('still here');
    expect(await p.serverEvents.messages.next()).toBe('still here');
    p.serverSession.write('me too');
    expect(await p.clientEvents.messages.next()).toBe('me too');
    await within(p.server.close(), 'the server to close');
    expect(p.serverEvents.closed.all.length).toBe(1);
  },

  async 'closes within waitTime while onOpen of a session has not settled'(row) {
    const opening = gate();
    await using p = await pair(row, {
      serverSide: { waitTime: 30, on: { onOpen: () => opening.promise } },
    });
    await within(p.server.close(), 'the server to close');
    expect(p.serverEvents.log).toEqual(['open', 'close']);
    opening.open();
  },
});
