/** How a session ends. The same on every transport. */
import { expect } from 'vitest';
import { lengthPrefixed, raw } from '../../../src/transport/index.js';
import { expectServerContinues, untilQuiet } from '../../fixtures/session-probes.js';
import { pair, runForEveryTransport, thrown } from '../../fixtures/transports.js';
import { within } from '../../fixtures/waiting.js';

runForEveryTransport({
  async 'closes both sides once, without an error, when the client closes'(row) {
    await using p = await pair(row);
    const closing = p.near.close();
    expect(p.near.closed).toBe(true);
    expect(p.near.close()).toBe(closing);
    await closing;
    expect(p.nearEvents.log).toEqual(['open', 'close']);
    await p.farEvents.closed.next();
    await untilQuiet();
    expect(p.farEvents.log).toEqual(['open', 'close']);
    await p.near.close();
    p.near.destroy();
  },

  async 'closes both sides once, without an error, when the server closes'(row) {
    await using p = await pair(row);
    await p.far.close();
    await p.nearEvents.closed.next();
    await untilQuiet();
    expect(p.nearEvents.log).toEqual(['open', 'close']);
    expect(p.farEvents.log).toEqual(['open', 'close']);
  },

  async 'delivers the last messages when both sides close in the same tick'(row) {
    await using p = await pair(row);
    p.near.write('last words');
    p.far.write('last words');
    await Promise.all([p.near.close(), p.far.close()]);
    expect(p.nearEvents.log).toEqual(['open', 'message', 'close']);
    expect(p.farEvents.log).toEqual(['open', 'message', 'close']);
  },

  async 'sends queued messages and receives messages of the peer while it closes'(row) {
    await using p = await pair(row, {
      near: { codec: lengthPrefixed() },
      far: {
        codec: lengthPrefixed(),
        on: { onMessage: (session, message) => void session.write(message) },
      },
    });
    const sent = Array.from({ length: 100 }, (_, i) => Buffer.alloc(10_000, i));
    for (const message of sent) p.near.write(message);
    await p.near.close();
    expect(Buffer.concat(p.farEvents.messages.all).equals(Buffer.concat(sent))).toBe(true);
    expect(Buffer.concat(p.nearEvents.messages.all).equals(Buffer.concat(sent))).toBe(true);
  },

  async 'settles close() of a paused session'(row) {
    await using p = await pair(row, { near: { waitTime: 300_000 } });
    p.near.pause();
    p.far.write('unread');
    await untilQuiet();
    await within(p.near.close(), 'the close');
    expect(p.nearEvents.log).toEqual(['open', 'message', 'close']);
  },

  async 'destroys itself when the peer has not ended within waitTime'(row) {
    await using p = await pair(row, {
      near: { waitTime: 40 },
      far: { on: { onOpen: (session) => session.pause() } },
    });
    const before = performance.now();
    p.near.write('never read');
    await within(p.near.close(), 'the close');
    expect(performance.now() - before).toBeGreaterThan(35);
    expect(p.far.closed).toBe(false);
    p.far.resume();
    await p.farEvents.closed.next();
    p.farEvents.errors.dismiss();
  },

  async 'reports the error of destroy() to onError, and closes at once'(row) {
    await using p = await pair(row);
    const reason = new Error('enough');
    p.near.destroy(reason);
    expect(p.near.closed).toBe(true);
    expect(thrown(() => p.near.write('x')).code).toBe('SESSION_CLOSED');
    p.near.destroy(new Error('a second reason is ignored'));
    await p.nearEvents.closed.next();
    expect(p.nearEvents.errors.all).toMatchObject([{ code: 'SESSION_DESTROYED', cause: reason }]);
    expect(p.nearEvents.log).toEqual(['open', 'error SESSION_DESTROYED', 'close']);
    p.nearEvents.errors.dismiss();
    await p.farEvents.closed.next();
    p.farEvents.errors.dismiss();
  },

  async 'delivers no message after destroy() in onMessage'(row) {
    await using p = await pair(row, { far: { on: { onMessage: (session) => session.destroy() } } });
    for (const line of ['one', 'two', 'three']) p.near.write(line);
    await p.farEvents.closed.next();
    expect(p.farEvents.messages.all).toEqual(['one']);
    await p.nearEvents.closed.next();
    p.nearEvents.errors.dismiss();
  },

  async 'reports BAD_FRAME when the peer ends inside a message, and the server continues'(row) {
    await using p = await pair(row, { near: { codec: raw() } });
    p.near.writeBytes(Buffer.from('whole\nhal'));
    void p.near.close();
    expect(await p.farEvents.errors.next()).toMatchObject({
      code: 'BAD_FRAME',
      message: expect.stringMatching(/ended the stream inside a message, after 3 bytes/),
    });
    await p.farEvents.closed.next();
    expect(p.farEvents.messages.all).toEqual(['whole']);
    await p.nearEvents.closed.next();
    p.nearEvents.errors.dismiss();
    await expectServerContinues(row, p.server.address, p.farEvents);
  },

  async 'is in the sessions of its endpoint until it is closed'(row) {
    await using p = await pair(row);
    expect([...p.server.sessions]).toEqual([p.far]);
    expect([...p.client.sessions]).toEqual([p.near]);
    expect(p.far.endpoint).toBe(p.server);
    expect(p.near.endpoint).toBe(p.client);
    await p.near.close();
    await p.farEvents.closed.next();
    expect(p.server.sessions.size).toBe(0);
    expect(p.client.sessions.size).toBe(0);
  },
});
