/** What broadcast() and publish() take and return. */
import { GettyError, gettyError, messageOf } from '../../core/errors.js';
import { badOption, checkNames, type NamesOf } from '../../core/options.js';
import type { TransportSession } from '../session/session.js';
import type { Session } from '../types.js';

/** A session whose types of messages do not matter. */
export type AnySession = TransportSession<never, unknown>;

/** Options of broadcast() and of Topics.publish(). */
export interface BroadcastOptions<In = never, Out = never> {
  /** A session, or several, that do not get the message. Default: none. */
  except?: Session<In, Out> | Iterable<Session<In, Out>> | undefined;
  /**
   * What happens with a session whose queuedBytes are at or over its highWaterMark:
   *
   * - `'skip'`: it does not get this message.
   * - `'latest'`: it gets the newest message when its queue is below the mark again. At most one
   *   message waits for a session and a topic. All calls of broadcast() count as one topic.
   * - `'close'`: it is destroyed with SESSION_BLOCKED.
   *
   * Default: `'skip'`.
   */
  slow?: 'skip' | 'latest' | 'close' | undefined;
}

/**
 * What became of the sessions of one broadcast. Sessions in `except`, and sessions that were closed
 * before, are not counted.
 */
export interface BroadcastResult {
  /** The message is queued for so many sessions. */
  readonly sent: number;
  /**
   * So many sessions do not get the message: they are slow, or a UDP server may not send more to
   * their peers (PEER_NOT_TRUSTED), or more than 65,536 messages of earlier calls wait for peers of
   * the UDP server.
   */
  readonly skipped: number;
  /** With `'latest'`: so many slow sessions get it later, unless a newer message replaces it. */
  readonly waiting: number;
  /** With `'close'`: so many slow sessions are destroyed, in this turn or in the next ones. */
  readonly closed: number;
  /** For so many sessions the message could not be encoded. Not 0 only in a BroadcastError. */
  readonly failed: number;
}

/**
 * The error of a broadcast whose message cannot be encoded for some of the sessions. The other
 * sessions have got it. `code` and `cause` are those of the first failure.
 */
export class BroadcastError extends GettyError implements BroadcastResult {
  readonly sent: number;
  readonly skipped: number;
  readonly waiting: number;
  readonly closed: number;
  readonly failed: number;

  constructor(failure: GettyError, { sent, skipped, waiting, closed, failed }: BroadcastResult) {
    super(
      failure.code,
      `${failure.message}; the message failed for ${failed} sessions and is sent to ${sent}`,
      failure.cause ?? failure,
    );
    this.name = 'BroadcastError';
    this.sent = sent;
    this.skipped = skipped;
    this.waiting = waiting;
    this.closed = closed;
    this.failed = failed;
  }
}

const NAMES = { except: true, slow: true } satisfies NamesOf<BroadcastOptions>;
const POLICIES: readonly unknown[] = ['skip', 'latest', 'close'];

export interface BroadcastSettings {
  readonly except: ReadonlySet<unknown> | undefined;
  readonly slow: 'skip' | 'latest' | 'close';
}

const DEFAULTS: BroadcastSettings = { except: undefined, slow: 'skip' };

/** Throws BAD_OPTION. `of`: the function that takes the options. */
export function resolveBroadcastOptions<In, Out>(
  of: string,
  options: BroadcastOptions<In, Out> | undefined,
): BroadcastSettings {
  if (options === undefined) return DEFAULTS;
  checkNames(of, options, NAMES);
  const { except, slow = 'skip' } = options;
  if (!POLICIES.includes(slow)) throw badOption('slow', slow, "'skip', 'latest' or 'close'");
  return { except: setOf(except), slow };
}

function setOf(except: unknown): ReadonlySet<unknown> | undefined {
  if (except === undefined) return except;
  if (typeof except !== 'object' || except === null)
    throw badOption('except', except, 'a session or an iterable of sessions');
  return new Set(isIterable('except', except) ? itemsOf('except', except) : [except]);
}

/** Throws BAD_OPTION. */
export function checkIterable(name: string, value: unknown, expected: string): void {
  if (!isIterable(name, value)) throw badOption(name, value, expected);
}

/** Throws BAD_OPTION for a value that throws. */
function isIterable(name: string, value: unknown): value is Iterable<unknown> {
  if (typeof value !== 'object' || value === null) return false;
  try {
    return typeof (value as Partial<Iterable<unknown>>)[Symbol.iterator] === 'function';
  } catch (error) {
    throw throwsError(name, error);
  }
}

/** A copy. Throws BAD_OPTION if the iteration throws. */
export function itemsOf(name: string, items: Iterable<unknown>): readonly unknown[] {
  try {
    return [...items];
  } catch (error) {
    throw throwsError(name, error);
  }
}

function throwsError(name: string, error: unknown): Error {
  const message = `${name}: got an object that throws: ${messageOf(error)}`;
  return gettyError('BAD_OPTION', message, error);
}
