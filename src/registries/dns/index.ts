/** A registry of the addresses of a name in DNS. Nothing is published in it. */
import { gettyError, messageOf } from '../../core/errors.js';
import { guardedLogger, type Logger } from '../../core/logger.js';
import { badOption, checkNames, show, withDefaults } from '../../core/options.js';
import { startTimer } from '../../core/timers.js';
import { nextTurn } from '../../core/turn.js';
import { entryPath } from '../../micro/registry-entry.js';
import { type SnapshotSink, sortedNodes } from '../../micro/snapshots.js';
import type { NodeRegistration, Registry, ServiceNode, ServiceQuery } from '../../micro/types.js';
import { formatAddress } from '../../transport/address.js';
import { Backoff } from '../shared/backoff.js';
import {
  allNodes,
  checkListed,
  checkServed,
  type ListedNode,
  nodesFor,
  refusedRegistration,
  type Served,
  withWeight,
} from '../shared/listed-nodes.js';
import { Outage } from '../shared/outage.js';
import { ProblemLog } from '../shared/problem-log.js';
import { watchQuery } from '../shared/watch-query.js';
import { type DnsName, isHostName, parseDnsName } from './dns-name.js';
import { type Answer, Lookup, newResolver, type Target } from './lookup.js';
import {
  DNS_DEFAULTS,
  DNS_NAMES,
  DNS_RANGES,
  type DnsRegistryOptions,
} from './registry-options.js';
import { MAX_SEARCH, systemSearchDomains } from './search-domains.js';

export type { DnsRegistryOptions } from './registry-options.js';

const SCHEMES: readonly string[] = ['tcp', 'tls', 'ws', 'wss', 'udp'];
const MAX_SERVERS = 16;
/** Part of a delay that is added at random, so that consumers do not ask at the same time. */
const JITTER = 0.1;

interface DnsSettings {
  readonly numbers: typeof DNS_DEFAULTS;
  readonly served: Served;
  readonly servers: readonly string[] | undefined;
  readonly search: readonly string[] | undefined;
  readonly logger: Logger | undefined;
}

