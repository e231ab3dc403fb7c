/** The size, the globals and the types of the bundles of `getty-ts/web`. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import * as rpc from '../../src/rpc/index.js';
import * as node from '../../src/transport/index.js';
import * as web from '../../src/web/index.js';
import * as webRpc from '../../src/web/rpc.js';
import { bundleWeb, WEB_PROTOBUF, WEB_RPC } from '../fixtures/web.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const KIB = 1024;

/** The uses of `names` as global names; not in `globalThis.Buffer` or `{ process: … }`. */
const globalsIn = (code: string, names: string): string[] =>
  code.match(new RegExp(`(?<![.\\w$])(?:${names})(?![\\w$]|\\s*:)`, 'g')) ?? [];

const exportsOf = (entry: object): string[] => Object.keys(entry).sort();

/** Programs with many sessions are servers. */
const BROADCASTS = ['BroadcastError', 'TOPICS_DEFAULTS', 'broadcast', 'topics'];
const NODE_ONLY = [
  'RATE_DEFAULTS',
  'SERVER_SOCKET_DEFAULTS',
  'SOCKET_DEFAULTS',
  'START_TLS_DEFAULTS',
  'UDP_DEFAULTS',
];

it('getty-ts/web exports what getty-ts exports, without UDP, rates, STARTTLS and broadcasts', () => {
  expect([...exportsOf(web), ...NODE_ONLY, ...BROADCASTS].sort()).toEqual(exportsOf(node));
  expect([...exportsOf(webRpc), 'JWT_DEFAULTS', 'jwt'].sort()).toEqual(exportsOf(rpc));
});

describe('the bundle of getty-ts/web', () => {
  it('has at most 31 KiB, minified and compressed', async () => {
    const size = gzipSync(await bundleWeb('esm'), { level: 9 }).length;
    expect(size).toBeLessThanOrEqual(31 * KIB);
    // An empty bundle would be small too.
    expect(size).toBeGreaterThan(6 * KIB);
  });

  it('omits exports that a page does not import', async () => {
    const small = await bundleWeb(
      'esm',
      "import { connect, lines } from '../../src/web/index.js'; connect('', { codec: lines(), listener: {} });",
    );
    expect(gzipSync(small, { level: 9 }).length).toBeLessThan(
      gzipSync(await bundleWeb('esm'), { level: 9 }).length - 512,
    );
  });

  it('imports nothing, and uses no global that only Node.js has', async () => {
    const code = await bundleWeb('esm');
    expect(code).not.toMatch(/\bimport\b|\brequire\b|node:/);
    expect(globalsIn(code, 'Buffer|process|setImmediate|__dirname')).toEqual([]);
  });

  it('the test finds a global of Node.js', () => {
    expect(globalsIn('a=Buffer.from(b),process.nextTick(c)', 'Buffer|process')).toEqual([
      'Buffer',
      'process',
    ]);
    expect(globalsIn('globalThis.Buffer,{process:e},myprocess', 'Buffer|process')).toEqual([]);
  });

  it('cannot be built with a module of Node.js', async () => {
    await expect(bundleWeb('esm', "export * from '../../src/transport/index.js'")).rejects.toThrow(
      'node:',
    );
  });
});

describe('the bundle of getty-ts/web/rpc', () => {
  const PROTOBUF_LIBRARY = /google\.protobuf|MessageInitShape|@bufbuild/;

  it('has no Protobuf library, and has at most 64 KiB, minified and compressed', async () => {
    const code = await bundleWeb('esm', WEB_RPC);
    expect(code).not.toMatch(PROTOBUF_LIBRARY);
    expect(gzipSync(code, { level: 9 }).length).toBeLessThanOrEqual(64 * KIB);
  });

  it('has the Protobuf library if getty-ts/web/protobuf is imported', async () => {
    expect(await bundleWeb('esm', WEB_PROTOBUF)).toMatch(PROTOBUF_LIBRARY);
  });
});

it('the types of getty-ts/web compile without the types of Node.js', async () => {
  // test/fixtures/page has the compiler options of a program for browsers: only the types of a
  // browser.
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['node_modules/typescript/bin/tsc', '-p', 'test/fixtures/page', '--listFiles'],
    { cwd: ROOT },
  );
  for (const entry of ['index', 'rpc']) expect(stdout).toContain(`dist/web/${entry}.d.ts`);
  expect(stdout).not.toContain('@types/node');
});
