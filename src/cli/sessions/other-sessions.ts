/** The sessions of a server, without that of the command that asks. */
import type { RpcClient, SessionReport, SessionsReport } from '../../rpc/index.js';
import { type IntrospectionSettings, listSessions } from '../target/introspection.js';

/** The most sessions that the introspection of a server reports. */
export const MAX_SESSIONS = 3_000;

/** `total` does not count the session of this command either, if it is left out. */
export interface OtherSessions extends SessionsReport {
  /** False: the session of this command could not be found in the report. */
  readonly isOwnLeftOut: boolean;
}

/**
 * Sessions of a server, those with the most queued bytes first, then those with the most calls in
 * flight. Rejects with AdvisedError.
 */
export async function otherSessions(
  client: RpcClient,
  settings: IntrospectionSettings,
): Promise<OtherSessions> {
  const { total, sessions } = await listSessions(client, MAX_SESSIONS, settings);
  const own = ownSession(client, sessions);
  return {
    total: own === undefined ? total : total - 1,
    sessions: sessions.filter((session) => session !== own).sort(byWork),
    isOwnLeftOut: own !== undefined,
  };
}

const byWork = (a: SessionReport, b: SessionReport): number =>
  b.queuedBytes - a.queuedBytes || b.serving - a.serving || b.pending - a.pending;

/**
 * The youngest session from which the server has read as many bytes as this client has sent. The
 * address would not tell: a relay or a socket without a name may be between them.
 */
function ownSession(
  { channels }: RpcClient,
  sessions: readonly SessionReport[],
): SessionReport | undefined {
  const sent = new Set([...channels].map(({ statistics }) => statistics.bytesWritten));
  return sessions.filter(({ bytesRead }) => sent.has(bytesRead)).sort((a, b) => a.age - b.age)[0];
}
