/** How a session ends. The same on every transport. */
import { expect } from 'vitest';
import { lengthPrefixed, raw } from '../../../src/transport/index.js';
import { expectServerContinues, untilQuiet } from '../../fixtures/session-probes.js';
import { pair, runForEveryTransport, thrown } from '../../fixtures/transports.js';
import { block, within } from '../../fixtures/waiting.js';

runForEveryTransport({
  async 'closes both sides once, without an error, when the client closes'(row) {
    await using p = await pair(row);
    const closing = p.clientSession.close();
    expect(p.clientSession.closed).toBe(true);
    expect(p.clientSession.close()).toBe(closing);
    await closing;
    expect(p.clientEvents.log).toEqual(['open', 'close']);
    await p.serverEvents.closed.next();
    await untilQuiet();
    expect(p.serverEvents.log).toEqual(['open', 'close']);
    await p.clientSession.close();
    p.clientSession.destroy();
  },

  async 'closes both sides once, without an error, when the server closes'(row) {
    await using p = await pair(row);
    await p.serverSession.close();
    await p.clientEvents.closed.next();
    await untilQuiet();
    expect(p.clientEvents.log).toEqual(['open', 'close']);
    expect(p.serverEvents.log).toEqual(['open', 'close']);
  },

  async 'delivers the last messages when both sides close in the same tick'(row) {
    await using p = await pair(row);
    p.clientSession.write('last words');
    p.serverSession.write('last words');
    await Promise.all([p.clientSession.close(), p.serverSession.close()]);
    expect(p.clientEvents.log).toEqual(['open', 'message', 'close']);
    expect(p.serverEvents.log).toEqual(['open', 'message', 'close']);
  },

  async 'sends queued messages and receives messages of the peer while it closes'(row) {
    await using p = await pair(row, {
      clientSide: { codec: lengthPrefixed() },
      serverSide: {
        codec: lengthPrefixed(),
        on: { onMessage: (session, message) => void session.write(message) },
      },
    });
    const sent = Array.from({ length: 100 }, (_, i) => Buffer.alloc(10_000, i));
    for (const message of sent) p.clientSession.write(message);
    await p.clientSession.close();
    expect(Buffer.concat(p.serverEvents.messages.all).equals(Buffer.concat(sent))).toBe(true);
    expect(Buffer.concat(p.clientEvents.messages.all).equals(Buffer.concat(sent))).toBe(true);
  },

  async 'receives all messages that precede the end, when that takes several turns'(row) {
    // A turn of the event loop is timed after some kilobytes.
    const words = Array.from({ length: 12 }, (_, i) => `word ${i}`.padEnd(4_100, '.'));
    await using p = await pair(row, {
      // Longer than the share of a session in one turn of the event loop.
      clientSide: { on: { onMessage: () => block(12) } },
      serverSide: {
        on: {
          onMessage(session) {
            for (const word of words) session.write(word);
            void session.close();
          },
        },
      },
    });
    p.clientSession.write('begin');
    await p.clientSession.close();
    expect(p.clientEvents.messages.all).toEqual(words);
    expect(p.clientEvents.log.slice(-2)).toEqual(['message', 'close']);
  },

  async 'settles close() of a paused session'(row) {
    await using p = await pair(row, { clientSide: { waitTime: 300_000 } });
    p.clientSession.pause();
    p.serverSession.write('unread');
    await untilQuiet();
    await within(p.clientSession.close(), 'the close');
    // close() resumes a paused session, so the message is delivered.
    expect(p.clientEvents.log).toEqual(['open', 'message', 'close']);
  },

  async 'destroys itself when the peer has not ended within waitTime'(row) {
    await using p = await pair(row, {
      clientSide: { waitTime: 40 },
      serverSide: { on: { onOpen: (session) => session.pause() } },
    });
    const before = performance.now();
    p.clientSession.write('never read');
    await within(p.clientSession.close(), 'the close');
    // A timer may be a little early.
    expect(performance.now() - before).toBeGreaterThan(35);
    expect(p.serverSession.closed).toBe(false);
    p.serverSession.resume();
    await p.serverEvents.closed.next();
    p.serverEvents.errors.dismiss();
  },

  async 'reports the error of destroy() to onError, and closes at once'(row) {
    await using p = await pair(row);
    const reason = new Error('enough');
    p.clientSession.destroy(reason);
    expect(p.clientSession.closed).toBe(true);
    expect(thrown(() => p.clientSession.write('x')).code).toBe('SESSION_CLOSED');
    p.clientSession.destroy(new Error('a second reason is ignored'));
    await p.clientEvents.closed.next();
    expect(p.clientEvents.errors.all).toMatchObject([{ code: 'SESSION_DESTROYED', cause: reason }]);
    expect(p.clientEvents.log).toEqual(['open', 'error SESSION_DESTROYED', 'close']);
    p.clientEvents.errors.dismiss();
    await p.serverEvents.closed.next();
    p.serverEvents.errors.dismiss();
  },

  async 'delivers no message after destroy() in onMessage'(row) {
    await using p = await pair(row, {
      serverSide: { on: { onMessage: (session) => session.destroy() } },
    });
    for (const line of ['one', 'two', 'three']) p.clientSession.write(line);
    await p.serverEvents.closed.next();
    expect(p.serverEvents.messages.all).toEqual(['one']);
    await p.clientEvents.closed.next();
    p.clientEvents.errors.dismiss();
  },

  async 'reports BAD_FRAME when the peer ends inside a message, and the server continues'(row) {
    await using p = await pair(row, { clientSide: { codec: raw() } });
    p.clientSession.writeBytes(Buffer.from('whole\nhal'));
    void p.clientSession.close();
    expect(await p.serverEvents.errors.next()).toMatchObject({
      code: 'BAD_FRAME',
      message: expect.stringMatching(/ended the stream inside a message, after 3 bytes/),
    });
    await p.serverEvents.closed.next();
    expect(p.serverEvents.messages.all).toEqual(['whole']);
    await p.clientEvents.closed.next();
    p.clientEvents.errors.dismiss();
    await expectServerContinues(row, p.server.address, p.serverEvents);
  },

  async 'is in the sessions of its endpoint until it is closed'(row) {
    await using p = await pair(row);
    expect([...p.server.sessions]).toEqual([p.serverSession]);
    expect([...p.client.sessions]).toEqual([p.clientSession]);
    expect(p.serverSession.endpoint).toBe(p.server);
    expect(p.clientSession.endpoint).toBe(p.client);
    await p.clientSession.close();
    await p.serverEvents.closed.next();
    expect(p.server.sessions.size).toBe(0);
    expect(p.client.sessions.size).toBe(0);
  },
});
