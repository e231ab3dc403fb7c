/** What a provider tells its operators of its entries. */
import { messageOf } from '../../core/errors.js';
import { badOption, checkNames, type NamesOf } from '../../core/options.js';
import type {
  EntrySelector,
  ProviderState,
  ProviderStatus,
  PublishedEntry,
} from '../../rpc/index.js';
import { failureOf } from '../nodes/listed-nodes.js';
import { DEFAULT_WEIGHT, WEIGHT_KEY } from '../registry-entry.js';
import type { Registry, ServiceNode } from '../types.js';

/** The most entries of a status. */
const MAX_ENTRIES = 1_000;
/** Characters of a reason. */
const MAX_REASON = 500;

export function statusOf(
  state: ProviderState,
  nodes: readonly ServiceNode[],
  published: readonly ServiceNode[],
  registry: Registry,
): ProviderStatus {
  const confirmed = new Set(published);
  return {
    state,
    ...reasonOf(state, nodes.length, published.length, registry),
    id: nodes[0]?.id ?? '',
    total: nodes.length,
    entries: nodes.slice(0, MAX_ENTRIES).map((node) => entryOf(node, confirmed.has(node))),
  };
}

function entryOf(node: ServiceNode, isPublished: boolean): PublishedEntry {
  const { service, version, group, protocol: codec, address, metadata } = node;
  const weight = Number(metadata[WEIGHT_KEY] ?? DEFAULT_WEIGHT);
  return { service, version, group, codec, address, weight, isPublished };
}

/** No reason if all is as the state says, and the registry can be reached. */
function reasonOf(
  state: ProviderState,
  total: number,
  published: number,
  registry: Registry,
): { readonly reason?: string } {
  const failure = failureOf(registry);
  const reason = failure === undefined ? missingOf(state, total, published) : messageOf(failure);
  if (reason === undefined) return {};
  const isLong = reason.length > MAX_REASON;
  return { reason: isLong ? `${reason.slice(0, MAX_REASON - 1)}…` : reason };
}

function missingOf(state: ProviderState, total: number, published: number): string | undefined {
  if (state === 'waiting')
    return `the registry has not confirmed ${entries(total - published)}, or another provider with the same id has replaced them`;
  if (state === 'draining' && published > 0)
    return `the registry has not removed ${entries(published)} yet`;
  return undefined;
}

const entries = (count: number): string => (count === 1 ? '1 entry' : `${count} entries`);

const SELECTOR_NAMES = {
  service: true,
  version: true,
  codec: true,
} satisfies NamesOf<EntrySelector>;

/** The nodes that a selector selects. Throws BAD_OPTION if there is none. */
export function selectedNodes(
  nodes: readonly ServiceNode[],
  entries: EntrySelector,
): readonly ServiceNode[] {
  if (typeof entries !== 'object' || entries === null)
    throw badOption('entries', entries, 'an object');
  checkNames('setWeight()', entries, SELECTOR_NAMES);
  const { service, version, codec } = entries;
  const selected = nodes.filter(
    (node) =>
      node.service === service &&
      (version === undefined || node.version === version) &&
      (codec === undefined || node.protocol === codec),
  );
  if (selected.length > 0) return selected;
  const asked = [service, version, codec].filter((part) => part !== undefined).join(' ');
  throw badOption('entries', asked.slice(0, 100), `an entry of this provider: ${namesOf(nodes)}`);
}

/** The first entries of a provider, for a message. */
function namesOf(nodes: readonly ServiceNode[]): string {
  const names = nodes.map(({ service, version, protocol }) =>
    [service, version, protocol].filter((part) => part !== '').join(' '),
  );
  return names.length <= 5 ? names.join(', ') : `${names.slice(0, 5).join(', ')}, …`;
}
