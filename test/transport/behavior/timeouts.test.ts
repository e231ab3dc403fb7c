/**
 * When a session closes for lack of messages, and when onCron is called. The same on every
 * transport.
 */
import { expect } from 'vitest';
import type { Session } from '../../../src/transport/index.js';
import { pair, runForEveryTransport } from '../../fixtures/transports.js';

runForEveryTransport({
  async 'closes with IDLE_TIMEOUT when nothing has arrived for idleTimeout'(row) {
    await using p = await pair(row, { serverSide: { idleTimeout: 40 } });
    const before = p.serverSession.active;
    expect(await p.serverEvents.errors.next()).toMatchObject({
      code: 'IDLE_TIMEOUT',
      message: expect.stringMatching(/silent for \d+ ms; idleTimeout is 40 ms/),
    });
    expect(Date.now() - before).toBeGreaterThanOrEqual(40);
    await p.serverEvents.closed.next();
    await p.clientEvents.closed.next();
    p.clientEvents.errors.dismiss();
  },

  async 'stays open while bytes arrive or updateActive() is called'(row) {
    const beat = (session: Session<string>): void => {
      session.updateActive();
      session.write('beat');
    };
    await using p = await pair(row, {
      clientSide: { cronPeriod: 80, idleTimeout: 1_200, on: { onCron: beat } },
      serverSide: { idleTimeout: 1_200 },
    });
    await p.clientEvents.crons.take(17);
    expect(p.serverSession.closed).toBe(false);
    expect(p.clientSession.closed).toBe(false);
  },

  async 'does not close with IDLE_TIMEOUT while it is paused'(row) {
    await using p = await pair(row, {
      clientSide: { cronPeriod: 20, on: { onCron: (session) => session.write('beat') } },
    });
    p.serverSession.pause();
    p.serverSession.idleTimeout = 40;
    await p.clientEvents.crons.take(8);
    expect(p.serverSession.closed).toBe(false);
    p.serverSession.idleTimeout = 0;
    p.serverSession.resume();
    expect(await p.serverEvents.messages.next()).toBe('beat');
  },

  async 'does not call onCron while close() waits'(row) {
    await using p = await pair(row, {
      clientSide: {
        cronPeriod: 5,
        waitTime: 200,
        on: { onCron: (session) => session.write('beat') },
      },
      serverSide: { allowHalfOpen: true },
    });
    await p.clientEvents.crons.next();
    await p.clientSession.close();
    expect(p.clientEvents.errors.all).toEqual([]);
    p.serverSession.destroy();
  },

  async 'calls onCron every cronPeriod until it is closed'(row) {
    await using p = await pair(row, { clientSide: { cronPeriod: 20, on: { onCron: () => {} } } });
    const [first = 0, , third = 0] = await p.clientEvents.crons.take(3);
    expect(third - first).toBeGreaterThan(30);
    await p.clientSession.close();
    expect(p.clientEvents.log.at(-1)).toBe('close');
  },
});
