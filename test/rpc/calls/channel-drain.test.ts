/** When a session is closed whose peer has sent goaway. */
import { expect, test } from 'vitest';
import { ChannelDrain } from '../../../src/rpc/calls/channel-drain.js';
import type { PeerSession } from '../../../src/rpc/peer/peer-session.js';
import { fakeTime, pass } from '../../fixtures/fake-time.js';

fakeTime();

/** A drain of a session that counts its close() calls. `calls`: those in flight. */
function drainOf(calls: { pending: number; serving: number }, drainTimeout = 10_000) {
  const session = { closes: 0, close: () => void session.closes++ };
  const peer = { session, isGoingAway: true } as unknown as PeerSession;
  const drain = new ChannelDrain(peer, calls, drainTimeout);
  return { session, drain, calls };
}

test('a goaway closes a session without calls at once', () => {
  const { session, drain } = drainOf({ pending: 0, serving: 0 });
  drain.onGoaway();
  expect(session.closes).toBe(1);
});

test.each([
  [10_000, 60_000],
  [90_000, 90_000],
])(
  'calls of the peer keep a session open after its goaway for a limited time (drainTimeout %d)',
  async (drainTimeout, limit) => {
    const { session, drain } = drainOf({ pending: 0, serving: 1 }, drainTimeout);
    drain.onGoaway();
    await pass(limit / 2);
    drain.onGoaway();
    await pass(limit / 2 - 1);
    expect(session.closes).toBe(0);
    await pass(1);
    expect(session.closes).toBe(1);
    drain.onClose();
  },
);

test('after this time own calls keep it open, and the last of them closes it', async () => {
  const { session, drain, calls } = drainOf({ pending: 1, serving: 1 });
  drain.onGoaway();
  await pass(60_000);
  expect(session.closes).toBe(0);
  calls.pending = 0;
  drain.onCallSettled();
  expect(session.closes).toBe(1);
  drain.onClose();
});

test('the end of the session ends the wait', async () => {
  const { drain } = drainOf({ pending: 0, serving: 1 });
  drain.onGoaway();
  drain.onClose();
});
