/** The build of `getty-ts/web` is small, and needs nothing of Node.js. */
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

/** What is used as a free name: not `globalThis.Buffer`, not `{ process: … }`. */
const freely = (code: string, names: string): string[] =>
  code.match(new RegExp(`(?<![.\\w$])(?:${names})(?![\\w$]|\\s*:)`, 'g')) ?? [];

const namesOf = (entry: object): string[] => Object.keys(entry).sort();

it('a page has what Node.js has, but for what only servers need, and UDP', () => {
  expect(
    [...namesOf(web), 'RefusedError', 'SERVER_DEFAULTS', 'UDP_DEFAULTS', 'serve'].sort(),
  ).toEqual(namesOf(node));
  expect([...namesOf(webRpc), 'JWT_DEFAULTS', 'jwt', 'serve'].sort()).toEqual(namesOf(rpc));
});

describe('the build of getty-ts/web', () => {
  it('all of it is at most 20 KiB, minified and compressed', async () => {
    const size = gzipSync(await bundleWeb('esm'), { level: 9 }).length;
    expect(size).toBeLessThanOrEqual(20 * KIB);
    // Were the build empty, it would be small too.
    expect(size).toBeGreaterThan(6 * KIB);
  });

  it('what is not used costs nothing', async () => {
    const small = await bundleWeb(
      'esm',
      "import { connect, lines } from '../../src/web/index.js'; connect('', { codec: lines(), listener: {} });",
    );
    expect(gzipSync(small, { level: 9 }).length).toBeLessThan(
      gzipSync(await bundleWeb('esm'), { level: 9 }).length - 512,
    );
  });

  it('imports nothing, and names nothing that only Node.js has', async () => {
    const code = await bundleWeb('esm');
    expect(code).not.toMatch(/\bimport\b|\brequire\b|node:/);
    expect(freely(code, 'Buffer|process|setImmediate|__dirname')).toEqual([]);
  });

  it('a name that only Node.js has would be seen', () => {
    expect(freely('a=Buffer.from(b),process.nextTick(c)', 'Buffer|process')).toEqual([
      'Buffer',
      'process',
    ]);
    expect(freely('globalThis.Buffer,{process:e},myprocess', 'Buffer|process')).toEqual([]);
  });

  it('a module of Node.js behind it would fail the build', async () => {
    await expect(bundleWeb('esm', "export * from '../../src/transport/index.js'")).rejects.toThrow(
      'node:',
    );
  });
});

describe('the build of getty-ts/web/rpc', () => {
  const PROTOBUF_LIBRARY = /google\.protobuf|MessageInitShape|@bufbuild/;

  it('has no Protobuf, and is at most 48 KiB, minified and compressed', async () => {
    const code = await bundleWeb('esm', WEB_RPC);
    expect(code).not.toMatch(PROTOBUF_LIBRARY);
    expect(gzipSync(code, { level: 9 }).length).toBeLessThanOrEqual(48 * KIB);
  });

  it('has it where getty-ts/web/protobuf is imported', async () => {
    expect(await bundleWeb('esm', WEB_PROTOBUF)).toMatch(PROTOBUF_LIBRARY);
  });
});

it('its types need none of Node.js', async () => {
  // The page of an example, which a browser's program is compiled as: with the types of a browser
  // and no others.
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['node_modules/typescript/bin/tsc', '-p', 'test/fixtures/page', '--listFiles'],
    {
      cwd: ROOT,
    },
  );
  for (const entry of ['index', 'rpc']) expect(stdout).toContain(`dist/web/${entry}.d.ts`);
  expect(stdout).not.toContain('@types/node');
});
