// @ts-check
/**
 * Types and functions of all sides of the echo benchmark. A message is a 4-byte length and that
 * many bytes.
 */

/**
 * What the file of a peer exports. echo.mjs, net.mjs, tls.mjs and getty.mjs are no peers; the files
 * of the peers share them.
 * @typedef {object} EchoPeer
 * @property {() => Promise<string>} serve Echoes on a free port of 127.0.0.1, and returns its
 *   address.
 * @property {(address: string, size: number, onMessages: (count: number) => void) => Promise<Lane>}
 *   open Opens one connection.
 */
/** @typedef {{ send: (count: number) => void }} Lane Sends `count` messages. */

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
