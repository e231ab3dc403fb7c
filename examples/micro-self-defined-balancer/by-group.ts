/** A balancer of our own: a call goes to a node of the group that it names. */
import { type Balancer, META_KEY, type ServiceNode } from 'getty-ts/micro';
import { RpcError } from 'getty-ts/rpc';

/** The metadata of a call that says which group it is for. */
export const GROUP = 'group_id';

/**
 * What a provider says in its meta string: `{"group_id":2}`. Whoever may write to the registry may
 * write something else.
 */
function groupOf({ metadata }: ServiceNode): string | undefined {
  try {
    const group: unknown = JSON.parse(metadata[META_KEY] ?? '{}').group_id;
    return typeof group === 'number' || typeof group === 'string' ? `${group}` : undefined;
  } catch {
    return undefined;
  }
}

/** The nodes of each group, in turn. */
export function byGroup(): Balancer {
  return () => {
    // A list is the same array until it changes: it is looked through once.
    const groups = new WeakMap<readonly ServiceNode[], Map<string | undefined, ServiceNode[]>>();
    let turn = 0;
    return (nodes, call) => {
      let known = groups.get(nodes);
      if (known === undefined) {
        known = new Map();
        for (const node of nodes) {
          const group = groupOf(node);
          known.set(group, [...(known.get(group) ?? []), node]);
        }
        groups.set(nodes, known);
      }
      const wanted = call.metadata[GROUP];
      const members = known.get(wanted) ?? [];
      const node = members[turn++ % members.length];
      if (node === undefined)
        throw new RpcError('UNAVAILABLE', `no node of group ${wanted}`, { unsent: true });
      return node;
    };
  };
}