class DnsRegistry implements Registry {
  readonly #text: string;
  readonly #name: DnsName;
  readonly #settings: DnsSettings;
  readonly #outage: Outage;
  readonly #emptyLog: ProblemLog;
  readonly #leftOutLog: ProblemLog;
  readonly #backoff: Backoff;
  readonly #watches = new Map<SnapshotSink, ServiceQuery>();
  /** The last list. Undefined: no name server has answered yet. */
  #listed: readonly ListedNode[] | undefined;
  /** When a name server last answered: a time of performance.now(). */
  #answeredAt = 0;
  #lookup: Lookup | undefined;
  /** Resolves with the milliseconds until the next poll. */
  #polling: Promise<number> | undefined;
  /** Runs between two polls while there is a watch. */
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(text: string, settings: DnsSettings) {
    this.#text = text;
    this.#name = parseDnsName(text);
    this.#settings = settings;
    const { logger, numbers } = settings;
    this.#outage = new Outage(`the dns registry ${text}`, { name: text }, logger);
    this.#emptyLog = new ProblemLog(text, logger);
    this.#leftOutLog = new ProblemLog(text, logger);
    this.#backoff = new Backoff({
      initialDelay: numbers.minInterval,
      maxDelay: numbers.maxInterval,
    });
  }

  get failure(): Error | undefined {
    return this.#outage.failure;
  }

  async register(node: ServiceNode): Promise<NodeRegistration> {
    this.#checkOpen();
    entryPath('', node);
    throw refusedRegistration('a dns registry', node);
  }

  watch(
    query: ServiceQuery,
    options: { signal?: AbortSignal | undefined } = {},
  ): AsyncIterable<readonly ServiceNode[]> {
    return watchQuery(query, options, (sink) => {
      if (this.#isClosed) return undefined;
      const isFollowed = this.#watches.size > 0;
      this.#watches.set(sink, query);
      // While there are watches, the list is as new as the ttl requires.
      if (!isFollowed) this.#follow();
      else if (this.#listed !== undefined) sink.offer(nodesFor(this.#listed, query));
      return () => {
        this.#watches.delete(sink);
        if (this.#watches.size === 0) this.#stopTimer();
      };
    });
  }

  async list(): Promise<readonly ServiceNode[]> {
    this.#checkOpen();
    let failure: unknown;
    await this.#poll((error) => {
      failure = error;
    });
    this.#checkOpen();
    if (failure !== undefined) throw failure;
    return sortedNodes(allNodes(this.#listed ?? []));
  }

  #checkOpen(): void {
    if (this.#isClosed)
      throw gettyError('REGISTRY_FAILED', `the dns registry ${this.#text} is closed`);
  }

  #stopTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Polls now, and again as long as there are watches. */
  #follow(): void {
    this.#stopTimer();
    void this.#poll().then((delay) => {
      if (this.#isClosed || this.#watches.size === 0 || this.#timer !== undefined) return;
      this.#timer = startTimer(() => this.#follow(), delay).unref();
    });
  }

  /** Joins a poll that runs. Does not reject. `onFailure` is called if no name server answers. */
  async #poll(onFailure?: (error: Error | undefined) => void): Promise<number> {
    if (this.#polling === undefined) {
      const polling = this.#pollOnce().finally(() => {
        if (this.#polling === polling) this.#polling = undefined;
      });
      this.#polling = polling;
    }
    const delay = await this.#polling;
    if (this.#outage.isActive) onFailure?.(this.failure);
    return delay;
  }

  async #pollOnce(): Promise<number> {
    let lookup: Lookup | undefined;
    try {
      const { family, requestTimeout: timeout } = this.#settings.numbers;
      const { servers } = this.#settings;
      const search = this.#settings.search ?? (await systemSearchDomains());
      if (this.#isClosed) return 0;
      lookup = new Lookup(this.#name, { family, servers, search, timeout });
      this.#lookup = lookup;
      const answer = await lookup.run();
      // A list of a thousand other nodes is much work for those who watch it.
      await nextTurn();
      if (this.#isClosed) return 0;
      // A watch that begins when this answer is given must not wait for this poll.
      this.#polling = undefined;
      return this.#onAnswer(answer);
    } catch (error) {
      if (this.#isClosed) return 0;
      return this.#onFailure(error);
    } finally {
      if (this.#lookup === lookup) this.#lookup = undefined;
    }
  }

  #onAnswer(answer: Answer): number {
    const { maxNodes, pollInterval, minInterval, maxInterval } = this.#settings.numbers;
    this.#backoff.reset();
    this.#answeredAt = performance.now();
    this.#outage.end('a name server answers again');
    this.#logLeftOut(answer, maxNodes);
    if (answer.targets.length > 0) this.#emptyLog.reset();
    else this.#onEmpty(answer);
    this.#offer(answer.targets.slice(0, maxNodes).map((target) => this.#nodeOf(target)));
    const delay = Math.min(Math.max(answer.ttl ?? pollInterval, minInterval), maxInterval);
    return delay * (1 + Math.random() * JITTER);
  }

  #logLeftOut({ targets, invalid }: Answer, maxNodes: number): void {
    const surplus = Math.max(targets.length - maxNodes, 0);
    if (surplus + invalid === 0) {
      this.#leftOutLog.reset();
      return;
    }
    this.#leftOutLog.logOnce(
      'some records are left out',
      new Error(`${invalid} name no host that can be dialed, ${surplus} exceed maxNodes`),
    );
  }

  #onEmpty({ emptyReason, invalid }: Answer): void {
    const reason =
      emptyReason === undefined
        ? `none of its ${invalid} records can be used`
        : messageOf(emptyReason);
    this.#outage.onFailure(emptyReason, `the name has no addresses: ${reason}`);
    this.#emptyLog.logOnce('the name has no addresses', emptyReason ?? new Error(reason));
  }

  #onFailure(error: unknown): number {
    const { keepTime } = this.#settings.numbers;
    this.#outage.begin(
      'cannot be resolved',
      error,
      'no name server answers, the last list is kept',
    );
    const isTooOld = performance.now() - this.#answeredAt >= keepTime;
    if (this.#listed !== undefined) this.#offer(isTooOld ? [] : this.#listed);
    return this.#backoff.next();
  }

  #offer(listed: readonly ListedNode[]): void {
    this.#listed = listed;
    for (const [sink, query] of this.#watches) sink.offer(nodesFor(listed, query));
  }

  #nodeOf({ host, port, weight }: Target): ListedNode {
    const { served, numbers } = this.#settings;
    const { scheme, path } = numbers;
    const address = formatAddress(scheme, host, port);
    return {
      ...served,
      id: address.slice(`${scheme}://`.length),
      address: `${address}${path}`,
      metadata: Object.freeze(withWeight({}, weight)),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#stopTimer();
    for (const sink of [...this.#watches.keys()]) sink.end();
    this.#lookup?.cancel();
    await this.#polling;
  }
}

/**
 * Makes a registry of the addresses of `name`. `host:port`: its A records, or AAAA records without
 * these, are followed by their ttl. `_service._proto.domain`: its SRV records, with their ports and
 * weights, are followed by `pollInterval`. A node serves whatever a query asks for, unless the
 * options say otherwise. While no name server answers, the last list is kept for `keepTime`; an
 * answer without records empties it. register() rejects with BAD_OPTION: start the servers with
 * serve(). Throws BAD_ADDRESS or BAD_OPTION.
 */
export function dns(name: string, options: DnsRegistryOptions = {}): Registry {
  checkNames('dns()', options, DNS_NAMES);
  const { service, group, version, protocol, servers, search, logger } = options ?? {};
  const numbers = withDefaults<typeof DNS_DEFAULTS>(DNS_DEFAULTS, options, DNS_RANGES);
  const { scheme, family, minInterval, maxInterval, path } = numbers;
  if (!SCHEMES.includes(scheme)) throw badOption('scheme', scheme, `one of ${SCHEMES.join(', ')}`);
  if (![0, 4, 6].includes(family)) throw badOption('family', family, '0, 4 or 6');
  if (maxInterval < minInterval)
    throw badOption('maxInterval', maxInterval, `a number from minInterval, ${minInterval}`);
  const served = { service, group, version, protocol };
  checkServed(served);
  if (servers !== undefined) checkServers(servers);
  if (search !== undefined) checkSearch(search);
  const registry = new DnsRegistry(name, {
    numbers,
    served,
    servers: servers === undefined ? undefined : [...servers],
    search: search ?? (servers === undefined ? undefined : []),
    logger: logger === undefined ? undefined : guardedLogger(logger),
  });
  if (path !== '' && !scheme.startsWith('ws'))
    throw badOption('path', path, `no path with the scheme ${scheme}`);
  checkListed({ ...served, id: 'a', address: `${scheme}://a:1${path}`, metadata: {} });
  return registry;
}

function checkServers(servers: readonly string[]): void {
  const expected = `a list of 1 to ${MAX_SERVERS} IP addresses, each with a port if you need one`;
  if (!Array.isArray(servers) || servers.length === 0 || servers.length > MAX_SERVERS)
    throw badOption('servers', servers, expected);
  try {
    newResolver({ servers, timeout: 1 });
  } catch {
    const given = servers.map((server) => (typeof server === 'string' ? server : show(server)));
    throw badOption('servers', given.join(), expected);
  }
}

function checkSearch(search: readonly string[]): void {
  const expected = `a list of at most ${MAX_SEARCH} domains`;
  if (!Array.isArray(search) || search.length > MAX_SEARCH)
    throw badOption('search', search, expected);
  for (const domain of search as unknown[])
    if (typeof domain !== 'string' || !isHostName(domain))
      throw badOption('search', domain, expected);
}
