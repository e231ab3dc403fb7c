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
      near: { waitTime: 60_000 },
      far: {
        on: {
          onMessage: (_, line) => (line === 'one' ? working.promise : undefined),
          onEnd: (session) => ended.push(session.closed),
        },
      },
    });
    p.near.write('one');
    p.near.write('two');
    const closing = p.near.close();
    expect(await ended.next()).toBe(false);
    await untilQuiet();
    expect(p.farEvents.log).toEqual(['open', 'message', 'message', 'end']);
    working.open();
    await within(closing, 'the client to close');
    await p.farEvents.closed.next();
    expect(p.farEvents.log).toEqual(['open', 'message', 'message', 'end', 'close']);
  },

  async 'with allowHalfOpen writes answers until it is closed'(row) {
    const ended = new Inbox<Session<string>>('the end');
    await using p = await pair(row, {
      near: { waitTime: 60_000 },
      far: { allowHalfOpen: true, on: { onEnd: (session) => ended.push(session) } },
    });
    p.near.write('question');
    const closing = p.near.close();
    expect(await ended.next()).toBe(p.far);
    await untilQuiet();
    expect(p.farEvents.log).toEqual(['open', 'message', 'end']);
    for (const line of ['first answer', 'second answer']) {
      p.far.write(line);
      expect(await p.nearEvents.messages.next()).toBe(line);
    }
    await within(p.far.close(), 'the server to close');
    await within(closing, 'the client to close');
    expect(p.farEvents.log).toEqual(['open', 'message', 'end', 'close']);
    expect(p.nearEvents.log).toEqual(['open', 'message', 'message', 'close']);
  },

  async 'with allowHalfOpen closes at idleTimeout'(row) {
    await using p = await pair(row, {
      near: { waitTime: 60_000 },
      far: { allowHalfOpen: true, idleTimeout: 200 },
    });
    void p.near.close();
    expect(await p.farEvents.errors.next()).toMatchObject({ code: 'IDLE_TIMEOUT' });
    await p.farEvents.closed.next();
    await p.nearEvents.closed.next();
    p.nearEvents.errors.dismiss();
  },

  async 'delivers the messages before the end, also after a pause'(row) {
    await using p = await pair(row, {
      far: { on: { onMessage: (session, line) => line === 'one' && session.pause() } },
    });
    for (const line of ['one', 'two', 'three']) p.near.write(line);
    const closing = p.near.close();
    await p.farEvents.messages.next();
    await untilQuiet();
    expect(p.farEvents.log).toEqual(['open', 'message']);
    p.far.resume();
    expect(await p.farEvents.messages.take(2)).toEqual(['two', 'three']);
    await closing;
    await p.farEvents.closed.next();
  },

  async 'sends the answers of asynchronous handlers'(row) {
    const working = gate();
    await using p = await pair(row, {
      far: {
        on: {
          onMessage: async (session, line) => {
            await working.promise;
            session.write(`${line}, answered`);
          },
        },
      },
    });
    p.near.write('one');
    p.near.write('two');
    const closing = p.near.close();
    await p.farEvents.messages.take(2);
    await untilQuiet();
    expect(p.far.closed).toBe(false);
    working.open();
    expect(await p.nearEvents.messages.take(2)).toEqual(['one, answered', 'two, answered']);
    await closing;
    await p.farEvents.closed.next();
  },
});
