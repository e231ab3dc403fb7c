/**
 * Invalid options and addresses: the call rejects, and the message says what was given and what is
 * allowed.
 */
import { expect, it } from 'vitest';
import { formatAddress, hostOf, parseAddress } from '../../src/transport/address.js';
import {
  type ClientOptions,
  connect,
  type LengthPrefixedOptions,
  lengthPrefixed,
  lines,
  type ServerOptions,
  type SessionSetup,
  serve,
} from '../../src/transport/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { rejection, thrown } from '../fixtures/transports.js';
import { processorTime } from '../fixtures/waiting.js';

noLeaks();

const validSetup: SessionSetup<string> = { codec: lines(), listener: { onMessage: () => {} } };
const UNUSED_ADDRESS = 'memory://unused';

const INVALID_SETUPS: readonly [given: object | unknown, parts: readonly string[]][] = [
  [undefined, ['setup', 'got undefined', 'an object with a codec and a listener, or a function']],
  [null, ['setup', 'got null']],
  [7, ['setup', 'got 7']],
  [{ codec: undefined }, ['codec', 'got undefined', 'an object with read and write']],
  [{ codec: { read() {} } }, ['codec', 'got an object', 'an object with read and write']],
  [{ listener: undefined }, ['listener', 'got undefined', 'an object with onMessage']],
  [{ listener: {} }, ['listener', 'got an object', 'an object with onMessage']],
  [
    { listener: { onMessage() {}, onOpen: 'open' } },
    ['listener.onOpen', 'got "open"', 'a function'],
  ],
  [{ listener: { onMessage() {}, onCron: 5 } }, ['listener.onCron', 'got 5', 'a function']],
  [{ compression: 'z'.repeat(1_000) }, ['compression', '… (1000 characters)']],
  [{ listener: () => {} }, ['listener', 'got a function', 'an object with onMessage']],
  [{ name: 7 }, ['name', 'got 7', 'a string']],
  [{ maxMessageBytes: 0 }, ['maxMessageBytes', 'got 0', 'an integer from 1 to 2147483647']],
  [{ maxMessageBytes: '4 MB' }, ['maxMessageBytes', 'got "4 MB"', 'an integer']],
  [{ maxMessageBytes: Number.NaN }, ['maxMessageBytes', 'got NaN', 'an integer']],
  [{ cronPeriod: 0 }, ['cronPeriod', 'got 0', 'a number from 1']],
  [{ cronPeriod: 2 ** 31 }, ['cronPeriod', 'got 2147483648', 'to 2147483647']],
  [{ idleTimeout: -1 }, ['idleTimeout', 'got -1', 'a number from 0']],
  [
    { waitTime: Number.POSITIVE_INFINITY },
    ['waitTime', 'got Infinity', 'a number from 0 to 2147483647'],
  ],
  [{ highWaterMark: 0 }, ['highWaterMark', 'got 0', 'an integer from 1']],
  [{ maxQueuedBytes: null }, ['maxQueuedBytes', 'got null', 'an integer from 1']],
  [{ maxInflatedBytes: 0 }, ['maxInflatedBytes', 'got 0', 'an integer from 1']],
  [
    { compression: 'zip' },
    ['compression', 'got "zip"', "'none', 'deflate', { deflate: level } or 'snappy'"],
  ],
  [{ compression: null }, ['compression', 'got null']],
  [{ compression: { deflate: 10 } }, ['compression.deflate', 'got 10', 'an integer from -1 to 9']],
  [{ compression: {} }, ['compression.deflate', 'got undefined', 'an integer from -1 to 9']],
];

it.each(INVALID_SETUPS)('serve() and connect() reject the setup %o', async (given, parts) => {
  const setup = (
    typeof given === 'object' && given !== null ? { ...validSetup, ...given } : given
  ) as SessionSetup<string>;
  for (const attempt of [serve(UNUSED_ADDRESS, setup), connect(UNUSED_ADDRESS, setup)]) {
    const error = await rejection(attempt);
    expect(error.code).toBe('BAD_OPTION');
    for (const part of parts) expect(error.message).toContain(part);
  }
});

