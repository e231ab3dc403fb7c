/** What a session does when its peer or its program is slow. The same on every transport. */
import { randomBytes } from 'node:crypto';
import { expect } from 'vitest';
import { lengthPrefixed, type Session } from '../../../src/transport/index.js';
import { CHUNK_BYTES, fillQueues, untilQuiet } from '../../fixtures/session-probes.js';
import { pair, runForEveryTransport, thrown } from '../../fixtures/transports.js';
import { turns, until, within } from '../../fixtures/waiting.js';

runForEveryTransport({
  async 'delivers no message while it is paused, and loses none'(row) {
    await using p = await pair(row, {
      serverSide: { on: { onMessage: (session, line) => line === 'stop' && session.pause() } },
    });
    p.clientSession.write('stop');
    for (let i = 0; i < 50; i++) p.clientSession.write(`${i}`);
    await p.serverEvents.messages.next();
    for (let i = 50; i < 100; i++) {
      p.clientSession.write(`${i}`);
      await turns();
    }
    await untilQuiet();
    expect(p.serverEvents.messages.unread).toEqual([]);
    p.serverSession.resume();
    expect(await p.serverEvents.messages.take(100)).toEqual(
      Array.from({ length: 100 }, (_, i) => `${i}`),
    );
  },

  async 'continues in order when onMessage pauses and resumes it'(row) {
    const toggle = (session: Session<string>): void => {
      session.pause();
      session.resume();
    };
    await using p = await pair(row, { serverSide: { on: { onMessage: toggle } } });
    const sent = Array.from({ length: 200 }, (_, i) => `${i}`);
    for (const line of sent) p.clientSession.write(line);
    expect(await p.serverEvents.messages.take(sent.length)).toEqual(sent);
  },

  async 'keeps messages until resume() when onOpen pauses it'(row) {
    await using p = await pair(row, {
      serverSide: { on: { onOpen: (session) => session.pause() } },
    });
    p.clientSession.write('patience');
    await untilQuiet();
    expect(p.serverEvents.log).toEqual(['open']);
    p.serverSession.resume();
    expect(await p.serverEvents.messages.next()).toBe('patience');
  },

  async 'returns false from write() at highWaterMark, and settles drained() below it'(row) {
    await using p = await pair(row, { clientSide: { highWaterMark: 1_000 } });
    expect(p.clientSession.write('x'.repeat(500))).toBe(true);
    await p.clientSession.drained();
    expect(p.clientSession.write('x'.repeat(600))).toBe(false);
    expect(p.clientSession.queuedBytes).toBeGreaterThan(1_000);
    await within(p.clientSession.drained(), 'drained()');
    expect(p.clientSession.queuedBytes).toBeLessThan(1_000);
    expect(p.clientSession.write('more')).toBe(true);
    expect(await p.serverEvents.messages.take(3)).toEqual([
      'x'.repeat(500),
      'x'.repeat(600),
      'more',
    ]);
  },

  async 'settles drained() when a paused peer reads again, and loses nothing'(row) {
    await using p = await pair(row, {
      clientSide: { codec: lengthPrefixed(), maxQueuedBytes: Number.POSITIVE_INFINITY },
      serverSide: { codec: lengthPrefixed(), on: { onOpen: (session) => session.pause() } },
    });
    const count = await fillQueues(p.clientSession);
    let drained = false;
    const draining = p.clientSession.drained().then(() => {
      drained = true;
    });
    await untilQuiet();
    expect(drained).toBe(false);
    p.serverSession.resume();
    await within(draining, 'drained()');
    const got = await p.serverEvents.messages.take(count);
    expect(got.every((message) => message.equals(got[0] as Buffer))).toBe(true);
  },

  async 'throws SESSION_BLOCKED when maxQueuedBytes are queued, also within a tick'(row) {
    await using p = await pair(row, { clientSide: { maxQueuedBytes: 1_000 } });
    const accepted: string[] = [];
    const error = thrown(() => {
      for (let i = 0; i < 1_000; i++) {
        p.clientSession.write(`${i}`.padStart(99, '0'));
        accepted.push(`${i}`.padStart(99, '0'));
      }
    });
    expect(error).toMatchObject({
      code: 'SESSION_BLOCKED',
      message: expect.stringMatching(/1\d\d\d bytes are queued, maxQueuedBytes is 1000/),
    });
    expect(accepted.length).toBe(10);
    expect(await p.serverEvents.messages.take(10)).toEqual(accepted);
    await until(() => p.clientSession.queuedBytes === 0, 'the queue is empty');
    p.clientSession.write('free again');
    expect(await p.serverEvents.messages.next()).toBe('free again');
  },

  async 'counts each pending send() after the first 64 as 512 queued bytes'(row) {
    await using p = await pair(row, { clientSide: { maxQueuedBytes: 40_000 } });
    const outcomes = await within(
      Promise.allSettled(Array.from({ length: 1_000 }, () => p.clientSession.send('x'))),
      'all are settled',
    );
    const sent = outcomes.filter(({ status }) => status === 'fulfilled').length;
    expect(sent).toBeGreaterThan(120);
    expect(sent).toBeLessThan(150);
    const blocked = outcomes.filter(
      (outcome) => outcome.status === 'rejected' && outcome.reason.code === 'SESSION_BLOCKED',
    );
    expect(blocked).toHaveLength(1_000 - sent);
    await p.serverEvents.messages.take(sent);
    await p.clientSession.send('free again');
    expect(await p.serverEvents.messages.next()).toBe('free again');
  },

  async 'throws SESSION_BLOCKED when maxQueuedBytes wait for a paused peer'(row) {
    const maxQueuedBytes = 256 * 1024;
    await using p = await pair(row, {
      clientSide: { codec: lengthPrefixed(), maxQueuedBytes },
      serverSide: { codec: lengthPrefixed(), on: { onOpen: (session) => session.pause() } },
    });
    const count = await fillQueues(p.clientSession);
    const error = thrown(() => {
      for (;;) p.clientSession.write(randomBytes(CHUNK_BYTES));
    });
    expect(error.code).toBe('SESSION_BLOCKED');
    await untilQuiet();
    expect(p.clientSession.queuedBytes).toBeLessThanOrEqual(maxQueuedBytes + CHUNK_BYTES + 4);
    p.serverSession.resume();
    await p.serverEvents.messages.take(count);
    expect(p.clientSession.closed).toBe(false);
  },
});
