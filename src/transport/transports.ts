/** Which transport an address's scheme picks. */
import { type Address, parseAddress } from './address.js';
import { memory } from './memory.js';
import { tcp } from './tcp.js';
import { tls } from './tls.js';
import type { Transport } from './types.js';
import { udp } from './udp.js';
import { unix } from './unix.js';
import { ws, wss } from './websocket/websocket.js';

const TRANSPORTS: Readonly<Record<string, Transport>> = { tcp, tls, unix, udp, ws, wss, memory };

/** Throws BAD_ADDRESS. */
export function transportFor(text: string): { address: Address; transport: Transport } {
  const address = parseAddress(text, Object.keys(TRANSPORTS));
  return { address, transport: TRANSPORTS[address.scheme] as Transport };
}
