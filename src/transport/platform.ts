/**
 * The transports and compressions that an endpoint can use. node.ts has the platform of Node.js,
 * and src/web the platform of a browser.
 */
import { type Address, parseAddress } from './address.js';
import type { Compression, Connection, Transport } from './types.js';

export interface Platform {
  /** Transports by the scheme of their addresses. */
  readonly transports: Readonly<Record<string, Transport>>;
  /**
   * `connection` with the compression of a session's setup. Throws BAD_OPTION if the platform or
   * the connection does not support that compression.
   */
  compress(connection: Connection, compression: Compression, maxInflatedBytes: number): Connection;
}

/** The parsed address, and the transport of its scheme. Throws BAD_ADDRESS. */
export function transportFor(
  { transports }: Platform,
  text: string,
): { address: Address; transport: Transport } {
  const address = parseAddress(text, Object.keys(transports));
  return { address, transport: transports[address.scheme] as Transport };
}
