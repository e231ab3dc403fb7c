/** What a provider tells its operators of its entries. */
import { messageOf } from '../../core/errors.js';
import { badOption, checkNames, type NamesOf } from '../../core/options.js';
import type {
  EntrySelector,
  ProviderState,
  ProviderStatus,
  PublishedEntry,
} from '../../rpc/index.js';
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
    ...(state === 'waiting' && { reason: reasonOf(nodes.length - published.length, registry) }),
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

function reasonOf(missing: number, registry: Registry): string {
  const failure = failureOf(registry);
  const reason =
    failure === undefined
      ? `the registry has not confirmed ${missing} ${missing === 1 ? 'entry' : 'entries'}, or another provider with the same id has replaced them`
      : messageOf(failure);
  return reason.length <= MAX_REASON ? reason : `${reason.slice(0, MAX_REASON - 1)}…`;
}

/** Registry.failure, also of a registry of a program, whose getter may throw. */
function failureOf(registry: Registry): unknown {
  try {
    return registry.failure;
  } catch (error) {
    return error;
  }
}

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
