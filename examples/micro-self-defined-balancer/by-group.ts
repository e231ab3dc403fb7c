/** A self-defined balancer: a call goes to a node of the group that its metadata name. */
import { type Balancer, META_KEY, type ServiceNode } from 'getty-ts/micro';
import { RpcError } from 'getty-ts/rpc';

/** The metadata key of a call that holds the group. */
export const GROUP = 'group_id';

/**
 * The group in the meta string of a provider, such as `{"group_id":2}`. Every program that may
 * write to the registry may publish other text, so the content is checked.
 */
function groupOf({ metadata }: ServiceNode): string | undefined {
  try {
    const group: unknown = JSON.parse(metadata[META_KEY] ?? '{}').group_id;
    return typeof group === 'number' || typeof group === 'string' ? `${group}` : undefined;
  } catch {
    return undefined;
  }
}

/** Picks the nodes of the group in turn. */
export function byGroup(): Balancer {
  return () => {
    // The list is the same array until it changes.
    const groupsByList = new WeakMap<
      readonly ServiceNode[],
      Map<string | undefined, ServiceNode[]>
    >();
    let turn = 0;
    return (nodes, call) => {
      let groups = groupsByList.get(nodes);
      if (groups === undefined) {
        groups = new Map();
        for (const node of nodes) {
          const group = groupOf(node);
          groups.set(group, [...(groups.get(group) ?? []), node]);
        }
        groupsByList.set(nodes, groups);
      }
      const group = call.metadata[GROUP];
      const members = groups.get(group) ?? [];
      const node = members[turn++ % members.length];
      if (node === undefined)
        throw new RpcError('UNAVAILABLE', `no node of group ${group}`, { unsent: true });
      return node;
    };
  };
}
