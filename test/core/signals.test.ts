import { getEventListeners } from 'node:events';
import { expect, test } from 'vitest';
import { followSignal, linkSignals } from '../../src/core/signals.js';
import { pause } from '../../src/core/timers.js';

const listeners = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length;

test('a signal has one listener however many follow it, and none when they have ended', () => {
  const { signal } = new AbortController();
  const releases = Array.from({ length: 1_000 }, () => followSignal(signal, () => {}));
  expect(listeners(signal)).toBe(1);
  for (const release of releases.slice(1)) release();
  expect(listeners(signal)).toBe(1);
  releases[0]?.();
  expect(listeners(signal)).toBe(0);
});

test('each follower is called once, and not after its release', () => {
  const abort = new AbortController();
  const called: string[] = [];
  followSignal(abort.signal, () => called.push('a'));
  const release = followSignal(abort.signal, () => called.push('b'));
  followSignal(abort.signal, () => called.push('c'));
  release();
  release();
  abort.abort();
  expect(called).toEqual(['a', 'c']);
  expect(listeners(abort.signal)).toBe(0);
});

test('a signal that has aborted, and no signal, call nothing', () => {
  const called: string[] = [];
  followSignal(AbortSignal.abort(), () => called.push('aborted'))();
  followSignal(undefined, () => called.push('none'))();
  expect(called).toEqual([]);
});

test('a signal can be followed again after all have left', () => {
  const abort = new AbortController();
  followSignal(abort.signal, () => {})();
  let called = 0;
  followSignal(abort.signal, () => called++);
  abort.abort();
  expect(called).toBe(1);
});

test.each([0, 1])('linked signals abort with the reason of the first that aborts: %i', (first) => {
  const controllers = [new AbortController(), new AbortController()] as const;
  const linked = linkSignals(controllers[0].signal, controllers[1].signal);
  const reason = new Error('over');
  controllers[first]?.abort(reason);
  expect(linked.signal.reason).toBe(reason);
  expect(controllers.map(({ signal }) => listeners(signal))).toEqual([0, 0]);
});

test('linked signals leave nothing behind when they are released', () => {
  const controllers = [new AbortController(), new AbortController()] as const;
  const linked = linkSignals(controllers[0].signal, controllers[1].signal);
  linked.release();
  controllers[0].abort();
  expect(linked.signal.aborted).toBe(false);
  expect(controllers.map(({ signal }) => listeners(signal))).toEqual([0, 0]);
  expect(linkSignals(AbortSignal.abort('before')).signal.reason).toBe('before');
});

test('pause answers whether its time passed, and leaves no listener', async () => {
  const abort = new AbortController();
  expect(await pause(1, abort.signal)).toBe(true);
  expect(listeners(abort.signal)).toBe(0);
  const waiting = pause(60_000, abort.signal);
  abort.abort();
  expect(await waiting).toBe(false);
  expect(await pause(60_000, abort.signal)).toBe(false);
});
