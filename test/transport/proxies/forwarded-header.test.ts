/** X-Forwarded-For and Forwarded as headers. */
import { describe, expect, it } from 'vitest';
import { AddressList } from '../../../src/transport/proxies/address-list.js';
import { forwardedClient } from '../../../src/transport/proxies/forwarded-header.js';
import { processorTime } from '../../fixtures/waiting.js';

const trusted = new AddressList('trusted', ['10.0.0.0/8', '2001:db8:1::/48']);
const isTrusted = (host: string): boolean => trusted.has(host);
const xff = (value: string | undefined) =>
  forwardedClient({ 'x-forwarded-for': value }, { header: 'x-forwarded-for', isTrusted });
const forwarded = (value: string) =>
  forwardedClient({ forwarded: value }, { header: 'forwarded', isTrusted });

describe('X-Forwarded-For', () => {
  it.each<[string, string, number]>([
    ['203.0.113.7', '203.0.113.7', 0],
    ['203.0.113.7:50100', '203.0.113.7', 50_100],
    ['2001:DB8::7', '2001:db8::7', 0],
    ['[2001:db8::7]:50100', '2001:db8::7', 50_100],
    ['::ffff:203.0.113.7', '203.0.113.7', 0],
    ['198.51.100.1, 203.0.113.7', '203.0.113.7', 0],
    ['10.0.0.1, 203.0.113.7', '203.0.113.7', 0],
    ['203.0.113.7,10.0.0.1 , 10.0.0.2', '203.0.113.7', 0],
    ['203.0.113.7, 2001:db8:1::1, 10.0.0.2', '203.0.113.7', 0],
    ['nonsense, "", 203.0.113.7', '203.0.113.7', 0],
    ['203.0.113.7, unknown, 10.0.0.2', '10.0.0.2', 0],
    ['10.0.0.1, 10.0.0.2', '10.0.0.1', 0],
  ])('%s: %s', (value, host, port) => {
    expect(xff(value)).toEqual({ host, port });
  });

  it.each([undefined, '', ' ', 'unknown', '203.0.113.7, unknown'])(
    '%o names no client',
    (value) => {
      expect(xff(value)).toBeUndefined();
    },
  );

  it.each([
    '203.0.113.7,',
    'localhost',
    '203.0.113.7, 10.0.0',
    '1.2.3.4:99999',
    '1.2.3.4:a',
    '[::1',
  ])('%o is an error', (value) => expect(() => xff(value)).toThrow('an entry that is no address'));

  it('reads 32 entries of proxies', () => {
    const proxies = (count: number): string => Array(count).fill('10.0.0.1').join();
    expect(xff(`203.0.113.7,${proxies(31)}`)).toMatchObject({ host: '203.0.113.7' });
    expect(() => xff(`203.0.113.7,${proxies(32)}`)).toThrow('more than 32 proxies');
  });

  it('reads 8 KiB, of which a stranger may have written the first', () => {
    const entries = `${'1.1.1.1,'.repeat(1_000)}203.0.113.7`;
    expect(xff(entries)).toMatchObject({ host: '203.0.113.7' });
    expect(() => xff(`${'1.1.1.1,'.repeat(10_000)}203.0.113.7`)).toThrow('8192 characters');
  });
});

describe('Forwarded', () => {
  it.each<[string, string, number]>([
    ['for=203.0.113.7', '203.0.113.7', 0],
    ['For="203.0.113.7:50100";proto=https; by=10.0.0.1', '203.0.113.7', 50_100],
    ['proto=https;for="[2001:db8::7]:50100"', '2001:db8::7', 50_100],
    ['for="203.0.113.7:_x"', '203.0.113.7', 0],
    ['for=198.51.100.1, for=203.0.113.7', '203.0.113.7', 0],
    ['for=203.0.113.7, for=10.0.0.1 ,for="10.0.0.2"', '203.0.113.7', 0],
    ['for=203.0.113.7, for=_hidden, for=10.0.0.2', '10.0.0.2', 0],
    ['for=203.0.113.7, by=10.0.0.1, for=10.0.0.2', '10.0.0.2', 0],
    ['for="a, \\"for=1.1.1.1", for=203.0.113.7', '203.0.113.7', 0],
    ['for=203.0.113.7;ext="a;for=1.1.1.1,b"', '203.0.113.7', 0],
  ])('%s: %s', (value, host, port) => {
    expect(forwarded(value)).toEqual({ host, port });
  });

  it.each(['for=unknown', 'for=_a.b-c', 'for="_a:_b"', 'proto=https', 'for=203.0.113.7,'])(
    '%o names no client',
    (value) => expect(forwarded(value)).toBeUndefined(),
  );

  it.each([
    'for=2001:db8::7',
    'for="a',
    'for="a, for=203.0.113.7',
    'for="a, for="[2001:db8::7]"',
    'for=203.0.113.7 proto=https',
    'for',
    'for=;',
    '203.0.113.7',
    'for = 203.0.113.7',
    'for="localhost"',
  ])('%o is an error', (value) => expect(() => forwarded(value)).toThrow(/syntax|no address/));

  it('takes little time for 8 KiB of anything', () => {
    for (const text of [' ', ' ,', 'a', 'a=', '"', 'for="\\', 'for=1;', ';', '\t ;', 'for=_a:_a'])
      expect(
        processorTime(() => {
          try {
            forwarded(text.repeat(8_192 / text.length));
          } catch {
            // Either outcome is right.
          }
        }),
      ).toBeLessThan(1_000);
  });
});

it('the other header is not read', () => {
  const headers = { 'x-forwarded-for': '198.51.100.1', forwarded: 'for=203.0.113.7' };
  expect(forwardedClient(headers, { header: 'forwarded', isTrusted })).toMatchObject({
    host: '203.0.113.7',
  });
  expect(forwardedClient(headers, { header: 'x-forwarded-for', isTrusted })).toMatchObject({
    host: '198.51.100.1',
  });
});
