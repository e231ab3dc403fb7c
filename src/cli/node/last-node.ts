/** Finds the services that no node offers any more when a provider is drained. */
import { redactUrl, showUrl } from '../../core/redact.js';
import { untilAborted } from '../../core/signals.js';
import type { ServiceNode } from '../../micro/index.js';
import type { ProviderStatus, PublishedEntry, RpcClient } from '../../rpc/index.js';
import { UsageError } from '../failure.js';
import type { Output } from '../output/output.js';
import { cut, MAX_CELL } from '../output/printable.js';
import { type IntrospectionSettings, statusOfServer } from '../target/introspection.js';
import { publishedNodes } from '../target/published-nodes.js';

/** The most services that a message names. */
const MAX_NAMES = 5;
/** The most addresses of other nodes that are tried. Further ones count as reachable. */
const MAX_TRIED = 20;

/** Whether a server listens at an address. Does not reject. */
export type CanReach = (address: string) => Promise<boolean>;

/**
 * Checks that another node in the registry at `url`, which can be reached, offers each service of
 * the provider in the same version, codec and group. Else it throws UsageError, or tells it with
 * `isForced`. Rejects with REGISTRY_FAILED if the registry cannot be read, and if the server has no
 * introspection. The answer is that of one moment: other providers may be drained meanwhile.
 */
export async function checkOtherNodes(
  client: RpcClient,
  url: string,
  isForced: boolean,
  output: Output,
  settings: IntrospectionSettings,
  canReach: CanReach,
): Promise<void> {
  const { provider } = await statusOfServer(client, settings);
  // A server without a provider refuses to be drained.
  if (provider === undefined) return;
  const nodes = await untilAborted(publishedNodes(url), settings.signal);
  const problem = await problemOf(provider, nodes, url, canReach);
  if (problem === undefined) return;
  if (!isForced)
    throw new UsageError(`drain: ${problem}; nothing is changed; --force drains the provider`);
  output.progress(`warning: ${problem}`);
}

/** Why the provider should not be drained. */
async function problemOf(
  { id, total, entries }: ProviderStatus,
  nodes: readonly ServiceNode[],
  url: string,
  canReach: CanReach,
): Promise<string | undefined> {
  // Entries that are not published get no calls from consumers now.
  const published = entries.filter(({ isPublished }) => isPublished);
  const isOwn = (node: ServiceNode): boolean =>
    node.id === id && published.some((entry) => isSame(entry, node, true));
  const others = nodes.filter((node) => !isOwn(node));
  if (published.length > 0 && others.length === nodes.length)
    return `the registry ${showUrl(url)} does not list this provider, ${cut(id, MAX_CELL)}; is it the right one?`;
  const offered = others.filter((node) => published.some((entry) => isSame(entry, node, false)));
  const reachable = await reachableOf(offered, canReach);
  const last = published.filter((entry) => !reachable.some((node) => isSame(entry, node, false)));
  if (last.length > 0) {
    const which = reachable.length < offered.length ? 'that can be reached ' : '';
    return `no other node ${which}in ${showUrl(url)} offers ${namesOf(last)}`;
  }
  if (total > entries.length)
    return `the server tells ${entries.length} of its ${total} entries, so the others are not checked`;
  return undefined;
}

async function reachableOf(
  nodes: readonly ServiceNode[],
  canReach: CanReach,
): Promise<ServiceNode[]> {
  const addresses = [...new Set(nodes.map(({ address }) => address))].slice(0, MAX_TRIED);
  const answers = await Promise.all(addresses.map(canReach));
  const unreachable = new Set(addresses.filter((_, at) => !answers[at]));
  return nodes.filter(({ address }) => !unreachable.has(address));
}

function isSame(entry: PublishedEntry, node: ServiceNode, hasAddress: boolean): boolean {
  return (
    entry.service === node.service &&
    entry.version === node.version &&
    entry.group === node.group &&
    entry.codec === node.protocol &&
    (!hasAddress || redactUrl(entry.address) === redactUrl(node.address))
  );
}

/** `Orders v1 json, Shop v2 protobuf in the group sh and 3 others`. */
function namesOf(entries: readonly PublishedEntry[]): string {
  const names = entries.slice(0, MAX_NAMES).map(({ service, version, codec, group }) => {
    const words = [service, version, codec].filter(Boolean).map((word) => cut(word, MAX_CELL));
    return words.join(' ') + (group === '' ? '' : ` in the group ${cut(group, MAX_CELL)}`);
  });
  const rest = entries.length - names.length;
  return names.join(', ') + (rest > 0 ? ` and ${rest} others` : '');
}
