/** The history of calls finds what calls must not do. */
import { expect, test } from 'vitest';
import { RpcError } from '../../src/rpc/index.js';
import { History, type RecordedCall } from './history.js';

const ORDER = { kind: 'order', host: 'a', isIdempotent: false };
const READ = { kind: 'read', host: 'a', isIdempotent: true };
const unsent = new RpcError('UNAVAILABLE', 'not sent', { unsent: true });
let now = 0;

test.each<[string, string, (history: History) => void]>([
  ['a call without an outcome', '0 outcomes', (history) => void history.begin(ORDER, 100)],
  [
    'a call with two outcomes',
    '2 outcomes',
    (history) => {
      const call = history.begin(READ, 100);
      history.run(call.id, 'b');
      history.end(call);
      history.end(call);
    },
  ],
  [
    'a call that is not idempotent and runs twice',
    'not idempotent, and ran 2x',
    (history) => {
      const call = history.begin(ORDER, 100);
      history.run(call.id, 'b');
      history.run(call.id, 'b');
      history.end(call);
    },
  ],
  ['a success that did not run', 'did not run', (history) => history.end(history.begin(READ, 100))],
  [
    'an unsent call that ran',
    'unsent, and ran 1x',
    (history) => {
      const call = history.begin(ORDER, 100);
      history.run(call.id, 'b');
      history.end(call, unsent);
    },
  ],
  [
    'a late outcome',
    '1 ms late',
    (history) => {
      const call = history.begin(ORDER, 100);
      now += 151;
      history.end(call, unsent);
    },
  ],
  ['an unknown call', 'unknown call 7', (history) => history.run('7', 'b')],
])('finds %s: %s', (_, expected, act) => {
  const history = new History(() => now);
  act(history);
  history.check();
  expect(history.violations).toEqual([expect.stringContaining(expected)]);
});

test.each<[string, (history: History) => void]>([
  [
    'a late outcome of a host that was paused',
    (history) => {
      const call = history.begin(ORDER, 100);
      now += 1_000;
      history.hostResumed('a');
      history.end(call, unsent);
    },
  ],
  [
    'a call whose host crashed',
    (history) => {
      history.begin(ORDER, 100);
      history.hostCrashed('a');
    },
  ],
])('accepts %s', (_, act) => {
  const history = new History(() => now);
  act(history);
  history.check();
  expect(history.violations).toEqual([]);
});

test('a call is unfinished until it has an outcome, and has run if it succeeded', () => {
  const history = new History(() => now);
  const [call, oneway] = [READ, { ...READ, isOneway: true }].map((kind) =>
    history.begin(kind, 100),
  );
  expect(history.unfinishedCalls).toBe(2);
  history.end(call as RecordedCall);
  history.end(oneway as RecordedCall);
  expect(history.unfinishedCalls).toBe(1);
  history.run('1', 'b');
  expect(history.unfinishedCalls).toBe(0);
});
