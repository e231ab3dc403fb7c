// @ts-check
/**
 * What the sides of the echo benchmark have in common. Messages are a 4-byte length and what
 * follows it.
 */

/** @typedef {{ connections: number, window: number, size: number }} Shape */
/**
 * What a file of this folder exports.
 * @typedef {object} EchoPeer
 * @property {() => Promise<string>} serve Echoes at a free port of 127.0.0.1, and answers its
 *   address.
 * @property {(address: string, size: number, onMessages: (count: number) => void) => Promise<Lane>}
 *   open One connection.
 */
/** @typedef {{ send: (count: number) => void }} Lane Sends so many messages of the size. */

/** A whole message of `size` bytes with its length. @param {number} size */
export function frame(size) {
  const bytes = Buffer.alloc(size, 0x78);
  bytes.writeUInt32BE(size - 4);
  return bytes;
}

/** `host` and `port` of an address. @param {string} address */
export function parse(address) {
  const { hostname, port } = new URL(address);
  return { host: hostname, port: Number(port) };
}
