/** What a session does until onOpen has settled. The same on every transport. */
import { expect } from 'vitest';
import { Recorder } from '../../fixtures/recorder.js';
import { expectServerContinues, untilQuiet } from '../../fixtures/session-probes.js';
import { pair, rejection, runForEveryTransport } from '../../fixtures/transports.js';
import { gate, turns, within } from '../../fixtures/waiting.js';

runForEveryTransport({
  async 'rejects connect() with SESSION_REFUSED and closes when onOpen fails'(row) {
    const refusals = {
      throws: () => {
        throw new Error('not you');
      },
      rejects: async () => {
        await turns();
        throw new Error('not you');
      },
    };
    for (const onOpen of Object.values(refusals)) {
      const events = new Recorder<string>('the client', { onOpen });
      const error = await rejection(pair(row, { clientSide: { on: events } }));
      expect(error).toMatchObject({
        code: 'SESSION_REFUSED',
        message: expect.stringContaining('not you'),
        cause: expect.any(Error),
      });
      const session = await events.closed.next();
      expect(session.closed).toBe(true);
      expect(events.log).toEqual(['open', 'error SESSION_REFUSED', 'close']);
    }
  },

  async 'closes a session whose onOpen fails on the server, and accepts the next one'(row) {
    for (const wait of [undefined, () => turns(2)]) {
      let refuse = true;
      const onOpen = (): void | Promise<void> => {
        if (!refuse) return;
        if (wait === undefined) throw new Error('full');
        return wait().then(() => {
          throw new Error('full');
        });
      };
      await using p = await pair(row, { serverSide: { on: { onOpen } } });
      expect((await p.serverEvents.errors.next()).code).toBe('SESSION_REFUSED');
      await p.serverEvents.closed.next();
      await p.clientEvents.closed.next();
      p.clientEvents.errors.dismiss();
      expect(p.server.sessions.size).toBe(0);
      expect(p.serverEvents.log).toEqual(['open', 'error SESSION_REFUSED', 'close']);
      refuse = false;
      await expectServerContinues(row, p.server.address, p.serverEvents);
    }
  },

  async 'keeps messages until an asynchronous onOpen has settled'(row) {
    const opening = gate();
    await using p = await pair(row, { serverSide: { on: { onOpen: () => opening.promise } } });
    p.clientSession.write('one');
    p.clientSession.write('two');
    await untilQuiet();
    expect(p.serverEvents.log).toEqual(['open']);
    p.serverSession.write('an answer already');
    expect(await p.clientEvents.messages.next()).toBe('an answer already');
    opening.open();
    expect(await p.serverEvents.messages.take(2)).toEqual(['one', 'two']);
  },

  async 'sends what was written, and keeps messages, when it is closed during onOpen'(row) {
    const opening = gate();
    await using p = await pair(row, { serverSide: { on: { onOpen: () => opening.promise } } });
    p.clientSession.write('question');
    p.serverSession.write('goodbye');
    p.serverSession.pause();
    const closed = p.serverSession.close();
    expect(await p.clientEvents.messages.next()).toBe('goodbye');
    await untilQuiet();
    expect(p.serverEvents.log).toEqual(['open']);
    opening.open();
    expect(await p.serverEvents.messages.next()).toBe('question');
    await within(closed, 'the close');
    expect(p.serverEvents.log).toEqual(['open', 'message', 'close']);
  },

  async 'rejects connect() when it is destroyed during onOpen, and ignores a later failure of onOpen'(
    row,
  ) {
    const opening = gate();
    const events = new Recorder<string>('the client', { onOpen: () => opening.promise });
    const connecting = rejection(pair(row, { clientSide: { on: events } }));
    (await events.opened.next()).destroy();
    expect((await within(connecting, 'connect to reject')).code).toBe('CONNECTION_LOST');
    opening.fail(new Error('too late'));
    await events.closed.next();
    await turns(2);
    expect(events.log).toEqual(['open', 'close']);
  },
});
