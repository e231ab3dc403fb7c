/** ZooKeeper's protocol: known frames, round trips, forged lengths and invalid bytes. */
import { describe, expect, it } from 'vitest';
import { GettyError } from '../../../src/core/errors.js';
import { parseEnsemble } from '../../../src/registries/zookeeper/client/ensemble.js';
import { JuteReader, JuteWriter } from '../../../src/registries/zookeeper/client/jute.js';
import * as operations from '../../../src/registries/zookeeper/client/operations.js';
import * as protocol from '../../../src/registries/zookeeper/client/protocol.js';
import { digestId } from '../../../src/registries/zookeeper/index.js';
import { fc } from '../../fixtures/property.js';

const hex = (...parts: string[]): Buffer => Buffer.from(parts.join('').replaceAll(' ', ''), 'hex');
const int = (value: number): string => (value >>> 0).toString(16).padStart(8, '0');

describe('the frames of ZooKeeper', () => {
  it('encodes the first request of a connection', () => {
    const session = { id: 0x1234n, password: Buffer.alloc(16, 7), timeout: 10_000 };
    expect(protocol.encodeConnectRequest(session, 0x99n)).toEqual(
      hex(
        '00000000',
        '0000000000000099',
        '00002710',
        '0000000000001234',
        '00000010',
        '07'.repeat(16),
        '00',
      ),
    );
  });

  it('encodes requests', () => {
    const acl = [{ permissions: 31, scheme: 'world', id: 'anyone' }];
    const created = protocol.encodeRequest(
      5,
      operations.create('/a', Buffer.from('xy'), acl, true),
    );
    const world = `00000001 0000001f 00000005 ${Buffer.from('world').toString('hex')} 00000006 ${Buffer.from('anyone').toString('hex')}`;
    expect(created).toEqual(
      hex('00000005 00000001 00000002 2f61 00000002 7879', world, '00000001'),
    );
    expect(protocol.encodeRequest(6, operations.remove('/a', -1))).toEqual(
      hex('00000006 00000002 00000002 2f61 ffffffff'),
    );
    expect(protocol.encodeRequest(7, operations.exists('/a', true))).toEqual(
      hex('00000007 00000003 00000002 2f61 01'),
    );
    expect(protocol.encodeRequest(8, operations.getData('/a', false))).toEqual(
      hex('00000008 00000004 00000002 2f61 00'),
    );
    expect(protocol.encodeRequest(9, operations.getChildren('/a', true))).toEqual(
      hex('00000009 0000000c 00000002 2f61 01'),
    );
    expect(protocol.encodeRequest(1, operations.closeSession())).toEqual(hex('00000001 fffffff5'));
    expect(protocol.PING).toEqual(hex('fffffffe 0000000b'));
    expect(protocol.encodeAuth('digest', 'u:p')).toEqual(
      hex('fffffffc 00000064 00000000 00000006 646967657374 00000003 753a70'),
    );
    const parts = operations.multi([
      operations.check('/a', 3),
      operations.setData('/a', Buffer.from('z'), 4),
    ]);
    expect(protocol.encodeRequest(2, parts)).toEqual(
      hex(
        '00000002 0000000e',
        '0000000d 00 ffffffff 00000002 2f61 00000003',
        '00000005 00 ffffffff 00000002 2f61 00000001 7a 00000004',
        'ffffffff 01 ffffffff',
      ),
    );
  });

  it('decodes answers', () => {
    const granted = hex('00000000 00000fa0 0000000000001234 00000010', '05'.repeat(16));
    const session = { id: 0x1234n, timeout: 4_000, password: Buffer.alloc(16, 5) };
    // A server before 3.4 sends no read-only flag.
    expect(protocol.decodeConnectResponse(granted)).toEqual({ ...session, isReadOnly: false });
    expect(protocol.decodeConnectResponse(hex(granted.toString('hex'), '01'))).toEqual({
      ...session,
      isReadOnly: true,
    });
    expect(
      protocol.decodeConnectResponse(
        hex('00000000 00000000 0000000000000000 00000010', '00'.repeat(16), '00'),
      ),
    ).toBeUndefined();
    expect(() =>
      protocol.decodeConnectResponse(hex('00000001 00000fa0 0000000000001234 00000000')),
    ).toThrowError(expect.objectContaining({ code: 'BAD_FRAME' }));
    expect(() =>
      protocol.decodeConnectResponse(
        hex('00000000 00000fa0 0000000000001234 00000100', '05'.repeat(256)),
      ),
    ).toThrowError(expect.objectContaining({ code: 'BAD_FRAME' }));
    expect(
      protocol.decodeHeader(new JuteReader(hex('00000005 0000000000000063 ffffff9b'))),
    ).toEqual({ xid: 5, zxid: 99n, error: -101 });
    expect(protocol.decodeEvent(new JuteReader(hex('00000004 00000003 00000002 2f61')))).toEqual({
      type: 'children',
      path: '/a',
    });
    expect(protocol.decodeEvent(new JuteReader(hex('ffffffff 00000003 00000000')))).toBeUndefined();
  });

  it('computes the digest of a password as ZooKeeper does', () => {
    // The expected text is the output of DigestAuthenticationProvider of ZooKeeper.
    expect(digestId('super', 'admin')).toBe('super:xQJmxLMiHGwaqBvst5y6rkB6HQs=');
  });
});

