/** Files that options name are read up to a limit, because a device may have no end. */
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { noLeaks } from '../fixtures/leaks.js';
import { pemPath } from '../fixtures/tls-endpoints.js';
import { getty } from './run-getty.js';

noLeaks();

let directory = '';
let large = '';

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'getty-limited-file-'));
  large = join(directory, 'large');
  writeFileSync(large, '');
  truncateSync(large, 2 ** 26 + 1);
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const CERT = ['--cert', pemPath('client')];
const KEY = ['--key', pemPath('client.key')];

test.each([
  ['--proto', 'tcp', [], 67_108_864],
  ['--ca', 'tls', [], 16_777_216],
  ['--cert', 'tls', KEY, 16_777_216],
  ['--key', 'tls', CERT, 16_777_216],
] as const)('%s refuses a file that is too large', async (option, scheme, others, limit) => {
  const target = `${scheme}://127.0.0.1:1`;
  const { code, stderr } = await getty('call', target, 'A/b', '{}', option, large, ...others);
  expect(stderr).toContain(`it has more than ${limit} bytes`);
  expect(code).toBe(2);
});
