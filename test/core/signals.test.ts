import { getEventListeners } from 'node:events';
import { expect, test } from 'vitest';
import { followSignal, linkSignals } from '../../src/core/signals.js';
import { pause } from '../../src/core/timers.js';

const listenerCount = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length;

test('followSignal() adds one listener for all followers, and removes it with the last one', () => {
  const { signal } = new AbortController();
  const releases = Array.from({ length: 1_000 }, () => followSignal(signal, () => {}));
  expect(listenerCount(signal)).toBe(1);
  for (const release of releases.slice(1)) release();
  expect(listenerCount(signal)).toBe(1);
  releases[0]?.();
  expect(listenerCount(signal)).toBe(0);
});

test('followSignal() calls each follower once, and not after its removal', () => {
  const abort = new AbortController();
  const called: string[] = [];
  followSignal(abort.signal, () => called.push('a'));
  const release = followSignal(abort.signal, () => called.push('b'));
  followSignal(abort.signal, () => called.push('c'));
  release();
  release();
  abort.abort();
  expect(called).toEqual(['a', 'c']);
  expect(listenerCount(abort.signal)).toBe(0);
});

test('followSignal() does not call a follower of an aborted signal, or of undefined', () => {
  const called: string[] = [];
  followSignal(AbortSignal.abort(), () => called.push('aborted'))();
  followSignal(undefined, () => called.push('none'))();
  expect(called).toEqual([]);
});

test('followSignal() follows a signal again after its last follower was removed', () => {
  const abort = new AbortController();
  followSignal(abort.signal, () => {})();
  let called = 0;
  followSignal(abort.signal, () => called++);
  abort.abort();
  expect(called).toBe(1);
});

test.each([0, 1])(
  'linkSignals() aborts with the reason of signal %i if that aborts first',
  (first) => {
    const controllers = [new AbortController(), new AbortController()] as const;
    const linked = linkSignals(controllers[0].signal, controllers[1].signal);
    const reason = new Error('aborted');
    controllers[first]?.abort(reason);
    expect(linked.signal.reason).toBe(reason);
    expect(controllers.map(({ signal }) => listenerCount(signal))).toEqual([0, 0]);
  },
);

test('linkSignals() removes its listeners when it is released', () => {
  const controllers = [new AbortController(), new AbortController()] as const;
  const linked = linkSignals(controllers[0].signal, controllers[1].signal);
  linked.release();
  controllers[0].abort();
  expect(linked.signal.aborted).toBe(false);
  expect(controllers.map(({ signal }) => listenerCount(signal))).toEqual([0, 0]);
  expect(linkSignals(AbortSignal.abort('before')).signal.reason).toBe('before');
});

test('pause() resolves with whether its time has passed, and removes its listener', async () => {
  const abort = new AbortController();
  expect(await pause(1, abort.signal)).toBe(true);
  expect(listenerCount(abort.signal)).toBe(0);
  const waiting = pause(60_000, abort.signal);
  abort.abort();
  expect(await waiting).toBe(false);
  expect(await pause(60_000, abort.signal)).toBe(false);
});
