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
      const error = await rejection(pair(row, { near: { on: events } }));
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
      await using p = await pair(row, { far: { on: { onOpen } } });
      expect((await p.farEvents.errors.next()).code).toBe('SESSION_REFUSED');
      await p.farEvents.closed.next();
      await p.nearEvents.closed.next();
      p.nearEvents.errors.dismiss();
      expect(p.server.sessions.size).toBe(0);
      expect(p.farEvents.log).toEqual(['open', 'error SESSION_REFUSED', 'close']);
      refuse = false;
      await expectServerContinues(row, p.server.address, p.farEvents);
    }
  },

  async 'keeps messages until an asynchronous onOpen has settled'(row) {
    const opening = gate();
    await using p = await pair(row, { far: { on: { onOpen: () => opening.promise } } });
    p.near.write('one');
    p.near.write('two');
    await untilQuiet();
    expect(p.farEvents.log).toEqual(['open']);
    p.far.write('an answer already');
    expect(await p.nearEvents.messages.next()).toBe('an answer already');
    opening.open();
    expect(await p.farEvents.messages.take(2)).toEqual(['one', 'two']);
  },

  async 'sends what was written, and keeps messages, when it is closed during onOpen'(row) {
    const opening = gate();
    await using p = await pair(row, { far: { on: { onOpen: () => opening.promise } } });
    p.near.write('question');
    p.far.write('goodbye');
    p.far.pause();
    const closed = p.far.close();
    expect(await p.nearEvents.messages.next()).toBe('goodbye');
    await untilQuiet();
    expect(p.farEvents.log).toEqual(['open']);
    opening.open();
    expect(await p.farEvents.messages.next()).toBe('question');
    await within(closed, 'the close');
    expect(p.farEvents.log).toEqual(['open', 'message', 'close']);
  },

  async 'rejects connect() when it is destroyed during onOpen, and ignores a later failure of onOpen'(
    row,
  ) {
    const opening = gate();
    const events = new Recorder<string>('the client', { onOpen: () => opening.promise });
    const connecting = rejection(pair(row, { near: { on: events } }));
    (await events.opened.next()).destroy();
    expect((await within(connecting, 'connect to reject')).code).toBe('CONNECTION_LOST');
    opening.fail(new Error('too late'));
    await events.closed.next();
    await turns(2);
    expect(events.log).toEqual(['open', 'close']);
  },
});
