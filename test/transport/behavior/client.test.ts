/** How clients connect, keep sessions open, and close. The same on every transport. */
import { expect, vi } from 'vitest';
import type { ClientState, GettyError } from '../../../src/transport/index.js';
import { Recorder } from '../../fixtures/recorder.js';
import { untilQuiet } from '../../fixtures/session-probes.js';
import {
  connectAs,
  pair,
  rejection,
  runForEveryTransport,
  serveAs,
  setupOf,
} from '../../fixtures/transports.js';
import { gate, Inbox, turns, until, within } from '../../fixtures/waiting.js';

const SHORT_DELAYS = { initialDelay: 5, maxDelay: 20 };

runForEveryTransport({
  async 'calls onState with each state, and with the reason if it is not ready'(row) {
    await using server = await serveAs(row, setupOf(row, new Recorder<string>('the server')));
    const states = new Inbox<string>('a state');
    const onState = (state: ClientState, reason?: Error): void => {
      states.push(reason === undefined ? state : `${state}: ${(reason as GettyError).code}`);
      throw new Error('becomes a process warning');
    };
    const warnings = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    try {
      const client = await connectAs(
        row,
        server.address,
        setupOf(row, new Recorder<string>('the client')),
        { reconnect: SHORT_DELAYS, onState },
      );
      expect(client.state).toBe('ready');
      (await client.session()).destroy();
      expect(await states.take(4)).toEqual([
        'ready',
        'down: CONNECTION_LOST',
        'connecting: CONNECTION_LOST',
        'ready',
      ]);
      expect(client.state).toBe('ready');
      await client.close();
      expect([await states.next(), client.state]).toEqual(['closed', 'closed']);
      expect(states.unread).toEqual([]);
      expect(warnings).toHaveBeenCalledTimes(5);
    } finally {
      warnings.mockRestore();
    }
  },

  async 'rejects connect() with SESSION_REFUSED when the setup function throws'(row) {
    await using server = await serveAs(row, setupOf(row, new Recorder<string>('the server')));
    const refused = connectAs(row, server.address, () => {
      throw new RangeError('not today');
    });
    expect(await rejection(refused)).toMatchObject({
      code: 'SESSION_REFUSED',
      message: expect.stringContaining('not today'),
      cause: expect.any(RangeError),
    });
    expect(
      await rejection(
        connectAs(row, server.address, () => ({
          ...setupOf(row, new Recorder<string>('x')),
          idleTimeout: -1,
        })),
      ),
    ).toMatchObject({
      code: 'BAD_OPTION',
    });
  },

  async 'connects again when the server is back at its address'(row) {
    await using p = await pair(row, { client: { reconnect: SHORT_DELAYS } });
    await p.server.close();
    await p.clientEvents.closed.next();
    const error = await rejection(p.client.session());
    expect(['CONNECTION_LOST', 'CONNECT_FAILED']).toContain(error.code);
    const events = new Recorder<string>('the next server', {
      onMessage: (session, line) => session.write(`${line} again`),
    });
    await using _again = await serveAs(row, setupOf(row, events), p.server.address);
    await p.clientEvents.opened.take(2);
    const session = await p.client.session();
    expect(session).not.toBe(p.clientSession);
    session.write('hello');
    expect(await p.clientEvents.messages.next()).toBe('hello again');
    expect(p.client.sessions.size).toBe(1);
  },

  async 'keeps several connections open, and returns them in turn'(row) {
    await using p = await pair(row, { client: { connections: 3, reconnect: SHORT_DELAYS } });
    await p.clientEvents.opened.take(3);
    await until(
      () => p.client.sessions.size === 3 && p.server.sessions.size === 3,
      'there are three sessions on both sides',
    );
    const sessions = [await p.client.session(), await p.client.session(), await p.client.session()];
    expect(new Set(sessions)).toEqual(new Set(p.client.sessions));
    expect(await p.client.session()).toBe(sessions[0]);
    sessions[1]?.destroy();
    await p.clientEvents.closed.next();
    await p.clientEvents.opened.next();
    await until(() => p.client.sessions.size === 3, 'there are three sessions again');
    expect(p.client.sessions.has(sessions[1] as never)).toBe(false);
    await until(() => p.serverEvents.opened.all.length === 4, 'the server saw the fourth');
    for (const errors of [p.serverEvents.errors, p.clientEvents.errors]) errors.dismiss();
  },

  async 'opens each of several connections once without reconnect'(row) {
    await using p = await pair(row, { client: { connections: 3, reconnect: false } });
    await p.clientEvents.opened.take(3);
    for (const session of [...p.client.sessions]) session.destroy();
    await p.clientEvents.closed.take(3);
    await untilQuiet();
    expect(p.clientEvents.opened.all.length).toBe(3);
    expect(await rejection(p.client.session())).toMatchObject({
      code: 'CONNECTION_LOST',
      message: expect.stringContaining('reconnect is off'),
    });
    for (const errors of [p.serverEvents.errors, p.clientEvents.errors]) errors.dismiss();
  },

  async 'does not return a closed session from session()'(row) {
    await using p = await pair(row, { client: { connections: 2 } });
    await p.clientEvents.opened.take(2);
    await until(() => p.client.sessions.size === 2, 'there are two sessions');
    p.clientSession.destroy();
    for (let i = 0; i < 4; i++) expect(await p.client.session()).not.toBe(p.clientSession);
    (await p.client.session()).destroy();
    expect((await rejection(p.client.session())).code).toBe('CONNECTION_LOST');
    await p.clientEvents.closed.take(2);
    for (const errors of [p.serverEvents.errors, p.clientEvents.errors]) errors.dismiss();
  },

  async 'settles session() when the attempt in progress succeeds'(row) {
    const opening = gate();
    let wait = false;
    await using p = await pair(row, {
      clientSide: { on: { onOpen: () => (wait ? opening.promise : undefined) } },
      client: { reconnect: SHORT_DELAYS },
    });
    wait = true;
    p.clientSession.destroy();
    await p.clientEvents.opened.take(2);
    const waiting = Promise.all([p.client.session(), p.client.session()]);
    await turns();
    opening.open();
    const [one, other] = await within(waiting, 'session()');
    expect(one).toBe(other);
    expect(p.client.sessions.size).toBe(1);
    for (const errors of [p.serverEvents.errors, p.clientEvents.errors]) errors.dismiss();
  },

  async 'rejects connect() with ABORTED_BY_CALLER before the dial and during onOpen'(row) {
    const events = new Recorder<string>('the server');
    await using server = await serveAs(row, setupOf(row, events));
    const unused = new Recorder<string>('the client that is not created');
    expect(
      await rejection(
        connectAs(row, server.address, setupOf(row, unused), { signal: AbortSignal.abort('no') }),
      ),
    ).toMatchObject({
      code: 'ABORTED_BY_CALLER',
      cause: 'no',
    });
    expect(unused.log).toEqual([]);

    const opening = gate();
    const late = new Recorder<string>('the client', { onOpen: () => opening.promise });
    const caller = new AbortController();
    const connecting = rejection(
      connectAs(row, server.address, setupOf(row, late), { signal: caller.signal }),
    );
    await late.opened.next();
    caller.abort('enough');
    expect(await within(connecting, 'connect to reject')).toMatchObject({
      code: 'ABORTED_BY_CALLER',
      message: expect.stringContaining(server.address),
      cause: 'enough',
    });
    await late.closed.next();
    opening.open();
  },

  async 'ignores its signal after connect() has settled'(row) {
    const caller = new AbortController();
    await using p = await pair(row, { client: { signal: caller.signal } });
    caller.abort();
    p.clientSession.write('still here');
    expect(await p.serverEvents.messages.next()).toBe('still here');
    expect(p.client.closed).toBe(false);
  },
});
