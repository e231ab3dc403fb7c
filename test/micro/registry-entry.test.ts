/** A node as a registry entry: Go's bytes, the round trip of every node, and invalid entries. */
import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GettyError } from '../../src/core/errors.js';
import {
  attributesOf,
  entryPath,
  entryValue,
  MAX_ENTRY_BYTES,
  parseAttributes,
  parseEntry,
} from '../../src/micro/registry-entry.js';
import type { ServiceNode } from '../../src/micro/types.js';
import { node } from '../fixtures/registries.js';
import { RECORDED_ENTRIES } from '../registries/recorded-entries.js';

const safe = (text: string): boolean => !/[\p{Cc}\p{Cs}\p{Co}\ufff0-\uffff]/u.test(text);
const text = fc
  .oneof(
    fc.string(),
    fc.string({ unit: 'grapheme' }),
    fc.constantFrom("!'()*~ -_.", '&=+%;/?#', '__proto__', '%3D'),
  )
  .filter(safe);
const name = text.filter((value) => value !== '');
const port = fc.integer({ min: 1, max: 65535 });
const address = fc.oneof(
  fc.tuple(fc.oneof(fc.domain(), fc.ipV4()), port).map(([host, at]) => `tcp://${host}:${at}`),
  fc.tuple(fc.ipV6(), port).map(([host, at]) => `tcp://[${host}]:${at}`),
  fc.constantFrom(
    'tcp://h:080',
    'tcp://h:1/',
    'ws://h:80/path?a=b',
    'wss://[::1]:443/',
    'unix:///run/a.sock',
    'memory://name',
    'udp://h:1',
    'tcp://h:0',
  ),
);
const anyNode: fc.Arbitrary<ServiceNode> = fc.record({
  id: name.filter((id) => !id.includes('/') && id !== '.' && id !== '..'),
  service: name,
  group: text,
  version: text,
  protocol: fc.constantFrom('json', 'protobuf'),
  address,
  metadata: fc.dictionary(fc.string(), fc.string()).map((metadata) => ({ ...metadata })),
});

/** An entry that is accepted at the path `${attributes}/a`. */
const good = {
  Attr: { Service: 'S', Protocol: 'json', Role: 1 },
  Nodes: [{ ID: 'a', Address: 'h', Port: 1 }],
};
const attributes = 'protocol%3Djson%26role%3DSRT_Provider%26service%3DS';

