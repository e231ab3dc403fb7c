/**
 * The transports and compressions that an endpoint can use. node.ts has the platform of Node.js,
 * and src/web the platform of a browser.
 */
import { type Address, parseAddress } from './address.js';
import type { Compression, Connection, ServerAddress, Transport } from './types.js';

export interface Platform {
  /** Transports by the scheme of their addresses. */
  readonly transports: Readonly<Record<string, Transport>>;
  /**
   * Parses an address that is an object. `of`: the function that got it. Throws BAD_OPTION or
   * BAD_ADDRESS.
   */
  parseObject(given: object, of: 'serve()' | 'connect()'): Address;
  /**
   * `connection` with the compression of a session's setup. Throws BAD_OPTION if the platform or
   * the connection does not support that compression.
   */
  compress(connection: Connection, compression: Compression, maxInflatedBytes: number): Connection;
}

/**
 * The parsed address, and the transport of its scheme. `of`: the function that got the address.
 * Throws BAD_ADDRESS or BAD_OPTION.
 */
export function transportFor(
  platform: Platform,
  given: ServerAddress,
  of: 'serve()' | 'connect()',
): { address: Address; transport: Transport } {
  const { transports } = platform;
  const address =
    typeof given === 'object' && given !== null
      ? platform.parseObject(given, of)
      : parseAddress(given, Object.keys(transports));
  return { address, transport: transports[address.scheme] as Transport };
}

/** Whether `given` has a property `name`. False for a Proxy that throws. */
export function hasName(given: object, name: string): boolean {
  try {
    return name in given;
  } catch {
    return false;
  }
}
