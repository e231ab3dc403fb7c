/** A leak, and the message of assertNoLeaks(). */
import { counted } from '../assertion.js';

/** Something that the process still holds. */
export interface Leak {
  /**
   * - `server`, `client`, `consumer`: it was not closed
   * - `session`: its endpoint was not closed, or is closing
   * - `call`, `stream`: a call or stream that this process made has not ended
   * - `handler`: a handler has not answered, or still streams, also after the end of its session
   * - `timer`: a timer of the package is running
   */
  readonly kind:
    | 'server'
    | 'client'
    | 'consumer'
    | 'session'
    | 'call'
    | 'stream'
    | 'handler'
    | 'timer';
  /** Such as `server at tcp://127.0.0.1:8848`. */
  readonly description: string;
  /**
   * The stack of the code that created it; of a session, call, stream or handler: that created its
   * endpoint; of a call of a mock stub: that made the call. Empty when it is unknown.
   */
  readonly stack: string;
  /** Different for each resource of this process. */
  readonly id: number;
}

/** How many endpoints, consumers and other resources the message shows with their stacks. */
const MAX_SHOWN = 20;
/** How many calls, streams, handlers and sessions it shows of each endpoint. */
const MAX_HELD = 10;
/** What a program must end comes before what ends with it. */
const ORDER: readonly Leak['kind'][] = ['stream', 'call', 'handler', 'session'];

/** `holderOf`: equal for resources that end together. */
export function leakReport(left: readonly Leak[], holderOf: (leak: Leak) => unknown): string {
  const groups = new Map<unknown, Leak[]>();
  for (const leak of left) {
    if (leak.kind === 'timer') continue;
    const holder = holderOf(leak);
    groups.set(holder, [...(groups.get(holder) ?? []), leak]);
  }
  const timers = left.filter(({ kind }) => kind === 'timer');
  // Without an endpoint each timer is a cause of its own.
  const blocks = groups.size > 0 ? [...groups.values()].map(blockOf) : timers.map(withStack);
  const lines = blocks.slice(0, MAX_SHOWN);
  if (blocks.length > MAX_SHOWN) lines.push(`and ${blocks.length - MAX_SHOWN} more`);
  if (groups.size > 0 && timers.length > 0)
    lines.push(`${counted(timers.length, 'timer')} of the resources above`);
  const verb = left.length === 1 ? 'is' : 'are';
  return `${counted(left.length, 'resource')} of getty-ts ${verb} left:\n${lines.join('\n')}`;
}

/** An endpoint with its stack, and what it holds. */
function blockOf(group: readonly Leak[]): string {
  const rank = ({ kind }: Leak): number => ORDER.indexOf(kind);
  const [first, ...held] = [...group].sort((a, b) => rank(a) - rank(b)) as [Leak, ...Leak[]];
  const lines = held.slice(0, MAX_HELD).map(({ description }) => `  holds ${description}`);
  if (held.length > MAX_HELD) lines.push(`  and ${held.length - MAX_HELD} more`);
  return [withStack(first), ...lines].join('\n');
}

function withStack({ description, stack }: Leak): string {
  return `${description}\n${stack}`.trimEnd();
}
