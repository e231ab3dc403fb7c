/** Published nodes as rows of a table, as text and as JSON. */
import { redactUrl } from '../../core/redact.js';
import { META_KEY, type ServiceNode, WEIGHT_KEY, ZONE_KEY } from '../../micro/index.js';
import { printable } from '../output/printable.js';
import type { Column } from '../output/table.js';

/** A service at one node, with all codecs in which the node offers it. */
export interface NodeRow {
  readonly node: ServiceNode;
  readonly codecs: readonly string[];
}

const DEFAULT_WEIGHT = 100;

/** The weight that weighted() gives to the node. */
export function weightOf({ metadata }: ServiceNode): number {
  const text = metadata[WEIGHT_KEY];
  return text !== undefined && /^\d{1,7}$/.test(text) ? Number(text) : DEFAULT_WEIGHT;
}

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** One row for the entries that differ in their codec only, ordered by service and id. */
export function mergeCodecs(nodes: readonly ServiceNode[]): NodeRow[] {
  const rows = new Map<string, { node: ServiceNode; codecs: string[] }>();
  for (const node of nodes) {
    const key = JSON.stringify([
      node.service,
      node.version,
      node.group,
      node.id,
      node.address,
      weightOf(node),
    ]);
    const row = rows.get(key);
    if (row === undefined) rows.set(key, { node, codecs: [node.protocol] });
    else row.codecs.push(node.protocol);
  }
  return [...rows.entries()].sort(([a], [b]) => byText(a, b)).map(([, row]) => row);
}

const ZONE: Column<NodeRow> = { title: 'ZONE', cell: ({ node }) => node.metadata[ZONE_KEY] };
const COLUMNS: readonly Column<NodeRow>[] = [
  { title: 'SERVICE', cell: ({ node }) => node.service },
  { title: 'VERSION', cell: ({ node }) => node.version },
  { title: 'GROUP', cell: ({ node }) => node.group },
  { title: 'CODECS', cell: ({ codecs }) => [...codecs].sort().join(',') },
  { title: 'NODE', cell: ({ node }) => node.id },
  { title: 'ADDRESS', cell: ({ node }) => redactUrl(node.address) },
  { title: 'WEIGHT', cell: ({ node }) => weightOf(node) },
  { title: 'META', cell: ({ node }) => node.metadata[META_KEY] },
];

/** The columns of a table with `rows`. ZONE is one of them if a node has a zone. */
export function nodeColumns(rows: readonly NodeRow[]): readonly Column<NodeRow>[] {
  return rows.some(({ node }) => node.metadata[ZONE_KEY]) ? [...COLUMNS, ZONE] : COLUMNS;
}

/** A node on one line, for a change. */
export function nodeText(node: ServiceNode): string {
  const { service, version, group, protocol, id, address } = node;
  const name = [service, version, group && `group ${group}`, protocol].filter(Boolean).join(' ');
  const zone = node.metadata[ZONE_KEY];
  const suffix = `weight ${weightOf(node)}${zone ? `, zone ${zone}` : ''}`;
  return printable(`${name}: ${id} at ${redactUrl(address)}, ${suffix}`, 400);
}

/** A node as JSON, in the words of the command line. */
export function nodeJson(node: ServiceNode): object {
  const { service, version, group, protocol, id, address, metadata } = node;
  const others = Object.entries(metadata).filter(([key]) => key !== META_KEY && key !== WEIGHT_KEY);
  return {
    service,
    version,
    group,
    codec: protocol,
    node: id,
    address: redactUrl(address),
    weight: weightOf(node),
    meta: metadata[META_KEY],
    metadata: Object.fromEntries(others),
  };
}
