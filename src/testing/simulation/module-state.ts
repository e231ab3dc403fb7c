/**
 * The state of modules of this package that belongs to a process: timers that sessions share, the
 * sessions that must be flushed, the budget of a turn, the servers at memory://, and counters. Each
 * simulated process has its own, so the crash of one host does not stop the timers of another.
 */
import { exchangeState as turn } from '../../core/turn.js';
import { exchangeState as recentRequests } from '../../rpc/calls/datagrams/recent-requests.js';
import { exchangeState as endpoint } from '../../transport/endpoint.js';
import { exchangeState as busyPoll } from '../../transport/session/busy-poll.js';
import { exchangeState as flushScheduler } from '../../transport/session/flush-scheduler.js';
import { exchangeState as session } from '../../transport/session/session.js';
import { exchangeState as timerWheel } from '../../transport/session/timer-wheel.js';
import { exchangeState as memory } from '../../transport/stream/memory.js';

type Exchange = (next?: never) => unknown;

const EXCHANGES: readonly Exchange[] = [
  turn,
  flushScheduler,
  timerWheel,
  busyPoll,
  session,
  endpoint,
  recentRequests,
  memory,
];

/** The states of all modules, in the order of EXCHANGES. Empty for a new process. */
export type ModuleState = unknown[];

/** Makes `next` the state of the modules, and stores the present state in `former`. */
export function exchangeModuleState(former: ModuleState, next: ModuleState): void {
  for (let i = 0; i < EXCHANGES.length; i++)
    former[i] = (EXCHANGES[i] as Exchange)(next[i] as never);
}
