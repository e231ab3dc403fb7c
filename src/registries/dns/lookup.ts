/** One poll: the queries for a name, and the targets in their answers. */
import { Resolver } from 'node:dns/promises';
import { isIP } from 'node:net';
import { within } from '../../core/timers.js';
import { nextTurn } from '../../core/turn.js';
import { type DnsName, isHostName } from './dns-name.js';

/** Where a node is. */
export interface Target {
  /** An IP address, or the name in an SRV record. */
  readonly host: string;
  readonly port: number;
  /** Of an SRV record, from 1. Undefined: no record has a preference. */
  readonly weight?: number | undefined;
}

export interface Answer {
  readonly targets: readonly Target[];
  /** Milliseconds: the smallest ttl of the records. Undefined: unknown. */
  readonly ttl: number | undefined;
  /** How many records name nothing that can be dialed. */
  readonly invalid: number;
  /** Why there are no targets. */
  readonly emptyReason?: Error | undefined;
}

export interface LookupSettings {
  readonly family: number;
  /** Undefined: the name servers of the system. */
  readonly servers: readonly string[] | undefined;
  readonly search: readonly string[];
  /** Milliseconds for all queries together. */
  readonly timeout: number;
}

/** The name server has answered that there are no such records, or no such name. */
const EMPTY_CODES: readonly unknown[] = ['ENODATA', 'ENOTFOUND'];
/** A query is sent again after a quarter of the timeout, because datagrams get lost. */
const TRIES = 2;
const TIMEOUT_PARTS = 4;
/** Dialing these reaches the machine of the caller. Filters of unwanted names answer with them. */
const UNSPECIFIED = ['0.0.0.0', '::'];

/** Throws a TypeError of Node.js for servers that are no addresses. */
export function newResolver({
  servers,
  timeout,
}: Pick<LookupSettings, 'servers' | 'timeout'>): Resolver {
  const resolver = new Resolver({ timeout: Math.ceil(timeout / TIMEOUT_PARTS), tries: TRIES });
  if (servers !== undefined) resolver.setServers(servers);
  return resolver;
}

/** Made for one poll, so that it uses the present name servers of the system. */
export class Lookup {
  readonly #name: DnsName;
  readonly #settings: LookupSettings;
  readonly #resolver: Resolver;

  constructor(name: DnsName, settings: LookupSettings) {
    this.#name = name;
    this.#settings = settings;
    this.#resolver = newResolver(settings);
  }

  /** Rejects if no name server gives an answer. The name has no records: an empty answer. */
  async run(): Promise<Answer> {
    const { timeout } = this.#settings;
    try {
      const late = (): Error => new Error(`no name server answered within ${timeout} ms`);
      return await within(timeout, this.#askAll(), late);
    } finally {
      this.cancel();
    }
  }

  /** run() rejects soon. */
  cancel(): void {
    this.#resolver.cancel();
  }

  /** Asks for the name, and then in each search domain. The first one with records is used. */
  async #askAll(): Promise<Answer> {
    const { host, isAbsolute } = this.#name;
    const domains = isAbsolute ? [] : this.#settings.search;
    let failure: unknown;
    let empty: Answer | undefined;
    for (const name of [host, ...domains.map((domain) => `${host}.${domain}`)]) {
      try {
        const answer = await this.#ask(name);
        if (answer.targets.length > 0) return answer;
        empty ??= answer;
      } catch (error) {
        if ((error as { code?: unknown }).code === 'ECANCELLED') throw error;
        failure ??= error;
      }
    }
    if (failure !== undefined || empty === undefined) throw failure;
    return empty;
  }

  async #ask(name: string): Promise<Answer> {
    try {
      const { port } = this.#name;
      if (port === undefined) return readServices(await afterTurn(this.#resolver.resolveSrv(name)));
      return readAddresses(await afterTurn(this.#addresses(name)), port);
    } catch (error) {
      if (!EMPTY_CODES.includes((error as { code?: unknown }).code)) throw error;
      return { targets: [], ttl: undefined, invalid: 0, emptyReason: error as Error };
    }
  }

  async #addresses(name: string): Promise<readonly { address: string; ttl: number }[]> {
    const { family } = this.#settings;
    if (family === 6) return await this.#resolver.resolve6(name, { ttl: true });
    try {
      return await this.#resolver.resolve4(name, { ttl: true });
    } catch (error) {
      // With ENOTFOUND the name has no records of any type.
      if (family === 4 || (error as { code?: unknown }).code !== 'ENODATA') throw error;
      return await this.#resolver.resolve6(name, { ttl: true });
    }
  }
}

/** Node.js decodes an answer with thousands of records in one turn: up to 50 ms. */
async function afterTurn<Records>(answer: Promise<Records>): Promise<Records> {
  const records = await answer;
  await nextTurn();
  return records;
}

function readAddresses(
  records: readonly { readonly address: string; readonly ttl: number }[],
  port: number,
): Answer {
  const valid = records.filter(
    ({ address }) => isIP(address) !== 0 && !UNSPECIFIED.includes(address),
  );
  const ttls = valid.map(({ ttl }) => (ttl >= 0 ? ttl * 1_000 : 0));
  return {
    targets: unique(valid.map(({ address: host }) => ({ host, port }))),
    ttl: ttls.length === 0 ? undefined : ttls.reduce((a, b) => Math.min(a, b)),
    invalid: records.length - valid.length,
  };
}

interface SrvRecord {
  readonly name: string;
  readonly port: number;
  readonly priority: number;
  readonly weight: number;
}

/**
 * RFC 2782: only the records of the lowest priority are used while they can be reached. A list has
 * no second choice, so the others are left out.
 */
function readServices(records: readonly SrvRecord[]): Answer {
  const valid = records.filter(({ name, port }) => isHostName(name.replace(/\.$/, '')) && port > 0);
  const lowest = valid.reduce((least, { priority }) => Math.min(least, priority), 65_535);
  const used = valid.filter(({ priority }) => priority === lowest);
  // Without a preference all weights are 0. Otherwise 0 is "a very small chance".
  const hasWeights = used.some(({ weight }) => weight > 0);
  return {
    targets: unique(
      used.map(({ name, port, weight }) => ({
        host: name.replace(/\.$/, '').toLowerCase(),
        port,
        ...(hasWeights && { weight: Math.max(weight, 1) }),
      })),
    ),
    ttl: undefined,
    invalid: records.length - valid.length,
  };
}

/** One target for each host and port, in an order that does not depend on that of the records. */
function unique(targets: readonly Target[]): readonly Target[] {
  const byKey = new Map(targets.map((target) => [`${target.host} ${target.port}`, target]));
  return [...byKey.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, target]) => target);
}