describe('jute', () => {
  it('reads what the writer wrote', () => {
    const values = fc.record({
      int: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
      long: fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }),
      bool: fc.boolean(),
      buffer: fc.uint8Array({ maxLength: 1_000 }),
      string: fc.string({ unit: 'grapheme', maxLength: 300 }),
      strings: fc.array(fc.string({ maxLength: 40 }), { maxLength: 50 }),
    });
    fc.assert(
      fc.property(values, (given) => {
        const to = new JuteWriter();
        to.int(given.int);
        to.long(given.long);
        to.bool(given.bool);
        to.buffer(given.buffer);
        to.string(given.string);
        to.vector(given.strings, (value) => to.string(value));
        const from = new JuteReader(to.bytes);
        expect(from.int()).toBe(given.int);
        expect(from.long()).toBe(given.long);
        expect(from.bool()).toBe(given.bool);
        expect(from.buffer()).toEqual(Buffer.from(given.buffer));
        expect(from.string()).toBe(given.string);
        expect(from.vector(4, () => from.string()).elements).toEqual(given.strings);
        expect(from.rest).toBe(0);
      }),
    );
  });

  it('reads a length of -1 as an empty value', () => {
    expect(new JuteReader(hex('ffffffff')).string()).toBe('');
    expect(new JuteReader(hex('ffffffff')).buffer().length).toBe(0);
    expect(new JuteReader(hex('ffffffff')).vector(4, () => 0).elements).toEqual([]);
  });

  it.each([-2, -(2 ** 31), 5, 2 ** 31 - 1])(
    'rejects a forged length of %i before it allocates memory',
    (length) => {
      const forged = hex(int(length), '00000000');
      const before = process.memoryUsage().arrayBuffers;
      for (let i = 0; i < 1_000; i++) {
        expect(() => new JuteReader(forged).buffer()).toThrowError(
          expect.objectContaining({ code: 'BAD_FRAME' }),
        );
        expect(() => new JuteReader(forged).string()).toThrowError(
          expect.objectContaining({ code: 'BAD_FRAME' }),
        );
        expect(() => new JuteReader(forged).vector(4, () => 0)).toThrowError(
          expect.objectContaining({ code: 'BAD_FRAME' }),
        );
      }
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1024 * 1024);
    },
  );
});

