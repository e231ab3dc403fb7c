/** The entries of a registry, grouped by the server that has published them. */
import { createHash } from 'node:crypto';
import { redactUrl } from '../../../core/redact.js';
import type { ServiceNode } from '../../../micro/index.js';
import { printable } from '../../output/printable.js';
import { mergeCodecs, weightOf } from '../../target/node-rows.js';
import type { OfferedService } from '../types.js';

/** The most services of one node. Further ones are left out. */
export const MAX_SERVICES = 50;

/** Hexadecimal digits. */
const HASH_LENGTH = 8;

export interface PublishedNode {
  /** With its secrets, for a connection. */
  readonly address: string;
  readonly id: string;
  readonly services: OfferedService[];
}

/**
 * The address as a key that the page may know and show: without secrets, and printable. If that
 * changes the address, a hash tells it from others that look the same then.
 */
export function keyOf(address: string): string {
  const shown = printable(redactUrl(address));
  if (shown === address) return shown;
  const hash = createHash('sha256').update(address).digest('hex').slice(0, HASH_LENGTH);
  return `${shown} #${hash}`;
}

/** The nodes of a list, by keyOf() their address. */
export function servicesByAddress(list: readonly ServiceNode[]): Map<string, PublishedNode> {
  const nodes = new Map<string, PublishedNode>();
  for (const { node, codecs } of mergeCodecs(list)) {
    const key = keyOf(node.address);
    let found = nodes.get(key);
    if (found === undefined) {
      found = { address: node.address, id: printable(node.id), services: [] };
      nodes.set(key, found);
    }
    if (found.services.length < MAX_SERVICES)
      found.services.push({
        name: printable(node.service),
        version: printable(node.version),
        group: printable(node.group),
        codecs,
        weight: weightOf(node),
      });
  }
  return nodes;
}

/** The weights of the services, without repetition. Empty: the node has none. */
export function weightsOf(services: readonly OfferedService[]): string {
  return [...new Set(services.flatMap(({ weight }) => weight ?? []))].join(', ');
}
