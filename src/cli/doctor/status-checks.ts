/** Checks what a server tells of its state: its clock, its provider, and whom it refused. */
import type { EventLoopDelay, ProviderStatus, RpcClient, ServerStatus } from '../../rpc/index.js';
import { ageText, bytesText } from '../output/quantity.js';
import { isUnimplemented, statusOfServer } from '../target/introspection.js';
import type { Terminal } from '../terminal.js';
import { type Check, ok, unknown, warning } from './check.js';

/** Milliseconds that two clocks may differ without a warning. */
const CLOCK_TOLERANCE = 1_000;
/** Milliseconds. A process that blocks its event loop for longer delays all of its calls. */
const MAX_EVENT_LOOP_DELAY = 200;

/** The name of the check of the event loop. */
export const EVENT_LOOP = 'event loop';

export interface StatusChecks {
  readonly checks: readonly Check[];
  /** The id of its provider. Undefined: it has none, or does not tell it. */
  readonly providerId?: string | undefined;
}

/** Asks a server for its status. No checks for a server that does not tell it. */
export async function checkStatus(client: RpcClient, terminal: Terminal): Promise<StatusChecks> {
  const start = Date.now();
  let status: ServerStatus;
  try {
    status = await statusOfServer(client, terminal);
  } catch (error) {
    if (isUnimplemented(error)) return { checks: [] };
    throw error;
  }
  const checks = [
    stateCheck(status),
    ...checkClock(status.time, start, Date.now()),
    ...checkRefusals(status.refusals),
    checkEventLoop(status),
  ];
  return { checks, providerId: status.provider?.id };
}

function stateCheck({ process, sessions, provider }: ServerStatus): Check {
  const { version, nodeVersion, uptime, rss } = process;
  const text =
    `getty ${version ?? 'of an unknown version'} on Node.js ${nodeVersion}, up for ` +
    `${ageText(uptime)}, ${bytesText(rss)}; sessions: ${sessions}`;
  if (provider === undefined) return ok('state', text);
  const { state, reason, entries, total } = provider;
  const published = entries.filter(({ isPublished }) => isPublished).length;
  if (state === 'published') {
    const detail = `${text}; entries published: ${total}`;
    if (reason === undefined) return ok('state', detail);
    return warning('state', `${detail}; the registry is away now: ${reason}`, adviceFor(provider));
  }
  if (state === 'draining' && published > 0)
    return warning(
      'state',
      `${text}; the provider is drained, but its registry has not removed its entries yet` +
        ` (${published}), so consumers may call it: ${reason ?? 'no reason given'}`,
      'do not stop it yet; `getty node drain ADDRESS` tells when they are removed',
    );
  if (state === 'draining')
    return warning(
      'state',
      `${text}; the provider is drained, so consumers do not find it`,
      '`getty node undrain ADDRESS` publishes it again',
    );
  const missing = entries.length - published;
  return warning(
    'state',
    `${text}; ${missing} of ${total} entries are not published: ${reason ?? 'no reason given'}`,
    adviceFor(provider),
  );
}

function adviceFor({ reason = '' }: ProviderStatus): string {
  return /another provider/.test(reason)
    ? 'give each provider an id of its own'
    : 'is the registry there, and reachable from the machine of the provider?';
}

/** `before`, `after`: when this machine asked and got the answer, in ms since the epoch. */
function checkClock(time: number, before: number, after: number): Check[] {
  const difference = time > after ? time - after : Math.min(0, time - before);
  if (Math.abs(difference) <= CLOCK_TOLERANCE) return [];
  const seconds = Math.round(Math.abs(difference) / 1_000);
  const side = difference > 0 ? 'ahead of' : 'behind';
  return [
    warning(
      'clock',
      `the clock of the server is ${seconds} s ${side} that of this machine`,
      'synchronize both clocks',
    ),
  ];
}

function checkRefusals(refusals: ServerStatus['refusals']): Check[] {
  const counts = Object.entries(refusals).filter(([, count]) => count > 0);
  if (counts.length === 0) return [];
  const text = counts.map(([reason, count]) => `${reason} ${count}`).join(', ');
  return [
    warning(
      'refusals',
      `the server has refused peers since its start: ${text}`,
      'its option onRefused tells which peers, and why',
    ),
  ];
}

/** What to do about an event loop that was not measured. A server reports 5 to 10 s. */
export const MEASURE_AGAIN = 'this request starts the measurement: run it again in 5 s';

/** Whether an event loop is blocked for so long that it delays all calls of its process. */
export const isBlocked = ({ max }: EventLoopDelay): boolean =>
  Math.round(max) > MAX_EVENT_LOOP_DELAY;

function checkEventLoop({ process: { eventLoopDelay } }: ServerStatus): Check {
  if (eventLoopDelay === undefined) return unknown(EVENT_LOOP, 'not measured yet', MEASURE_AGAIN);
  const max = Math.round(eventLoopDelay.max);
  if (!isBlocked(eventLoopDelay)) return ok(EVENT_LOOP, `blocked for at most ${max} ms`);
  return warning(
    EVENT_LOOP,
    `the process has blocked its event loop for up to ${max} ms`,
    'its handlers do long work without a pause; use worker threads',
  );
}
