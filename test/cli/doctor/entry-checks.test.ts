/** What is wrong with the entries of a registry. */
import { describe, expect, test } from 'vitest';
import { checkEntries } from '../../../src/cli/doctor/entry-checks.js';
import { node } from '../../fixtures/registries.js';

describe('checkEntries()', () => {
  test('finds nothing in equal nodes', () => {
    const nodes = ['a', 'b'].map((id, at) => node(id, { address: `tcp://10.0.0.${at}:1` }));
    expect(checkEntries(nodes)).toEqual([]);
    expect(checkEntries([])).toEqual([]);
  });

  test.each([
    [
      'an address of all interfaces',
      [node('a', { address: 'tcp://0.0.0.0:1' })],
      /^failed addresses: tcp:\/\/0\.0\.0\.0:1 is no address.*advertise/,
    ],
    [
      'an address of all interfaces in IPv6',
      [node('a', { address: 'ws://[::]:1/x' })],
      /^failed addresses: ws:\/\/\[::\]/,
    ],
    [
      'an address of one machine beside others',
      [node('a'), node('b', { address: 'tcp://10.0.0.1:1' })],
      /^warning addresses: tcp:\/\/127\.0\.0\.1:12000 can be reached on the machine/,
    ],
    [
      'two ids at one address',
      [node('a'), node('b')],
      /^warning ids: tcp:\/\/127\.0\.0\.1:12000 has the ids a, b /,
    ],
    [
      'several versions',
      [node('a'), node('a', { version: '' })],
      /^note TestService: its nodes have 2 versions: v1\.0 \(1 node\), no version \(1 node\)/,
    ],
    [
      'several groups',
      [node('a'), node('a', { group: 'sh' })],
      /^note TestService: its nodes have 2 groups: bj \(1 node\), sh \(1 node\)/,
    ],
    [
      'no weight',
      [node('a', { metadata: { 'getty-weight': '0' } })],
      /^warning TestService: all its nodes have the weight 0 .*getty node weight/,
    ],
    [
      'a codec without a weight',
      [
        node('a', { metadata: { 'getty-weight': '0' } }),
        node('b', {
          address: 'tcp://127.0.0.1:2',
          protocol: 'protobuf',
          metadata: { 'getty-weight': '7' },
        }),
      ],
      /^warning TestService: all its nodes of v1\.0, group bj in json have the weight 0/,
    ],
  ])('finds %s', (_, nodes, text) => {
    const checks = checkEntries(nodes).map(
      ({ status, name, detail, advice }) => `${status} ${name}: ${detail} (${advice})`,
    );
    expect(checks).toEqual([expect.stringMatching(text)]);
  });

  test('finds a group whose nodes have no weight, beside others', () => {
    const metadata = { 'getty-weight': '0' };
    const nodes = [
      node('a', { address: 'tcp://127.0.0.1:1' }),
      node('b', { address: 'tcp://127.0.0.1:2', metadata }),
      node('c', { address: 'tcp://127.0.0.1:3', group: 'sh', metadata }),
    ];
    expect(checkEntries(nodes).map(({ detail }) => detail)).toEqual([
      'its nodes have 2 groups: bj (2 nodes), sh (1 node)',
      'all its nodes of v1.0, group sh in json have the weight 0',
    ]);
  });
});
