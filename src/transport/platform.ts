/** What a program runs on, as far as endpoints see it: Node.js (node.ts) or a browser (src/web). */
import { type Address, parseAddress } from './address.js';
import type { Compression, Connection, Transport } from './types.js';

export interface Platform {
  /** By the scheme of an address. */
  readonly transports: Readonly<Record<string, Transport>>;
  /**
   * `connection` with the compression of a session's setup. Throws BAD_OPTION where it cannot have
   * that.
   */
  compress(connection: Connection, compression: Compression, maxInflatedBytes: number): Connection;
}

/** Which transport an address's scheme picks. Throws BAD_ADDRESS. */
export function transportFor(
  { transports }: Platform,
  text: string,
): { address: Address; transport: Transport } {
  const address = parseAddress(text, Object.keys(transports));
  return { address, transport: transports[address.scheme] as Transport };
}
