/** broadcast(): one message to many sessions. */
import { asGettyError, codeOf, type GettyError, gettyError } from '../../core/errors.js';
import { badOption } from '../../core/options.js';
import { inTurns, spend } from '../../core/turn.js';
import { SharedMessage } from '../buffers/shared-message.js';
import { atEndOfTick, type Flushable } from '../session/flush-scheduler.js';
import { TransportSession } from '../session/session.js';
import { sentTooLargeError } from '../session/session-errors.js';
import type { Codec, Session } from '../types.js';
import {
  type AnySession,
  BroadcastError,
  type BroadcastOptions,
  type BroadcastResult,
  type BroadcastSettings,
  checkIterable,
  itemsOf,
  resolveBroadcastOptions,
} from './broadcast-options.js';
import { LatestMessages } from './latest-messages.js';

/** Writes of one call on connections that write each message at once, such as UDP. */
const WRITES_AT_ONCE = 256;
/**
 * Messages for sessions of one endpoint that may wait for a later turn when a call adds more. One
 * small datagram can cause a message for each of very many sessions.
 */
const MAX_LATER = 64 * 1024;
/** Sessions for which one unit of spend() is counted. */
const SESSIONS_PER_UNIT = 4;

/** The slow sessions that wait for destroy() in a later turn. */
const doomed = new WeakSet<AnySession>();

/** How many messages for the sessions of an endpoint wait for a later turn. */
const laterCounts = new WeakMap<object, number>();

/**
 * Sends `message` to all `sessions`: `server.sessions`, an array, or any other iterable. The
 * sessions of one codec object share one call of Codec.write(), which gets one of the sessions. The
 * WebSocket sessions of a server also share the frame, and with compression the compressed bytes.
 *
 * The message is encoded and queued for every session before this function returns, so its order
 * with other writes is that of the calls. Only the system calls follow later: at the end of the
 * tick, and of many sessions in several turns of the event loop.
 *
 * A session that occurs twice gets the message twice. Closed sessions are left out. Throws
 * BAD_OPTION, and a BroadcastError when the message cannot be encoded: sessions with other codecs,
 * or with a higher maxMessageBytes, have got it then.
 *
 * ```ts
 * const { sent, skipped } = broadcast(server.sessions, 'hello, all', { except: session });
 * ```
 */
export function broadcast<In, Out>(
  sessions: Iterable<Session<In, Out>>,
  message: Out,
  options?: BroadcastOptions<In, Out>,
): BroadcastResult {
  const settings = resolveBroadcastOptions('broadcast()', options);
  checkIterable('sessions', sessions, 'an iterable of sessions');
  return broadcastTo(sessions, message, settings, ofBroadcast);
}

/** As broadcast(). With `'latest'` messages wait in `latest`. */
export function broadcastTo(
  sessions: Iterable<unknown>,
  message: unknown,
  { except, slow }: BroadcastSettings,
  latest: LatestMessages,
): BroadcastResult {
  const broadcast = new Broadcast(message, slow, latest);
  // All are checked first, so that an error does not leave a part of the sessions with the message.
  const all = sessionsOf(sessions);
  try {
    for (const session of all) if (except?.has(session) !== true) broadcast.add(session);
  } finally {
    broadcast.finish();
  }
  return broadcast.result();
}

/** A copy, because a codec may change the list, such as `server.sessions`. Throws BAD_OPTION. */
function sessionsOf(sessions: Iterable<unknown>): readonly AnySession[] {
  const all = itemsOf('sessions', sessions);
  for (const session of all)
    if (!isTransportSession(session))
      throw badOption('a session', session, 'a session of serve() or connect()');
  return all as readonly AnySession[];
}

/** False for a Proxy of a session and for an object that inherits from one. Never throws. */
export function isTransportSession(session: unknown): session is AnySession {
  return TransportSession.isSession(session);
}

/** Sends the message of a `'latest'` policy to a session that has drained. */
export function sendLatest(session: AnySession, message: SharedMessage): void {
  const unflushed: Flushable[] = [];
  try {
    session.writeShared(message, unflushed);
  } catch {
    // The session is closing, or its peer may get no more.
  }
  flushLater(unflushed);
}

const ofBroadcast = new LatestMessages(sendLatest);

/** Not flushSoon(), which would make the system calls of all sessions in one turn. */
function flushLater(unflushed: readonly Flushable[]): void {
  if (unflushed.length === 0) return;
  atEndOfTick(() => inTurns(unflushed, (session) => session.flush()));
}

