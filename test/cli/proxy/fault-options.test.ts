/** The values of the options for faults. */
import { describe, expect, test } from 'vitest';
import {
  faultsOf,
  parseBytes,
  parseDelay,
  parseShare,
} from '../../../src/cli/proxy/fault-options.js';
import { FAULT_DEFAULTS } from '../../../src/testing/index.js';
import { getty } from '../run-getty.js';

describe('the faults of getty proxy', () => {
  test('are those of proxy()', async () => {
    const { stdout } = await getty('proxy', '--help');
    const flagOf = (name: string): string =>
      name.replace(/[A-Z]/g, (one) => `-${one.toLowerCase()}`);
    for (const name of Object.keys(FAULT_DEFAULTS))
      expect(stdout).toContain(`\n  --${flagOf(name)} `);
  });

  test.each([
    ['50ms', { latency: 50, jitter: undefined }],
    ['1.5s', { latency: 1_500, jitter: undefined }],
    ['50±10ms', { latency: 40, jitter: 20 }],
    ['1s±200ms', { latency: 800, jitter: 400 }],
    ['1h', { latency: 3_600_000, jitter: undefined }],
    ['50+-50ms', { latency: 0, jitter: 100 }],
  ])('the delay %s', (text, expected) => {
    expect(parseDelay('--latency', text)).toEqual(expected);
  });

  test.each([
    '',
    'x',
    '-1',
    '50',
    '50±10',
    '50ms±10',
    '50±60ms',
    '25h',
    '2000m',
    '50ms10',
    '3±2±1ms',
  ])('%j is no delay', (text) => {
    expect(() => parseDelay('--latency', text)).toThrow('--latency: got');
  });

  test.each([
    ['1500', 1_500],
    ['100k', 100_000],
    ['1.5M', 1_500_000],
    ['64Ki', 65_536],
    ['1Mi', 1_048_576],
  ])('%s are %i bytes', (text, expected) => {
    expect(parseBytes('--bandwidth', text)).toBe(expected);
  });

  test.each(['', '0', '-5', '5kb', '9999999999G'])('%j are no bytes', (text) => {
    expect(() => parseBytes('--bandwidth', text)).toThrow('--bandwidth: got');
  });

  test.each([
    ['0.01', 0.01],
    ['.5', 0.5],
    ['1%', 0.01],
    ['100%', 1],
  ])('%s is the part %d', (text, expected) => {
    expect(parseShare('--loss', text)).toBe(expected);
  });

  test.each(['', '2', '101%', 'x'])('%j is no part', (text) => {
    expect(() => parseShare('--loss', text)).toThrow('--loss: got');
  });

  test('are for both directions, or for one', () => {
    const latency = parseDelay('--latency', '50ms');
    expect(faultsOf({ latency }, 'stream')).toMatchObject({ latency: 50 });
    expect(faultsOf({ latency, direction: 'toClient' }, 'stream')).toMatchObject({
      toClient: { latency: 50 },
    });
  });

  test('have one jitter', () => {
    const latency = parseDelay('--latency', '50±10ms');
    const jitter = parseDelay('--jitter', '10ms');
    expect(() => faultsOf({ latency, jitter }, 'stream')).toThrow('got two jitters');
    expect(() => faultsOf({ jitter: latency }, 'stream')).toThrow('without ±');
    expect(faultsOf({ jitter }, 'stream')).toMatchObject({ jitter: 10 });
  });
});
