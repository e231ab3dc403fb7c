/** The answer of the method `sessions` of the introspection service. */
import { textBytes } from '../../core/bytes.js';
import { MAX_DECODED_OBJECTS } from '../../transport/codecs/json-text.js';
import { SESSION_DEFAULTS } from '../../transport/session/session-options.js';
import { RpcError } from '../errors.js';
import type { CallCounts, Channel } from '../types.js';

/** A session of the server. */
export interface SessionReport {
  /** For Admin.closeSession(). No other session of any server has it. */
  readonly id: string;
  /** The address of the peer. */
  readonly peer: string;
  /**
   * Identity.subject of the last call that auth() accepted, cut at 64 characters. Absent: none.
   */
  readonly identity?: string | undefined;
  /** Whether the peer supports the extensions of this library. Absent: not known yet. */
  readonly extended?: boolean | undefined;
  /** Milliseconds since the session opened. */
  readonly age: number;
  /** Bytes that the peer has sent, before compression. */
  readonly bytesRead: number;
  /** Bytes that were sent to the peer, before compression. */
  readonly bytesWritten: number;
  /** Bytes that the operating system has not accepted yet. */
  readonly queuedBytes: number;
  /** Calls to the peer that wait for their reply. */
  readonly pending: number;
  /** The peer's calls that are being handled. */
  readonly serving: number;
  readonly calls: CallCounts;
  readonly served: CallCounts;
}

/** The sessions of the server. */
export interface SessionsReport {
  /** How many sessions the server has, including sessions that are not in `sessions`. */
  readonly total: number;
  readonly sessions: readonly SessionReport[];
}

/** The argument of the method `sessions`. */
export interface SessionsRequest {
  /**
   * The most sessions in the report, from 0 to 3,000. The report has fewer if more would exceed the
   * defaults of maxMessageBytes or maxDecodedObjects: at least 1,000, and usually 2,700. Default:
   * 1,000.
   */
  readonly limit?: number | undefined;
}

const MAX_SESSIONS = 3_000;
const DEFAULT_SESSIONS = 1_000;
/** Characters of an identity. */
const MAX_IDENTITY = 64;
/** For the header of the answer, and for what surrounds the sessions. */
const RESERVED_BYTES = 4_096;
const MAX_REPORT_BYTES = SESSION_DEFAULTS.maxMessageBytes - RESERVED_BYTES;
/** Names and values of one session, as maxDecodedObjects counts them. */
const OBJECTS_OF_SESSION = 37;
const MAX_REPORTED_SESSIONS = Math.floor((MAX_DECODED_OBJECTS - 10) / OBJECTS_OF_SESSION);

/** What a report tells of a channel. */
export interface ReportedChannel
  extends Pick<Channel, 'peer' | 'extended' | 'pending' | 'serving' | 'statistics' | 'subject'> {
  /** The number of its session in this process. */
  readonly sessionNumber: number;
  /** Milliseconds since it opened. */
  readonly age: number;
}

/** The id of a session. `server`: the part that all sessions of the server share. */
export function sessionIdOf(server: string, { sessionNumber }: ReportedChannel): string {
  return `${server}-${sessionNumber}`;
}

/**
 * The report that a request asks for. `server`: see sessionIdOf(). Throws INVALID_ARGUMENT when the
 * request is invalid.
 */
export function sessionsReport(
  server: string,
  channels: ReadonlySet<ReportedChannel>,
  request: unknown,
): SessionsReport {
  const limit = Math.min(limitOf(request), MAX_REPORTED_SESSIONS);
  const sessions: SessionReport[] = [];
  let bytes = 0;
  for (const channel of channels) {
    if (sessions.length >= limit) break;
    const report = sessionReport(server, channel);
    // The comma between two sessions is one more.
    bytes += textBytes(JSON.stringify(report)) + 1;
    if (bytes > MAX_REPORT_BYTES) break;
    sessions.push(report);
  }
  return { total: channels.size, sessions };
}

function sessionReport(server: string, channel: ReportedChannel): SessionReport {
  const { peer, subject, extended, age, pending, serving, statistics } = channel;
  const { bytesRead, bytesWritten, queuedBytes, calls, served } = statistics;
  return {
    id: sessionIdOf(server, channel),
    peer,
    identity: subject === undefined ? undefined : shorten(subject),
    extended,
    age,
    bytesRead,
    bytesWritten,
    queuedBytes,
    pending,
    serving,
    calls,
    served,
  };
}

function shorten(subject: string): string {
  return subject.length <= MAX_IDENTITY ? subject : `${subject.slice(0, MAX_IDENTITY - 1)}…`;
}

/** Returns the limit of a request. Throws INVALID_ARGUMENT when it is invalid. */
function limitOf(request: unknown): number {
  const { limit = DEFAULT_SESSIONS } = (request ?? {}) as SessionsRequest;
  if (typeof limit === 'number' && Number.isInteger(limit) && limit >= 0 && limit <= MAX_SESSIONS)
    return limit;
  throw new RpcError('INVALID_ARGUMENT', `limit: expected an integer from 0 to ${MAX_SESSIONS}`);
}