describe('registry entries', () => {
  it.each(RECORDED_ENTRIES)('reads and writes entry %# of Go, $path', ({ path, value }) => {
    const read = parseEntry(path, value);
    expect(entryPath('/getty-micro', read)).toBe(path);
    expect(entryPath('/getty-micro/', read)).toBe(path);
    expect(entryValue(read)).toBe(value);
    expect(read).toMatchObject({ service: 'TestService', group: 'bj-yizhuang', version: 'v1.0' });
    expect(read.address).toMatch(/^tcp:\/\/127\.0\.0\.1:1200[01]$/);
    expect(read.metadata['getty-micro-meta-key']).toMatch(/^\{"group_id":[12], "node_id":[01]\}$/);
  });

  it("escapes twice with the rules of Go's url.QueryEscape, as Go's registries do", () => {
    expect(attributesOf({ service: "!'()*~ -_." })).toBe(
      'role%3DSRT_Provider%26service%3D%2521%2527%2528%2529%252A~%2B-_.',
    );
    expect(attributesOf({ service: 'a/b&c=d%+é', group: '' })).toBe(
      'role%3DSRT_Provider%26service%3Da%252Fb%2526c%253Dd%2525%252B%25C3%25A9',
    );
    expect(attributesOf(node('a', { group: '', version: '' }))).toBe(
      'protocol%3Djson%26role%3DSRT_Provider%26service%3DTestService',
    );
  });

  it.each([
    ['tcp://127.0.0.1:80', { Address: '127.0.0.1', Port: 80 }],
    ['tcp://[::1]:80', { Address: '::1', Port: 80 }],
    ['udp://h:80', { Address: 'h', Port: 80, Metadata: { 'getty-address': 'udp://h:80' } }],
    [
      'ws://[::1]:80/p',
      { Address: '::1', Port: 80, Metadata: { 'getty-address': 'ws://[::1]:80/p' } },
    ],
    ['unix:///run/a', { Metadata: { 'getty-address': 'unix:///run/a' } }],
    ['memory://n', { Metadata: { 'getty-address': 'memory://n' } }],
  ])('gives Go the host and port of %s, if it has them', (given, expected) => {
    expect(JSON.parse(entryValue(node('a', { address: given }))).Nodes).toEqual([
      { ID: 'a', ...expected },
    ]);
  });

  it('omits empty fields, and orders metadata by key', () => {
    expect(entryValue(node('a', { group: '', version: '', metadata: {} }))).not.toMatch(
      /Group|Version|Metadata/,
    );
    expect(entryValue(node('a', { metadata: { b: '', a: '' } }))).toContain('{"a":"","b":""}');
  });

  it('reads an address in brackets', () => {
    const { path, value } = RECORDED_ENTRIES[0] as { path: string; value: string };
    expect(parseEntry(path, value.replace('"127.0.0.1"', '"[::1]"')).address).toBe(
      'tcp://[::1]:12000',
    );
  });

  it('reads every node as it was written', () => {
    fc.assert(
      fc.property(anyNode, text, (given, root) => {
        const back = parseEntry(entryPath(root, given), entryValue(given));
        expect({ ...back, metadata: Object.entries(back.metadata).sort() }).toEqual({
          ...given,
          metadata: Object.entries(given.metadata).sort(),
        });
        expect(parseAttributes(attributesOf(given))).toMatchObject({
          role: 'SRT_Provider',
          service: given.service,
          group: given.group,
        });
        expect(Object.getPrototypeOf(back.metadata)).toBeNull();
      }),
    );
  });

  it('reads metadata keys such as __proto__ as ordinary keys', () => {
    const value = JSON.stringify(good).replace(
      '"Port":1',
      '"Port":1,"Metadata":{"__proto__":"x","constructor":"y"}',
    );
    const { metadata } = parseEntry(`${attributes}/a`, value);
    expect(Object.keys(metadata)).toEqual(['__proto__', 'constructor']);
    expect(
      Object.keys(
        parseEntry(
          `${attributes}/a`,
          entryValue({ ...node('a', { service: 'S', group: '', version: '' }), metadata }),
        ).metadata,
      ),
    ).toEqual(Object.keys(metadata));
  });

  it.each<[string, Partial<Record<keyof ServiceNode, unknown>>]>([
    ['an empty id', { id: '' }],
    ['an id with a slash', { id: 'a/b' }],
    ['the id of a parent directory', { id: '..' }],
    ['a control character in an id', { id: 'a\u0000' }],
    ['half a surrogate pair', { service: '\ud800' }],
    ['no service', { service: '' }],
    ['a group that is a number', { group: 1 }],
    ['an unknown protocol', { protocol: 'xml' }],
    ['no protocol', { protocol: undefined }],
    ['an address without a scheme', { address: 'h:1' }],
    ['metadata that are null', { metadata: null }],
    ['metadata with a number', { metadata: { a: 1 } }],
    ['metadata with the key of the address', { metadata: { 'getty-address': 'tcp://h:1' } }],
    ['metadata with 257 keys', { metadata: numberedMetadata(257) }],
    ['an address of 1,025 characters', { address: `ws://h:1/${'x'.repeat(1_016)}` }],
    ['too much metadata', { metadata: { a: 'x'.repeat(MAX_ENTRY_BYTES) } }],
  ])('does not write %s', (_, given) => {
    const bad = node('a', given as Partial<ServiceNode>);
    expect(() => [entryPath('', bad), entryValue(bad)]).toThrowError(
      expect.objectContaining({ code: 'BAD_OPTION' }),
    );
  });
});

