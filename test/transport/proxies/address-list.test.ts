/** Lists of IP addresses and ranges. */
import { randomBytes } from 'node:crypto';
import { BlockList } from 'node:net';
import { describe, expect, it } from 'vitest';
import { AddressList, readAddressList } from '../../../src/transport/proxies/address-list.js';
import { thrown } from '../../fixtures/transports.js';
import { processorTime } from '../../fixtures/waiting.js';

describe('a list has an address', () => {
  it.each<[string, string[], string[]]>([
    ['10.0.0.7', ['10.0.0.7', '::ffff:10.0.0.7', '::ffff:a00:7'], ['10.0.0.8', '::10.0.0.7']],
    [
      '10.0.0.0/8',
      ['10.0.0.0', '10.255.255.255', '::ffff:10.1.1.1'],
      ['11.0.0.0', '9.255.255.255'],
    ],
    ['10.1.2.3/8', ['10.0.0.0'], ['11.0.0.0']],
    ['0.0.0.0/0', ['0.0.0.0', '255.255.255.255'], ['::', '2001:db8::1']],
    ['::/0', ['::', '2001:db8::1', 'fe80::1%eth0'], ['10.0.0.7', '::ffff:10.0.0.7']],
    ['::ffff:10.0.0.0/104', ['10.9.9.9', '::ffff:10.9.9.9'], ['11.0.0.0']],
    ['2001:db8::/32', ['2001:db8::', '2001:DB8:ffff::1'], ['2001:db9::', '10.0.0.1']],
    ['2001:db8::1', ['2001:db8:0:0::1', '2001:db8::1%1'], ['2001:db8::2']],
    ['::1/128', ['::1', '0:0:0:0:0:0:0:1'], ['::', '127.0.0.1']],
    ['64:ff9b::203.0.113.7', ['64:ff9b::cb00:7107'], ['203.0.113.7']],
    ['fe80::/10', ['fe80::1%eth0', 'febf::'], ['fec0::']],
  ])('%s', (entry, inside, outside) => {
    const list = new AddressList('deny', [entry]);
    expect(inside.filter((host) => !list.has(host))).toEqual([]);
    expect([...outside, '', 'localhost', '10.0.0'].filter((host) => list.has(host))).toEqual([]);
  });

  it('as BlockList of Node.js decides, for random ranges and addresses', () => {
    for (let i = 0; i < 500; i++) {
      const isIpv4 = i % 2 === 0;
      const bytes = randomBytes(isIpv4 ? 4 : 16);
      const text = (of: Buffer): string =>
        isIpv4 ? of.join('.') : (of.toString('hex').match(/.{4}/g) as string[]).join(':');
      const prefix = 1 + ((i * 7) % (bytes.length * 8));
      const other = Buffer.from(bytes);
      const bit = (i * 13) % (bytes.length * 8);
      other[bit >> 3] = (other[bit >> 3] as number) ^ (0x80 >> (bit & 7));
      const rules = new BlockList();
      const family = isIpv4 ? 'ipv4' : 'ipv6';
      rules.addSubnet(text(bytes), prefix, family);
      const list = new AddressList('deny', [`${text(bytes)}/${prefix}`]);
      for (const host of [text(bytes), text(other)])
        expect(list.has(host), `${text(bytes)}/${prefix} ${host}`).toBe(rules.check(host, family));
    }
  });
});

it('compares an address with ten thousand entries in little time', () => {
  const entries = Array.from({ length: 10_000 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`);
  const list = new AddressList('deny', entries);
  expect(list.has('10.39.15.9')).toBe(true);
  // A comparison with each entry needs more than ten times this.
  expect(
    processorTime(() => {
      for (let i = 0; i < 10_000; i++) list.has('203.0.113.7');
    }),
  ).toBeLessThan(600);
});

describe('the option', () => {
  it.each<[unknown, string]>([
    [[''], 'deny[0]: got ""'],
    [['10.0.0.1', 'localhost'], 'deny[1]: got "localhost"'],
    [['10.0.0.0/33'], 'with at most 32 bits'],
    [['2001:db8::/129'], 'with at most 128 bits'],
    [['::ffff:10.0.0.0/8'], 'with at most 32 bits'],
    [['10.0.0.0/'], 'deny[0]'],
    [['10.0.0.0/-1'], 'deny[0]'],
    [['10.0.0.0/8/8'], 'deny[0]'],
    [['10.0.0'], 'deny[0]'],
    [['fe80::1%eth0'], 'deny[0]'],
    [[' 10.0.0.1'], 'deny[0]'],
    [[5], 'deny[0]: got 5'],
    [['10.0.0.1', undefined], 'deny[1]: got undefined'],
    ['10.0.0.1', 'deny: got "10.0.0.1", expected an array'],
    [null, 'deny: got null'],
    [{}, 'deny: got an object, expected an array'],
    [{ check: true }, 'deny: got an object'],
    [new Set(['10.0.0.1']), 'deny: got an object'],
    [() => true, 'deny: got a function'],
  ])('%j is BAD_OPTION', (given, message) => {
    expect(thrown(() => readAddressList('deny', given as string[]))).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining(message),
    });
  });

  it('may be a BlockList, whose later changes have an effect', () => {
    const rules = new BlockList();
    const has = readAddressList('deny', rules);
    expect(has('10.0.0.7')).toBe(false);
    rules.addAddress('10.0.0.7');
    rules.addSubnet('fe80::', 10, 'ipv6');
    expect(['10.0.0.7', '::ffff:10.0.0.7', 'fe80::1%eth0', '', 'x'].map(has)).toEqual([
      true,
      true,
      true,
      false,
      false,
    ]);
  });

  it('may be an object with check(), which gets each address in one form', () => {
    const given: unknown[] = [];
    const rules = {
      banned: new Set(['10.0.0.7', '2001:db8::7']),
      check(...args: (string | undefined)[]) {
        given.push(args);
        return this.banned.has(args[0] as string);
      },
    };
    const has = readAddressList('deny', rules);
    const hosts = ['10.0.0.7', '::FFFF:10.0.0.7', '2001:DB8:0::7', 'fe80::1%eth0', '', 'localhost'];
    expect(hosts.map(has)).toEqual([true, true, true, false, false, false]);
    expect(given).toEqual([
      ['10.0.0.7', 'ipv4'],
      ['10.0.0.7', 'ipv4'],
      ['2001:db8::7', 'ipv6'],
      ['fe80::1', 'ipv6'],
    ]);
    rules.banned.delete('10.0.0.7');
    expect(has('10.0.0.7')).toBe(false);
  });

  it('is BAD_OPTION if check cannot be read', () => {
    const rules = Object.defineProperty({}, 'check', {
      get() {
        throw new Error('no');
      },
    });
    expect(thrown(() => readAddressList('deny', rules as string[]))).toMatchObject({
      code: 'BAD_OPTION',
      message: 'deny: got an object that throws: no',
    });
  });

  it('may require an entry', () => {
    expect(thrown(() => readAddressList('allow', [], 1)).message).toContain('at least one entry');
  });
});
