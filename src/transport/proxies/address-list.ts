/** A list of IP addresses and ranges of them, such as `10.0.0.0/8`. */
import { refusePromise } from '../../core/callbacks.js';
import { badOption, checkReadable, isArray, type NamesOf } from '../../core/options.js';
import type { AddressRules } from '../types.js';
import { canonicalIp, type IpAddress, parseIp } from './ip-address.js';

const RULE_NAMES = { check: true } satisfies NamesOf<AddressRules>;
const EXPECTED = 'an IP address or a range of them, such as 10.0.0.0/8 or 2001:db8::/32';

/**
 * Decides whether an address is in a list. The time does not depend on the number of entries:
 * BlockList of Node.js compares each entry, and 10,000 entries would take 1 ms for each datagram of
 * a peer that is refused.
 */
export class AddressList {
  /** The first bits of all ranges, by the number of these bits. */
  readonly #ranges = { 4: new Map<number, Set<bigint>>(), 6: new Map<number, Set<bigint>>() };

  /** `name`: of the option, for errors. Throws BAD_OPTION. */
  constructor(name: string, entries: readonly string[]) {
    for (const [index, entry] of entries.entries()) this.#add(`${name}[${index}]`, entry);
  }

  #add(name: string, entry: unknown): void {
    const [, text = '', digits] =
      (typeof entry === 'string' && /^([^/]+)(?:\/(\d{1,3}))?$/.exec(entry)) || [];
    const ip = parseIp(text);
    if (ip === undefined || text.includes('%')) throw badOption(name, entry, EXPECTED);
    const given = digits === undefined ? undefined : Number(digits);
    // ::ffff:10.0.0.0/104 is 10.0.0.0/8.
    const prefix =
      given !== undefined && ip.family === 4 && text.includes(':') ? given - 96 : given;
    const bits = bitsOf(ip);
    if (prefix !== undefined && (prefix < 0 || prefix > bits))
      throw badOption(name, entry, `${EXPECTED}, with at most ${bits} bits`);
    const ranges = this.#ranges[ip.family];
    const length = prefix ?? bits;
    const range = ranges.get(length);
    const first = ip.value >> BigInt(bits - length);
    if (range === undefined) ranges.set(length, new Set([first]));
    else range.add(first);
  }

  /** False for a text that is no IP address. */
  has(host: string): boolean {
    const ip = parseIp(host);
    if (ip === undefined) return false;
    const bits = bitsOf(ip);
    for (const [length, range] of this.#ranges[ip.family])
      if (range.has(ip.value >> BigInt(bits - length))) return true;
    return false;
  }
}

function bitsOf({ family }: IpAddress): number {
  return family === 4 ? 32 : 128;
}

/** Decides whether a host is in the list of an option. */
export type IncludesHost = (host: string) => boolean;

/**
 * Reads an option that is a list: an array, or AddressRules, whose later changes have an effect.
 * `minEntries`: entries that an array must have. Throws BAD_OPTION. The result throws what check()
 * of AddressRules throws, and BAD_OPTION if that returns no boolean.
 */
export function readAddressList(
  name: string,
  given: readonly string[] | AddressRules,
  minEntries = 0,
): IncludesHost {
  if (isRules(name, given)) {
    return (host) => {
      const address = canonicalIp(host.replace(/%.*$/, ''));
      if (address === undefined) return false;
      const includes: unknown = given.check(address, address.includes(':') ? 'ipv6' : 'ipv4');
      if (typeof includes === 'boolean') return includes;
      const method = `check() of ${name}`;
      refusePromise('BAD_OPTION', method, includes);
      throw badOption(`the result of ${method}`, includes, 'a boolean');
    };
  }
  if (typeof given !== 'object' || given === null || !isArray(given))
    throw badOption(
      name,
      given,
      `an array of texts, each ${EXPECTED}, or an object with a method check(), such as a BlockList of node:net`,
    );
  const entries = given as readonly string[];
  if (entries.length < minEntries) throw badOption(name, given, `at least one entry: ${EXPECTED}`);
  const list = new AddressList(name, entries);
  return (host) => list.has(host);
}

/** Throws BAD_OPTION if the method cannot be read. */
function isRules(name: string, given: unknown): given is AddressRules {
  if (typeof given !== 'object' || given === null || isArray(given)) return false;
  checkReadable(name, given, RULE_NAMES);
  return typeof (given as Partial<AddressRules>).check === 'function';
}