const INVALID_CLIENT_OPTIONS: readonly [given: unknown, parts: readonly string[]][] = [
  [null, ['options', 'got null', 'an object']],
  ['fast', ['options', 'got "fast"', 'an object']],
  [{ connections: 0 }, ['connections', 'got 0', 'an integer from 1 to 10000']],
  [{ connections: [] }, ['connections', 'got an array', 'an integer']],
  [{ connectTimeout: 0 }, ['connectTimeout', 'got 0', 'a number from 1']],
  [
    { reconnect: 'yes' },
    [
      'reconnect',
      'got "yes"',
      'true, false, or { initialDelay, maxDelay, maxAttempts, retryFirst }',
    ],
  ],
  [{ signal: 5 }, ['signal', 'got 5', 'an AbortSignal']],
  [{ signal: null }, ['signal', 'got null', 'an AbortSignal']],
  [{ signal: {} }, ['signal', 'got an object', 'an AbortSignal']],
  [{ reconnect: { initialDelay: 0 } }, ['initialDelay', 'got 0', 'a number from 1']],
  [{ reconnect: { maxDelay: -5 } }, ['maxDelay', 'got -5', 'a number from 1']],
];

it.each(INVALID_CLIENT_OPTIONS)('connect() rejects the options %o', async (given, parts) => {
  const error = await rejection(connect(UNUSED_ADDRESS, validSetup, given as ClientOptions));
  expect(error.code).toBe('BAD_OPTION');
  for (const part of parts) expect(error.message).toContain(part);
});

it.each(['onMessage', 'onOpen', 'onError'])(
  'a listener whose getter of %s throws is BAD_OPTION',
  async (name) => {
    const listener = Object.defineProperty({ onMessage() {} }, name, {
      get() {
        throw new Error('not yet');
      },
    });
    const error = await rejection(serve('memory://refused', { ...validSetup, listener }));
    expect(error).toMatchObject({
      code: 'BAD_OPTION',
      message: 'listener: got an object that throws: not yet',
    });
  },
);

const INVALID_SERVER_OPTIONS: readonly [given: unknown, parts: readonly string[]][] = [
  [null, ['options', 'got null', 'an object']],
];

it.each(INVALID_SERVER_OPTIONS)('serve() rejects the options %o', async (given, parts) => {
  const error = await rejection(serve('memory://refused', validSetup, given as ServerOptions));
  expect(error.code).toBe('BAD_OPTION');
  for (const part of parts) expect(error.message).toContain(part);
});

const INVALID_ADDRESSES: readonly unknown[] = [
  undefined,
  null,
  42,
  '',
  'localhost:80',
  'tcp:127.0.0.1:80',
  'http://127.0.0.1:80',
  'TCP://127.0.0.1:80',
  '__proto__://127.0.0.1:80',
  'constructor://127.0.0.1:80',
  'tcp://127.0.0.1',
  'tcp://127.0.0.1:',
  'tcp://127.0.0.1:65536',
  'tcp://127.0.0.1:-1',
  'tcp://::1:80',
  'tcp://a b:80',
  'tcp://127.0.0.1:80#part',
  'tcp://127.0.0.1:\u0000',
  'tcp://[::1%]:80',
  'tcp://[::1%a%b]:80',
  'unix:///tmp/a\u0000b',
  'tcp://127.0.0.1:80/path',
  'memory://name:80',
  ' memory://name',
];

it.each(INVALID_ADDRESSES)('serve() and connect() reject the address %o', async (given) => {
  for (const attempt of [
    serve(given as string, validSetup),
    connect(given as string, validSetup),
  ]) {
    const error = await rejection(attempt);
    expect(error.code).toBe('BAD_ADDRESS');
    expect(error.message).toContain(`got ${JSON.stringify(given)?.replace('#part', '#***')}`);
    const [, scheme = 'tcp'] = /^\s*(memory|unix):/.exec(`${given}`) ?? [];
    expect(error.message).toContain(`, expected ${scheme}://`);
  }
});

