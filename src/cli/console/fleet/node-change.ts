/** Changes of a node that the console notices by asking it, and their events. */
import type { FleetEvent } from '../types.js';

export type NodeChange =
  | { readonly to: 'unreachable' | 'silent'; readonly reason: string }
  /** The first answer. */
  | { readonly to: 'up' }
  /** The first answer after a failure. */
  | { readonly to: 'back'; readonly isRestarted: boolean }
  | { readonly to: 'draining' | 'undrained' }
  /** `refused`: how many sessions the node has refused since its last answer. */
  | { readonly to: 'refusing'; readonly refused: number; readonly reasons: string };

/** An event of a node. Its text follows the name of the node. */
export type NodeEvent = Pick<FleetEvent, 'kind' | 'level' | 'text'>;

/** Undefined for a change without an event. */
export function eventOf(change: NodeChange): NodeEvent | undefined {
  switch (change.to) {
    case 'up':
      return undefined;
    case 'unreachable':
      return { kind: 'reachability', level: 'bad', text: `is unreachable: ${change.reason}` };
    case 'silent':
      return {
        kind: 'reachability',
        level: 'warning',
        text: `does not answer introspection: ${change.reason}`,
      };
    case 'back': {
      const text = change.isRestarted ? 'answers again, as a new process' : 'answers again';
      return { kind: 'reachability', level: 'good', text };
    }
    case 'draining':
      return { kind: 'drain', level: 'warning', text: 'is draining' };
    case 'undrained':
      return { kind: 'drain', level: 'good', text: 'takes calls again' };
    case 'refusing':
      return {
        kind: 'refused',
        level: 'warning',
        text: `has refused sessions: ${change.refused} (${change.reasons})`,
      };
  }
}
