/**
 * examples/compose.yaml has the parts that docs/containers.md describes. The file uses a small part
 * of YAML: mappings, lists of quoted strings, quoted strings, and true.
 */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

type Value = string | boolean | Value[] | { [key: string]: Value };
interface Line {
  readonly indent: number;
  readonly text: string;
}

const LINES: Line[] = readFileSync(new URL('../../examples/compose.yaml', import.meta.url), 'utf8')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'))
  .map((line) => ({ indent: line.search(/\S/), text: line.trim() }));

function scalar(text: string): Value {
  if (text === 'true') return true;
  // YAML and JSON have the same quoted strings.
  if (text.startsWith('"')) return JSON.parse(text);
  throw new Error(`not quoted: ${text}`);
}

/** Takes the lines of one block. Throws for everything that is not of the small part of YAML. */
function block(lines: Line[]): Value {
  const indent = (lines[0] as Line).indent;
  const isBlock = (): boolean => lines.length > 0 && (lines[0] as Line).indent === indent;
  if (lines[0]?.text.startsWith('- ')) {
    const list: Value[] = [];
    while (isBlock()) list.push(scalar((lines.shift() as Line).text.slice(2)));
    return list;
  }
  const mapping: { [key: string]: Value } = {};
  while (isBlock()) {
    const { text } = lines.shift() as Line;
    const [, key = '', value = ''] = /^([\w-]+):(?: (.+))?$/.exec(text) ?? [];
    if (key === '' || key in mapping) throw new Error(`no key, or twice: ${text}`);
    mapping[key] = value === '' ? block(lines) : scalar(value);
  }
  if (lines.length > 0 && (lines[0] as Line).indent > indent) throw new Error('wrong indentation');
  return mapping;
}

test('examples/compose.yaml has etcd and three providers that can be reached by their names', () => {
  const lines = [...LINES];
  const { services } = block(lines) as { services: Record<string, Record<string, Value>> };
  expect(lines).toEqual([]);
  expect(Object.keys(services)).toEqual(['etcd', 'orders-1', 'orders-2', 'orders-3']);
  const { etcd, ...providers } = services;
  expect(etcd?.command).toContain('--advertise-client-urls=http://etcd:2379');
  for (const [name, provider] of Object.entries(providers)) {
    expect(provider).toEqual({
      image: 'getty-orders',
      hostname: name,
      init: true,
      stop_grace_period: '30s',
      environment: { REGISTRY: 'etcd://etcd:2379/getty', ADVERTISE: name, PORT: '20000' },
      depends_on: ['etcd'],
    });
  }
});