it.each([
  [
    '127.0.0.1:80',
    '"127.0.0.1:80" without a scheme, expected tcp://host:port or memory://name, with a port from 0 to 65535',
  ],
  [
    'http://a:80',
    '"http://a:80" with the scheme http, expected tcp://host:port or memory://name, with a port from 0 to 65535',
  ],
  [
    'TCP://a:80',
    '"TCP://a:80" with a scheme in upper case, expected tcp://host:port, with a port from 0 to 65535',
  ],
  ['tcp://a', '"tcp://a" without a port, expected tcp://host:port, with a port from 0 to 65535'],
  [
    'tcp://[::1]',
    '"tcp://[::1]" without a port, expected tcp://host:port, with a port from 0 to 65535',
  ],
  [
    'tcp://a:99999',
    '"tcp://a:99999" with a port out of range, expected tcp://host:port, with a port from 0 to 65535',
  ],
  [
    'tcp://a:80/b',
    '"tcp://a:80/b" with a path, expected tcp://host:port, with a port from 0 to 65535',
  ],
  ['tcp://a:-1', '"tcp://a:-1", expected tcp://host:port, with a port from 0 to 65535'],
  ['memory://a:1', '"memory://a:1", expected memory://name'],
])('says what is wrong with the address %s', (text, message) => {
  expect(thrown(() => parseAddress(text, ['tcp', 'memory'])).message).toBe(
    `address: got ${message}`,
  );
});

it.each([
  ['tcp://127.0.0.1:8848', { scheme: 'tcp', host: '127.0.0.1', port: 8848 }],
  ['tcp://[::1]:80', { scheme: 'tcp', host: '::1', port: 80 }],
  ['tcp://:0', { scheme: 'tcp', host: '', port: 0 }],
  ['tcp://example.com:65535/', { scheme: 'tcp', host: 'example.com', port: 65535, path: '/' }],
  ['tcp://[fe80::1%eth0]:1', { scheme: 'tcp', host: 'fe80::1%eth0', port: 1 }],
  ['tcp://[fe80::1%25eth0]:1', { scheme: 'tcp', host: 'fe80::1%eth0', port: 1 }],
  ['tcp://[fe80::1%25]:1', { scheme: 'tcp', host: 'fe80::1%25', port: 1 }],
  ['memory://name', { scheme: 'memory', host: 'name', port: 0 }],
  ['memory://', { scheme: 'memory', host: '', port: 0 }],
])('parses the address %s', (text, expected) => {
  expect(parseAddress(text, ['tcp', 'memory'])).toEqual({ path: '', ...expected, text });
});

it.each([
  ['tcp://10.0.0.7:80', '10.0.0.7'],
  ['ws://[2001:db8::7]:80/live', '2001:db8::7'],
  ['tls://[::ffff:10.0.0.7]:0', '10.0.0.7'],
  ['udp://[fe80::1%eth0]:9', 'fe80::1'],
  ['wss://***@game.example/live?***', 'game.example'],
  ['sim://client:1', 'client'],
  ['memory://name', undefined],
  ['unix:///tmp/a:1', undefined],
  ['unix://@name', undefined],
  ['port://primes', undefined],
  ['stdio://12', undefined],
  ['tcp://:0', undefined],
])('hostOf(%o) is %o', (address, host) => {
  expect(hostOf(address)).toBe(host);
});

it('parses an address that formatAddress() returned', () => {
  for (const host of [
    '127.0.0.1',
    '::1',
    'example.com',
    '',
    'fe80::1%eth0',
    'fe80::1%25',
    'fe80::1%251',
  ]) {
    expect(parseAddress(formatAddress('tcp', host, 80), ['tcp'])).toMatchObject({ host, port: 80 });
  }
});

it('rejects a long invalid address in time that is linear in its length', () => {
  const duration = processorTime(() => {
    for (const text of [
      `tcp://${'a'.repeat(1_000_000)}`,
      `tcp://${'@'.repeat(1_000_000)}`,
      `tcp://[::1%${'a'.repeat(1_000_000)}`,
      `tcp://[${':'.repeat(1_000_000)}`,
      `${'a.'.repeat(500_000)}:`,
    ]) {
      expect(thrown(() => parseAddress(text, ['tcp'])).code).toBe('BAD_ADDRESS');
    }
  });
  expect(duration).toBeLessThan(10_000);
});

it.each([5, 0, '4', null])('lengthPrefixed() rejects the width %o', (width) => {
  const error = thrown(() => lengthPrefixed({ width: width as LengthPrefixedOptions['width'] }));
  expect(error).toMatchObject({
    code: 'BAD_OPTION',
    message: expect.stringContaining(`width: got ${JSON.stringify(width)}, expected 1, 2`),
  });
});
