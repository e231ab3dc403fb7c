/** Checks the calls that a server has served, and the bytes that its peers have not read. */
import type { MethodReport, RpcClient, RpcCode, SessionReport } from '../../rpc/index.js';
import { ageText, bytesText } from '../output/quantity.js';
import { otherSessions } from '../sessions/other-sessions.js';
import { isOwnService, isUnimplemented, statisticsOfServer } from '../target/introspection.js';
import type { Terminal } from '../terminal.js';
import { type Check, warning } from './check.js';

/** The codes of failures of a server. The others are mistakes of callers, such as NOT_FOUND. */
const SERVER_CODES: readonly RpcCode[] = [
  'INTERNAL',
  'UNKNOWN',
  'UNAVAILABLE',
  'RESOURCE_EXHAUSTED',
  'DEADLINE_EXCEEDED',
  'DATA_LOSS',
  'ABORTED',
  'FAILED_PRECONDITION',
];
/** Of fewer calls a share says little. */
const MIN_CALLS = 100;
/** The share of failed calls above which it is a warning. */
const MAX_FAILED = 0.05;
/** The most methods that have a check of their own. */
const MAX_METHODS = 20;
/** Bytes in the queue of one session. A session that is written to has some for a moment. */
const MAX_QUEUED = 64 * 1_024;
/** The most peers that a check names. */
const MAX_PEERS = 3;

/** The warnings. None for a server of a version that does not tell its calls or sessions. */
export async function checkTraffic(client: RpcClient, terminal: Terminal): Promise<Check[]> {
  const report = await unlessOlder(statisticsOfServer(client, terminal));
  const others = await unlessOlder(otherSessions(client, terminal));
  return [
    ...(report === undefined ? [] : checkFailures(report.served, report.since)),
    ...checkQueues(others?.sessions ?? []),
  ];
}

async function unlessOlder<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (isUnimplemented(error)) return undefined;
    throw error;
  }
}

/** `since`: when counting began, in ms since the epoch of the server. */
export function checkFailures(served: readonly MethodReport[], since: number): Check[] {
  const failing = served
    .filter(({ service }) => !isOwnService(service))
    .map((method) => ({ method, ...failuresOf(method) }))
    .filter(({ ended, share }) => ended >= MIN_CALLS && share > MAX_FAILED)
    .sort((a, b) => b.share - a.share);
  const age = ageText(Date.now() - since);
  const checks = failing.slice(0, MAX_METHODS).map(({ method, ended, share, codes }) => {
    const name = `${method.service}/${method.method} ${method.version}`.trim();
    return warning(
      'calls',
      `${(100 * share).toFixed(1)} % of ${ended} calls of ${name} have failed within ${age}: ${codes}`,
      'see the log of the server; `getty top` shows whether they fail now',
    );
  });
  const more = failing.length - MAX_METHODS;
  return more > 0 ? [...checks, warning('calls', `so do those of ${more} more methods`)] : checks;
}

function failuresOf({ succeeded, failed }: MethodReport): {
  readonly ended: number;
  readonly share: number;
  readonly codes: string;
} {
  const ended = Object.values(failed).reduce((sum, count) => sum + count, succeeded);
  const counts = SERVER_CODES.map((code) => [code, failed[code] ?? 0] as const)
    .filter(([, count]) => count > 0)
    .sort(([, a], [, b]) => b - a);
  const failures = counts.reduce((sum, [, count]) => sum + count, 0);
  return {
    ended,
    share: ended > 0 ? failures / ended : 0,
    codes: counts.map(([code, count]) => `${code} ${count}`).join(', '),
  };
}

/** `sessions`: those with the most queued bytes first. */
export function checkQueues(sessions: readonly SessionReport[]): Check[] {
  const full = sessions.filter(({ queuedBytes }) => queuedBytes > MAX_QUEUED);
  if (full.length === 0) return [];
  const peers = full
    .slice(0, MAX_PEERS)
    .map(({ peer, queuedBytes }) => `${peer} (${bytesText(queuedBytes)})`);
  const more = full.length > MAX_PEERS ? ' …' : '';
  return [
    warning(
      'sessions',
      `${full.length} ${full.length === 1 ? 'session has' : 'sessions have'} more than ` +
        `${bytesText(MAX_QUEUED)} queued: ${peers.join(', ')}${more}`,
      'the peer reads too slowly, or not at all; `getty sessions ADDRESS` shows its queue',
    ),
  ];
}
