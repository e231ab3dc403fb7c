/**
 * The providers of this process that publish the same entry in the same registry object. A registry
 * keeps only the newest registration of an entry. So these providers notify each other.
 */
import { nodeKey } from '../snapshots.js';
import type { Registry, ServiceNode } from '../types.js';

/** A provider that publishes an entry. */
export interface EntryOwner {
  /** Called when another provider has published the entry of this node. */
  onTakenOver(node: ServiceNode): void;
  /**
   * Publishes the entry of this node again, because its newer owner leaves. Resolves with false if
   * it could not. Does not reject.
   */
  republish(node: ServiceNode): Promise<boolean>;
}

/** The owners of each entry, by nodeKey(), in the order in which they published it last. */
type OwnersByKey = Map<string, readonly EntryOwner[]>;

const ownersByRegistry = new WeakMap<Registry, OwnersByKey>();

/** Records that `owner` has published the entry of `node`. Notifies the owner before it. */
export function takeEntry(registry: Registry, node: ServiceNode, owner: EntryOwner): void {
  const byKey: OwnersByKey = ownersByRegistry.get(registry) ?? new Map();
  ownersByRegistry.set(registry, byKey);
  const key = nodeKey(node);
  const owners = byKey.get(key) ?? [];
  byKey.set(key, [...owners.filter((other) => other !== owner), owner]);
  const last = owners.at(-1);
  if (last !== undefined && last !== owner) last.onTakenOver(node);
}

/**
 * Must be called before `owner` removes the entry of `node`. The provider that published the entry
 * before `owner` publishes it again first, so that every list has the entry.
 */
export async function leaveEntry(
  registry: Registry,
  node: ServiceNode,
  owner: EntryOwner,
): Promise<void> {
  const byKey = ownersByRegistry.get(registry);
  const key = nodeKey(node);
  const owners = byKey?.get(key) ?? [];
  if (byKey === undefined || !owners.includes(owner)) return;
  const left = owners.filter((other) => other !== owner);
  if (left.length > 0) byKey.set(key, left);
  else byKey.delete(key);
  if (owners.at(-1) !== owner) return;
  for (const next of [...left].reverse()) if (await next.republish(node)) return;
}
