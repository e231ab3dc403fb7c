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
      far: { on: { onMessage: (session, line) => line === 'stop' && session.pause() } },
    });
    p.near.write('stop');
    for (let i = 0; i < 50; i++) p.near.write(`${i}`);
    await p.farEvents.messages.next();
    for (let i = 50; i < 100; i++) {
      p.near.write(`${i}`);
      await turns();
    }
    await untilQuiet();
    expect(p.farEvents.messages.unread).toEqual([]);
    p.far.resume();
    expect(await p.farEvents.messages.take(100)).toEqual(
      Array.from({ length: 100 }, (_, i) => `${i}`),
    );
  },

  async 'continues in order when onMessage pauses and resumes it'(row) {
    const toggle = (session: Session<string>): void => {
      session.pause();
      session.resume();
    };
    await using p = await pair(row, { far: { on: { onMessage: toggle } } });
    const sent = Array.from({ length: 200 }, (_, i) => `${i}`);
    for (const line of sent) p.near.write(line);
    expect(await p.farEvents.messages.take(sent.length)).toEqual(sent);
  },

  async 'keeps messages until resume() when onOpen pauses it'(row) {
    await using p = await pair(row, { far: { on: { onOpen: (session) => session.pause() } } });
    p.near.write('patience');
    await untilQuiet();
    expect(p.farEvents.log).toEqual(['open']);
    p.far.resume();
    expect(await p.farEvents.messages.next()).toBe('patience');
  },

  async 'returns false from write() at highWaterMark, and settles drained() below it'(row) {
    await using p = await pair(row, { near: { highWaterMark: 1_000 } });
    expect(p.near.write('x'.repeat(500))).toBe(true);
    await p.near.drained();
    expect(p.near.write('x'.repeat(600))).toBe(false);
    expect(p.near.queuedBytes).toBeGreaterThan(1_000);
    await within(p.near.drained(), 'drained()');
    expect(p.near.queuedBytes).toBeLessThan(1_000);
    expect(p.near.write('more')).toBe(true);
    expect(await p.farEvents.messages.take(3)).toEqual(['x'.repeat(500), 'x'.repeat(600), 'more']);
  },

  async 'settles drained() when a paused peer reads again, and loses nothing'(row) {
    await using p = await pair(row, {
      near: { codec: lengthPrefixed(), maxQueuedBytes: Number.POSITIVE_INFINITY },
      far: { codec: lengthPrefixed(), on: { onOpen: (session) => session.pause() } },
    });
    const count = await fillQueues(p.near);
    let drained = false;
    const draining = p.near.drained().then(() => {
      drained = true;
    });
    await untilQuiet();
    expect(drained).toBe(false);
    p.far.resume();
    await within(draining, 'drained()');
    const got = await p.farEvents.messages.take(count);
    expect(got.every((message) => message.equals(got[0] as Buffer))).toBe(true);
  },

  async 'throws SESSION_BLOCKED when maxQueuedBytes are queued, also within a tick'(row) {
    await using p = await pair(row, { near: { maxQueuedBytes: 1_000 } });
    const accepted: string[] = [];
    const error = thrown(() => {
      for (let i = 0; i < 1_000; i++) {
        p.near.write(`${i}`.padStart(99, '0'));
        accepted.push(`${i}`.padStart(99, '0'));
      }
    });
    expect(error).toMatchObject({
      code: 'SESSION_BLOCKED',
      message: expect.stringMatching(/1\d\d\d bytes are queued, maxQueuedBytes is 1000/),
    });
    expect(accepted.length).toBe(10);
    expect(await p.farEvents.messages.take(10)).toEqual(accepted);
    await until(() => p.near.queuedBytes === 0, 'the queue is empty');
    p.near.write('free again');
    expect(await p.farEvents.messages.next()).toBe('free again');
  },

  async 'counts each pending send() after the first 64 as 512 queued bytes'(row) {
    await using p = await pair(row, { near: { maxQueuedBytes: 40_000 } });
    const outcomes = await within(
      Promise.allSettled(Array.from({ length: 1_000 }, () => p.near.send('x'))),
      'all are settled',
    );
    const sent = outcomes.filter(({ status }) => status === 'fulfilled').length;
    expect(sent).toBeGreaterThan(120);
    expect(sent).toBeLessThan(150);
    const blocked = outcomes.filter(
      (outcome) => outcome.status === 'rejected' && outcome.reason.code === 'SESSION_BLOCKED',
    );
    expect(blocked).toHaveLength(1_000 - sent);
    await p.farEvents.messages.take(sent);
    await p.near.send('free again');
    expect(await p.farEvents.messages.next()).toBe('free again');
  },

  async 'throws SESSION_BLOCKED when maxQueuedBytes wait for a paused peer'(row) {
    const maxQueuedBytes = 256 * 1024;
    await using p = await pair(row, {
      near: { codec: lengthPrefixed(), maxQueuedBytes },
      far: { codec: lengthPrefixed(), on: { onOpen: (session) => session.pause() } },
    });
    const count = await fillQueues(p.near);
    const error = thrown(() => {
      for (;;) p.near.write(randomBytes(CHUNK_BYTES));
    });
    expect(error.code).toBe('SESSION_BLOCKED');
    await untilQuiet();
    expect(p.near.queuedBytes).toBeLessThanOrEqual(maxQueuedBytes + CHUNK_BYTES + 4);
    p.far.resume();
    await p.farEvents.messages.take(count);
    expect(p.near.closed).toBe(false);
  },
});
