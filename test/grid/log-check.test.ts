/** What the logs of a cell must show, and must not. */
import { describe, expect, test } from 'vitest';
import { checkLogs } from './log-check.js';

const check = (lines: readonly string[], runs: readonly string[] = [], crashedAt?: number) =>
  checkLogs([{ name: 'c1', lines, crashedAt }], runs);

const begin = (kind: string): string => `begin c1-1 1000 500 failover ${kind}`;
const SUCCESS = 'end c1-1 1010 OK false';

describe('the logs of a cell', () => {
  test('of a call that succeeds and runs once have no violation', () => {
    expect(check([begin('order'), SUCCESS], ['c1-1'])).toMatchObject({
      calls: 1,
      failed: 0,
      doubled: 0,
      lost: 0,
      violations: [],
    });
  });

  test.each([
    ['a call that is not idempotent and runs twice', [begin('order'), SUCCESS], ['c1-1', 'c1-1']],
    ['a call without an outcome', [begin('order')], ['c1-1']],
    ['a call with two outcomes', [begin('order'), SUCCESS, SUCCESS], ['c1-1']],
    ['a success of a call that did not run', [begin('order'), SUCCESS], []],
    ['an unsent call that ran', [begin('order'), 'end c1-1 1010 UNAVAILABLE true'], ['c1-1']],
    ['an outcome that is too late', [begin('order'), 'end c1-1 1800 DEADLINE_EXCEEDED false'], []],
    [
      'a wrong answer',
      [begin('order'), 'end c1-1 1010 WRONG_ANSWER:got_the_answer_x false'],
      ['c1-1'],
    ],
    ['a run of an unknown call', [begin('order'), SUCCESS], ['c1-1', 'c1-2']],
  ])('show %s', (_, lines, runs) => {
    expect(check(lines, runs).violations).toHaveLength(1);
  });

  test('allow an outcome that is late because the process did not run', () => {
    const lines = [begin('order'), 'stall 1300 1700', 'end c1-1 1800 DEADLINE_EXCEEDED false'];
    expect(check(lines).violations).toEqual([]);
  });

  test('allow that a killed process has no outcome', () => {
    expect(check([begin('order')], [], 1_100).violations).toEqual([]);
  });

  test('count failed, doubled and lost calls, and the longest time without a success', () => {
    const lines = [
      begin('read'),
      SUCCESS,
      'begin c1-2 1020 500 failfast order',
      'end c1-2 1520 DEADLINE_EXCEEDED false',
      'begin c1-3 1600 500 failfast note',
      'end c1-3 1601 OK false',
      'begin c1-4 1700 500 failfast note',
      'end c1-4 1701 OK false',
    ];
    const { timelines, ...report } = check(lines, ['c1-1', 'c1-1', 'c1-4']);
    expect(report).toMatchObject({ calls: 4, failed: 1, doubled: 1, lost: 1, violations: [] });
    expect(timelines[0]?.outage).toBe(591);
  });
});