class Broadcast {
  readonly #message: unknown;
  readonly #slow: BroadcastSettings['slow'];
  readonly #latest: LatestMessages;
  /** The message as each codec has encoded it, or the error of that codec. */
  readonly #encoded = new Map<Codec<never, unknown>, SharedMessage | GettyError>();
  #lastCodec: Codec<never, unknown> | undefined;
  #lastEncoded: SharedMessage | GettyError | undefined;
  readonly #unflushed: Flushable[] = [];
  /** Sessions that are written to after the others, in several turns. */
  readonly #later: { readonly session: AnySession; readonly message: SharedMessage }[] = [];
  readonly #blocked: AnySession[] = [];
  #writes = 0;
  #sent = 0;
  #skipped = 0;
  #waiting = 0;
  #failed = 0;
  #failure: GettyError | undefined;

  constructor(message: unknown, slow: BroadcastSettings['slow'], latest: LatestMessages) {
    this.#message = message;
    this.#slow = slow;
    this.#latest = latest;
  }

  add(session: AnySession): void {
    if (session.closed || doomed.has(session)) return;
    // Before the check for slow sessions: a codec may close sessions.
    const encoded = this.#encode(session);
    if (!(encoded instanceof SharedMessage)) return this.#fail(encoded);
    if (session.closed) return;
    if (encoded.payload.length > session.maxMessageBytes)
      return this.#failTooLarge(session, encoded);
    if (session.isBehind) return this.#onSlow(session, encoded);
    this.#latest.drop(session);
    if (session.writesEachMessage && this.#writes++ >= WRITES_AT_ONCE)
      this.#writeLater(session, encoded);
    else this.#write(session, encoded);
  }

  #writeLater(session: AnySession, message: SharedMessage): void {
    const waiting = laterCounts.get(session.endpoint) ?? 0;
    if (waiting - this.#later.length >= MAX_LATER) {
      this.#skipped++;
      return;
    }
    laterCounts.set(session.endpoint, waiting + 1);
    this.#later.push({ session, message });
    this.#sent++;
  }

  #encode(session: AnySession): SharedMessage | GettyError {
    const { codec } = session;
    if (codec === this.#lastCodec) return this.#lastEncoded as SharedMessage | GettyError;
    let encoded = this.#encoded.get(codec);
    if (encoded === undefined) {
      try {
        encoded = new SharedMessage(codec, this.#message, session);
      } catch (error) {
        encoded = asGettyError(error, 'ENCODE_FAILED', 'the codec failed');
      }
      this.#encoded.set(codec, encoded);
    }
    this.#lastCodec = codec;
    this.#lastEncoded = encoded;
    return encoded;
  }

  #write(session: AnySession, message: SharedMessage): void {
    try {
      session.writeShared(message, this.#unflushed);
      this.#sent++;
    } catch (error) {
      const code = codeOf(error);
      if (code === 'SESSION_CLOSED') return;
      if (code === 'SESSION_BLOCKED') this.#onSlow(session, message);
      else if (code === 'PEER_NOT_TRUSTED') this.#skipped++;
      else this.#fail(asGettyError(error, 'ENCODE_FAILED', 'the message cannot be written'));
    }
  }

  #fail(failure: GettyError): void {
    this.#failed++;
    this.#failure ??= failure;
  }

  #failTooLarge({ remoteAddress, maxMessageBytes }: AnySession, { payload }: SharedMessage): void {
    this.#failed++;
    this.#failure ??= sentTooLargeError(remoteAddress, payload.length, maxMessageBytes);
  }

  #onSlow(session: AnySession, message: SharedMessage): void {
    if (this.#slow === 'close') {
      doomed.add(session);
      this.#blocked.push(session);
    } else if (this.#slow === 'latest') {
      this.#latest.put(session, message);
      this.#waiting++;
    } else this.#skipped++;
  }

  /** Begins what takes several turns. */
  finish(): void {
    spend(Math.ceil((this.#sent + this.#skipped) / SESSIONS_PER_UNIT));
    flushLater(this.#unflushed);
    inTurns(this.#later, ({ session, message }) => {
      laterCounts.set(session.endpoint, (laterCounts.get(session.endpoint) as number) - 1);
      sendLatest(session, message);
    });
    inTurns(this.#blocked, closeBlocked);
  }

  /** Throws BroadcastError. */
  result(): BroadcastResult {
    const result = {
      sent: this.#sent,
      skipped: this.#skipped,
      waiting: this.#waiting,
      closed: this.#blocked.length,
      failed: this.#failed,
    };
    if (this.#failure !== undefined) throw new BroadcastError(this.#failure, result);
    return result;
  }
}

function closeBlocked(session: AnySession): void {
  session.destroy(
    gettyError(
      'SESSION_BLOCKED',
      `${session.remoteAddress} is too slow for a broadcast: ${session.queuedBytes} bytes are queued, highWaterMark is ${session.highWaterMark}`,
    ),
  );
}
