/** Topics: sessions subscribe to names, and a message is published to all subscribers of a name. */

import { copyText } from '../../core/bytes.js';
import { gettyError } from '../../core/errors.js';
import { badOption, checkNames, type NamesOf, show, withDefaults } from '../../core/options.js';
import { closedError } from '../session/session-errors.js';
import type { Session } from '../types.js';
import { broadcastTo, isTransportSession, sendLatest } from './broadcast.js';
import {
  type AnySession,
  type BroadcastOptions,
  type BroadcastResult,
  resolveBroadcastOptions,
} from './broadcast-options.js';
import { LatestMessages } from './latest-messages.js';

/** Options of topics(). */
export interface TopicsOptions {
  /** The most topics that have subscribers. Default: 10,000. */
  maxTopics?: number | undefined;
  /** The most topics to which one session may subscribe. Default: 100. */
  maxTopicsPerSession?: number | undefined;
  /** The longest name of a topic, in UTF-16 code units. Default: 200. */
  maxNameLength?: number | undefined;
}

const NAMES = {
  maxTopics: true,
  maxTopicsPerSession: true,
  maxNameLength: true,
} satisfies NamesOf<TopicsOptions>;

export const TOPICS_DEFAULTS = {
  maxTopics: 10_000,
  maxTopicsPerSession: 100,
  maxNameLength: 200,
} satisfies TopicsOptions;

interface Topic {
  readonly sessions: Set<AnySession>;
  readonly latest: LatestMessages;
}

/** Names, such as those of rooms, and the sessions that subscribe to them. */
export class Topics<In, Out = In> {
  readonly #limits: typeof TOPICS_DEFAULTS;
  readonly #topics = new Map<string, Topic>();
  /** The topics of each session, until it ends; also empty ones, so that a session has one hook. */
  readonly #namesOf = new Map<AnySession, Set<string>>();

  /** See topics(). */
  constructor(limits: typeof TOPICS_DEFAULTS) {
    this.#limits = limits;
  }

  /** How many topics have subscribers. */
  get size(): number {
    return this.#topics.size;
  }

  /**
   * Subscribes `session` to the topic `name`: any text, without wildcards. The subscription ends
   * with the session. Returns false if the session had it before.
   *
   * Throws TOPIC_LIMIT (see TopicsOptions), SESSION_CLOSED, and BAD_OPTION for a name that is empty
   * or no string.
   */
  subscribe(session: Session<In, Out>, name: string): boolean {
    const member = ownSession(session);
    this.#checkName(name);
    if (member.closed) throw closedError(member.remoteAddress);
    const names = this.#namesOf.get(member);
    if (names?.has(name)) return false;
    this.#checkLimits(member, names?.size ?? 0, name);
    // In most cases the name is a part of a message, which it would keep in memory.
    const key = copyText(name);
    let topic = this.#topics.get(key);
    if (topic === undefined) {
      topic = { sessions: new Set(), latest: new LatestMessages(sendLatest) };
      this.#topics.set(key, topic);
    }
    topic.sessions.add(member);
    (names ?? this.#follow(member)).add(key);
    return true;
  }

  /** Ends a subscription. Returns false if there was none. */
  unsubscribe(session: Session<In, Out>, name: string): boolean {
    const member = ownSession(session);
    checkString(name);
    if (this.#namesOf.get(member)?.delete(name) !== true) return false;
    this.#remove(member, name);
    return true;
  }

  /**
   * Sends `message` to all subscribers of `name`; see broadcast(). A name without subscribers is no
   * error. With `slow: 'latest'` one message waits for each slow session and topic. The subscribers
   * are those at the call, also if a codec changes the subscriptions.
   */
  publish(name: string, message: Out, options?: BroadcastOptions<In, Out>): BroadcastResult {
    checkString(name);
    const settings = resolveBroadcastOptions('publish()', options);
    const topic = this.#topics.get(name);
    return broadcastTo(topic?.sessions ?? [], message, settings, topic?.latest ?? UNUSED);
  }

  /** The open sessions that subscribe to `name`, in the order of their subscriptions. A copy. */
  subscribers(name: string): Session<In, Out>[] {
    const sessions = [...(this.#topics.get(name)?.sessions ?? [])];
    return sessions.filter(({ closed }) => !closed) as unknown as Session<In, Out>[];
  }

  /** The topics to which `session` subscribes, in the order of its subscriptions. A copy. */
  topicsOf(session: Session<In, Out>): string[] {
    return [...(this.#namesOf.get(ownSession(session)) ?? [])];
  }

  #checkName(name: unknown): void {
    if (typeof name !== 'string' || name === '')
      throw badOption('the name of a topic', name, 'a string that is not empty');
    const { maxNameLength } = this.#limits;
    if (name.length > maxNameLength)
      throw gettyError(
        'TOPIC_LIMIT',
        `the name ${show(name)} of a topic has ${name.length} characters, maxNameLength is ${maxNameLength}`,
      );
  }

  /** `count`: the topics that the session has. */
  #checkLimits({ remoteAddress }: AnySession, count: number, name: string): void {
    const { maxTopics, maxTopicsPerSession } = this.#limits;
    if (count >= maxTopicsPerSession)
      throw gettyError(
        'TOPIC_LIMIT',
        `the session with ${remoteAddress} has ${count} topics, maxTopicsPerSession is ${maxTopicsPerSession}`,
      );
    if (this.#topics.size >= maxTopics && !this.#topics.has(name))
      throw gettyError(
        'TOPIC_LIMIT',
        `there are ${this.#topics.size} topics, maxTopics is ${maxTopics}`,
      );
  }

  /** Removes the subscriptions of `session` when it ends. Called once for each session. */
  #follow(session: AnySession): Set<string> {
    const names = new Set<string>();
    this.#namesOf.set(session, names);
    void session.ended().then(() => {
      this.#namesOf.delete(session);
      for (const name of names) this.#remove(session, name);
    });
    return names;
  }

  #remove(session: AnySession, name: string): void {
    const topic = this.#topics.get(name);
    topic?.latest.drop(session);
    topic?.sessions.delete(session);
    if (topic?.sessions.size === 0) this.#topics.delete(name);
  }
}

/** For a topic without subscribers. */
const UNUSED = new LatestMessages(sendLatest);

/** Throws BAD_OPTION. */
function checkString(name: unknown): void {
  if (typeof name !== 'string') throw badOption('the name of a topic', name, 'a string');
}

/** Throws BAD_OPTION. */
function ownSession(session: unknown): AnySession {
  if (isTransportSession(session)) return session;
  throw badOption('session', session, 'a session of serve() or connect()');
}

/**
 * Topics for the sessions of one or several endpoints, such as the rooms of a chat. A subscription
 * ends with its session. Throws BAD_OPTION.
 *
 * ```ts
 * const rooms = topics<string>();
 * rooms.subscribe(session, 'lobby');
 * rooms.publish('lobby', 'hello', { except: session });
 * ```
 */
export function topics<In, Out = In>(options: TopicsOptions = {}): Topics<In, Out> {
  checkNames('topics()', options, NAMES);
  return new Topics(
    withDefaults(TOPICS_DEFAULTS, options, {
      maxTopics: [1, Number.POSITIVE_INFINITY, 'integer'],
      maxTopicsPerSession: [1, Number.POSITIVE_INFINITY, 'integer'],
      maxNameLength: [1, Number.POSITIVE_INFINITY, 'integer'],
    }),
  );
}
