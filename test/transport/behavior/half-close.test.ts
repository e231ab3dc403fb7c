/** What a session does after its peer has ended its side. The same on every transport. */
import { expect } from 'vitest';
import type { Session } from '../../../src/transport/index.js';
import { untilQuiet } from '../../fixtures/session-probes.js';
import { pair, runForEveryTransport } from '../../fixtures/transports.js';
import { gate, Inbox, within } from '../../fixtures/waiting.js';

runForEveryTransport({
  async 'calls onEnd once, after the last message, and closes when all handlers have settled'(row) {
    const ended = new Inbox<boolean>('the end');
    const working = gate();
    await using p = await pair(row, {
      clientSide: { waitTime: 60_000 },
      serverSide: {
        on: {
          onMessage: (_, line) => (line === 'one' ? working.promise : undefined),
          onEnd: (session) => ended.push(session.closed),
        },
      },
    });
    p.clientSession.write('one');
    p.clientSession.write('two');
    const closing = p.clientSession.close();
    expect(await ended.next()).toBe(false);
    await untilQuiet();
    expect(p.serverEvents.log).toEqual(['open', 'message', 'message', 'end']);
    working.open();
    await within(closing, 'the client to close');
    await p.serverEvents.closed.next();
    expect(p.serverEvents.log).toEqual(['open', 'message', 'message', 'end', 'close']);
  },

  async 'with allowHalfOpen writes answers until it is closed'(row) {
    const ended = new Inbox<Session<string>>('the end');
    await using p = await pair(row, {
      clientSide: { waitTime: 60_000 },
      serverSide: { allowHalfOpen: true, on: { onEnd: (session) => ended.push(session) } },
    });
    p.clientSession.write('question');
    const closing = p.clientSession.close();
    expect(await ended.next()).toBe(p.serverSession);
    await untilQuiet();
    expect(p.serverEvents.log).toEqual(['open', 'message', 'end']);
    for (const line of ['first answer', 'second answer']) {
      p.serverSession.write(line);
      expect(await p.clientEvents.messages.next()).toBe(line);
    }
    await within(p.serverSession.close(), 'the server to close');
    await within(closing, 'the client to close');
    expect(p.serverEvents.log).toEqual(['open', 'message', 'end', 'close']);
    expect(p.clientEvents.log).toEqual(['open', 'message', 'message', 'close']);
  },

  async 'with allowHalfOpen closes at idleTimeout'(row) {
    await using p = await pair(row, {
      clientSide: { waitTime: 60_000 },
      serverSide: { allowHalfOpen: true, idleTimeout: 200 },
    });
    void p.clientSession.close();
    expect(await p.serverEvents.errors.next()).toMatchObject({ code: 'IDLE_TIMEOUT' });
    await p.serverEvents.closed.next();
    await p.clientEvents.closed.next();
    p.clientEvents.errors.dismiss();
  },

  async 'delivers the messages before the end, also after a pause'(row) {
    await using p = await pair(row, {
      serverSide: { on: { onMessage: (session, line) => line === 'one' && session.pause() } },
    });
    for (const line of ['one', 'two', 'three']) p.clientSession.write(line);
    const closing = p.clientSession.close();
    await p.serverEvents.messages.next();
    await untilQuiet();
    expect(p.serverEvents.log).toEqual(['open', 'message']);
    p.serverSession.resume();
    expect(await p.serverEvents.messages.take(2)).toEqual(['two', 'three']);
    await closing;
    await p.serverEvents.closed.next();
  },

  async 'sends the answers of asynchronous handlers'(row) {
    const working = gate();
    await using p = await pair(row, {
      serverSide: {
        on: {
          onMessage: async (session, line) => {
            await working.promise;
            session.write(`${line}, answered`);
          },
        },
      },
    });
    p.clientSession.write('one');
    p.clientSession.write('two');
    const closing = p.clientSession.close();
    await p.serverEvents.messages.take(2);
    await untilQuiet();
    expect(p.serverSession.closed).toBe(false);
    working.open();
    expect(await p.clientEvents.messages.take(2)).toEqual(['one, answered', 'two, answered']);
    await closing;
    await p.serverEvents.closed.next();
  },
});