describe('invalid bytes', () => {
  const READERS: Readonly<Record<string, (bytes: Buffer) => unknown>> = {
    decodeConnectResponse: protocol.decodeConnectResponse,
    decodeHeader: (bytes) => protocol.decodeHeader(new JuteReader(bytes)),
    decodeEvent: (bytes) => protocol.decodeEvent(new JuteReader(bytes)),
    create: (bytes) => operations.create('/a', bytes, [], false).read(new JuteReader(bytes)),
    exists: (bytes) => operations.exists('/a', false).read(new JuteReader(bytes)),
    getData: (bytes) => operations.getData('/a', false).read(new JuteReader(bytes)),
    getChildren: (bytes) => operations.getChildren('/a', false).read(new JuteReader(bytes)),
    multi: (bytes) =>
      operations
        .multi([
          operations.remove('/a', 1),
          operations.setData('/a', bytes, 1),
          operations.create('/a', bytes, [], true),
        ])
        .read(new JuteReader(bytes)),
  };
  // Small numbers make lengths that almost fit.
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc
      .array(fc.integer({ min: -3, max: 40 }), { maxLength: 50 })
      .map((numbers) => hex(...numbers.map(int))),
  );

  it.each(Object.keys(READERS))('%s reads them or throws a typed error', (name) => {
    fc.assert(
      fc.property(bytes, (given) => {
        try {
          READERS[name]?.(Buffer.from(given));
        } catch (error) {
          expect(error).toBeInstanceOf(GettyError);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('rejects every truncated answer', () => {
    const stat = '00'.repeat(68);
    const good: [string, Buffer][] = [
      ['getData', hex('00000003 616263', stat)],
      ['getChildren', hex('00000002 00000001 61 00000002 6162')],
      ['exists', hex(stat)],
      ['create', hex('00000002 2f61')],
      [
        'multi',
        hex(
          '00000002 00 00000000',
          '00000005 00 00000000',
          stat,
          '00000001 00 00000000 00000002 2f61',
          'ffffffff 01 ffffffff',
        ),
      ],
    ];
    for (const [name, whole] of good) {
      READERS[name]?.(whole);
      const length = name === 'multi' ? whole.length - 9 : whole.length;
      for (let end = 0; end < length; end++) {
        expect(() => READERS[name]?.(whole.subarray(0, end)), `${name} ${end}`).toThrowError(
          expect.objectContaining({ code: 'BAD_FRAME' }),
        );
      }
    }
  });
});

describe('setWatches', () => {
  it('splits large requests, and sends every path once', () => {
    const paths = (kind: string, count: number): string[] =>
      Array.from({ length: count }, (_, i) => `/${kind}/${'x'.repeat(i % 90)}${i}`);
    const watched = {
      data: paths('data', 5_000),
      exist: paths('exist', 3),
      child: paths('child', 2_000),
    };
    const seen = { data: [] as string[], exist: [] as string[], child: [] as string[] };
    const requests = [...protocol.encodeSetWatches(77n, watched)];
    expect(requests.length).toBeGreaterThan(2);
    for (const request of requests) {
      expect(request.length).toBeLessThan(129 * 1024);
      const from = new JuteReader(request);
      expect([from.int(), from.int(), from.long()]).toEqual([-8, 101, 77n]);
      for (const kind of ['data', 'exist', 'child'] as const)
        seen[kind].push(...from.vector(4, () => from.string()).elements);
    }
    expect(seen).toEqual(watched);
    expect([...protocol.encodeSetWatches(1n, { data: [], exist: [], child: [] })]).toEqual([]);
  });
});

describe('parses the connect string', () => {
  it.each([
    ['h', ['h:2181'], ''],
    ['h:1, g:2/a/b/', ['h:1', 'g:2'], '/a/b'],
    ['[::1]:7,zk.example.org/x', ['[::1]:7', 'zk.example.org:2181'], '/x'],
    ['h/', ['h:2181'], ''],
    ['[fe80::1%eth0]:1,[fe80::2%25eth0]', ['[fe80::1%eth0]:1', '[fe80::2%25eth0]:2181'], ''],
  ])('%s', (text, hosts, chroot) => {
    expect(parseEnsemble(text)).toEqual({ hosts, chroot });
  });
});
