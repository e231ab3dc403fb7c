/** The entries of a registry, grouped by the server that has published them. */
import { redactUrl } from '../../../core/redact.js';
import type { ServiceNode } from '../../../micro/index.js';
import { printable } from '../../output/printable.js';
import { mergeCodecs, weightOf } from '../../target/node-rows.js';
import type { OfferedService } from '../types.js';

/** The most services of one node. Further ones are left out. */
export const MAX_SERVICES = 50;

export interface PublishedNode {
  /** With its secrets, for a connection. */
  readonly address: string;
  readonly id: string;
  readonly services: OfferedService[];
}

/** The nodes of a list. The keys are their addresses without secrets. */
export function servicesByAddress(list: readonly ServiceNode[]): Map<string, PublishedNode> {
  const nodes = new Map<string, PublishedNode>();
  for (const { node, codecs } of mergeCodecs(list)) {
    const key = printable(redactUrl(node.address));
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
