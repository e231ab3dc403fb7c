/**
 * docs/zookeeper.md lists exactly the options of the code with their defaults, and every reason of
 * the client.
 */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { CLIENT_DEFAULTS, ZOOKEEPER_DEFAULTS } from '../../../src/registries/zookeeper/index.js';

const read = (path: string): string =>
  readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');
const page = read('docs/zookeeper.md');
const sources =
  read('src/registries/zookeeper/registry-options.ts') + read('src/registries/zookeeper/types.ts');

/** The value as the page shows it. */
function textOf(name: string, value: unknown): string {
  if (typeof value !== 'number')
    return typeof value === 'string' ? `\`'${value}'\`` : `\`${value}\``;
  if (name.endsWith('Bytes') && value % (1024 * 1024) === 0) return `${value / 1024 / 1024} MiB`;
  if (/^max(?:Bytes|Entries|Pending)$|Bytes$/.test(name)) return value.toLocaleString('en');
  return value % 1_000 === 0 ? `${value / 1_000} s` : `${value} ms`;
}

test.each<[string, object]>([
  ['ZooKeeperRegistryOptions', ZOOKEEPER_DEFAULTS],
  ['ZooKeeperClientOptions', CLIENT_DEFAULTS],
])('the page lists the options of %s with their defaults', (name, defaults) => {
  const [, body = ''] =
    new RegExp(`^export interface ${name} \\{\\n([\\s\\S]*?)^\\}`, 'm').exec(sources) ?? [];
  const declared = [...body.matchAll(/^ {2}(\w+)\?:/gm)].map(([, option = '']) => option);
  const section = page.split(/^### /m).find((part) => part.startsWith(`${name}:`)) ?? '';
  const [table = ''] = section.split(/^## /m);
  const rows = Object.fromEntries(
    [...table.matchAll(/^\| `(\w+)` \| (.*?) \|/gm)].map(([, option, value]) => [option, value]),
  );
  expect(declared.length).toBeGreaterThan(5);
  expect(Object.keys(rows).sort()).toEqual(declared.sort());
  for (const [option, value] of Object.entries(defaults))
    expect([option, rows[option]]).toEqual([option, textOf(option, value)]);
});

test('the page explains every reason of the client', () => {
  const [, union = ''] =
    /export type ZooKeeperReason =([\s\S]*?);/.exec(
      read('src/registries/zookeeper/client/errors.ts'),
    ) ?? [];
  const reasons = [...union.matchAll(/'([A-Z_]+)'/g)]
    .map(([, reason]) => reason)
    .filter((reason) => reason !== 'UNKNOWN');
  expect(reasons.length).toBeGreaterThan(5);
  for (const reason of reasons) expect(page).toContain(`\`${reason}\``);
});