/** `count` keys of metadata. */
function numberedMetadata(count: number): Record<string, string> {
  return Object.fromEntries(Array.from({ length: count }, (_, i) => [`key${i}`, '']));
}

it('an entry may have 256 keys of metadata besides the address', () => {
  const largest = node('a', { address: 'udp://h:1', metadata: numberedMetadata(256) });
  expect(parseEntry(entryPath('', largest), entryValue(largest))).toEqual(largest);
});

describe('invalid entries', () => {
  const expectRejected = (path: string, value: string, why: RegExp): void =>
    expect(() => parseEntry(path, value)).toThrowError(
      expect.objectContaining({ code: 'REGISTRY_FAILED', message: expect.stringMatching(why) }),
    );

  it('are variants of an entry that is accepted', () => {
    expect(parseEntry(`/r/${attributes}/a`, JSON.stringify(good))).toMatchObject({
      id: 'a',
      service: 'S',
      group: '',
      address: 'tcp://h:1',
    });
    expect(parseEntry({ attributes, id: 'a' }, JSON.stringify(good))).toMatchObject({ id: 'a' });
  });

  it.each<[RegExp, unknown]>([
    [/the value is null/, null],
    [/the value is an array/, []],
    [/Attr is missing/, {}],
    [/Attr is a string/, { ...good, Attr: 'x' }],
    [/Attr.Service is not "S", as in its path/, { ...good, Attr: { ...good.Attr, Service: 'T' } }],
    [/Attr.Service is not "S"/, { ...good, Attr: { ...good.Attr, Service: undefined } }],
    [/Attr.Group is not ""/, { ...good, Attr: { ...good.Attr, Group: 'g' } }],
    [/Attr.Version is a number/, { ...good, Attr: { ...good.Attr, Version: 1 } }],
    [/Attr.Role is not 1/, { ...good, Attr: { ...good.Attr, Role: 2 } }],
    [/Attr.Role is a string/, { ...good, Attr: { ...good.Attr, Role: undefined } }],
    [/Nodes is not an array of one/, { ...good, Nodes: undefined }],
    [/Nodes is not an array of one/, { ...good, Nodes: [] }],
    [/Nodes is not an array of one/, { ...good, Nodes: [good.Nodes[0], good.Nodes[0]] }],
    [/the node is null/, { ...good, Nodes: [null] }],
    [/the ID of its node/, { ...good, Nodes: [{ ...good.Nodes[0], ID: 'b' }] }],
    [/the ID of its node/, { ...good, Nodes: [{ Address: 'h', Port: 1 }] }],
    [/its Address is not a host/, { ...good, Nodes: [{ ID: 'a', Port: 1 }] }],
    [/Address is a number/, { ...good, Nodes: [{ ID: 'a', Address: 1, Port: 1 }] }],
    [/its Address is not a host/, { ...good, Nodes: [{ ID: 'a', Address: 'h/x', Port: 1 }] }],
    [/Port is 0/, { ...good, Nodes: [{ ID: 'a', Address: 'h' }] }],
    [/Port is 1.5/, { ...good, Nodes: [{ ID: 'a', Address: 'h', Port: 1.5 }] }],
    [/Port is 65536/, { ...good, Nodes: [{ ID: 'a', Address: 'h', Port: 65536 }] }],
    [/Port is a string/, { ...good, Nodes: [{ ID: 'a', Address: 'h', Port: '1' }] }],
    [/Metadata is an array/, { ...good, Nodes: [{ ...good.Nodes[0], Metadata: [] }] }],
    [
      /a value of Metadata is a number/,
      { ...good, Nodes: [{ ...good.Nodes[0], Metadata: { a: 1 } }] },
    ],
    [
      /its Metadata has 257 keys, at most 256/,
      { ...good, Nodes: [{ ...good.Nodes[0], Metadata: numberedMetadata(257) }] },
    ],
    [
      /its Address is not a host/,
      { ...good, Nodes: [{ ID: 'a', Address: 'h'.repeat(1_025), Port: 1 }] },
    ],
    ...['x', `ws://h/${'x'.repeat(1_018)}`].map((address): [RegExp, unknown] => [
      /its getty-address is not an address/,
      { ...good, Nodes: [{ ...good.Nodes[0], Metadata: { 'getty-address': address } }] },
    ]),
  ])('are rejected by their value: %s, %j', (why, value) =>
    expectRejected(`${attributes}/a`, JSON.stringify(value), why),
  );

  it.each<[RegExp, string]>([
    [/does not end in/, ''],
    [/does not end in/, `${attributes}/`],
    [/does not end in/, `${attributes}/..`],
    [/name no service/, '/a'],
    [/name no service/, 'a'],
    [/name no service/, 'foreign/a'],
    [/cannot be parsed/, '%zz/a'],
    [/cannot be parsed/, '%ff/a'],
    [/cannot be parsed.*service.*twice/, 'service%3DS%26service%3DS/a'],
    [/role is ""/, 'service%3DS/a'],
    [/role is "king"/, 'role%3Dking%26service%3DS/a'],
    [/only providers/, 'protocol%3Djson%26role%3DSRT_Consumer%26service%3DS/a'],
    [/protocol is ""/, 'role%3DSRT_Provider%26service%3DS/a'],
    [/protocol is "xml"/, 'protocol%3Dxml%26role%3DSRT_Provider%26service%3DS/a'],
    [/control characters/, 'protocol%3Djson%26role%3DSRT_Provider%26service%3D%2500/a'],
  ])('are rejected by their path: %s, %j', (why, path) =>
    expectRejected(path, JSON.stringify(good), why),
  );

  it('are rejected with a short message when they are not JSON or too large', () => {
    expectRejected(`${attributes}/a`, '{', /not JSON/);
    expectRejected(`${attributes}/a`, ' '.repeat(MAX_ENTRY_BYTES + 1), /larger than 65536 bytes/);
    expectRejected(`${attributes}/${'a'.repeat(10_000)}`, '{', /^.{1,600}$/s);
  });

  it.each<[string, unknown]>([
    ['text that is not JSON', 'password=secret-1'],
    ['incomplete JSON', '{"Metadata":{"token":"secret-1'],
    ['invalid JSON', '{"token":secret-1}'],
    ['an attribute', { ...good, Attr: { ...good.Attr, Service: 'secret-1' } }],
    ['an address', { ...good, Nodes: [{ ID: 'a', Address: 'u:secret-1@h/x', Port: 1 }] }],
    [
      'an address in the metadata',
      { ...good, Nodes: [{ ...good.Nodes[0], Metadata: { 'getty-address': 'secret-1' } }] },
    ],
    [
      'a key of the metadata',
      { ...good, Nodes: [{ ...good.Nodes[0], Metadata: { 'secret-1': 1 } }] },
    ],
  ])('are rejected without a quote of %s', (_, value) => {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    let error: unknown;
    try {
      parseEntry(`${attributes}/a`, text);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject({ code: 'REGISTRY_FAILED' });
    expect(inspect(error)).not.toContain('secret');
  });

  it('get no content from a key or a name __proto__', () => {
    expectRejected(`${attributes}/a`, '{"__proto__":{"Attr":{},"Nodes":[]}}', /Attr is missing/);
    expectRejected('__proto__/a', JSON.stringify(good), /name no service/);
    expect(({} as { Attr?: unknown }).Attr).toBeUndefined();
  });

  it('are rejected with a GettyError for random content', () => {
    const nearly = fc.json().map((json) => JSON.stringify(good).replace('"h"', json));
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.constant(`${attributes}/a`)),
        fc.oneof(fc.string(), fc.json(), nearly),
        (path, value) => {
          try {
            expect(parseEntry(path, value).address).toMatch(/^tcp:\/\//);
          } catch (error) {
            expect(error).toBeInstanceOf(GettyError);
          }
        },
      ),
    );
  });
});
