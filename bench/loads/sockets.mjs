// @ts-check
/** Opens many sockets of node:net to one server. */
import { connect } from 'node:net';
import { parse } from '../echo/echo.mjs';

/** Sockets that are opened at the same time. The backlog of a server is 511. */
const AT_ONCE = 32;
/** All sockets read into this buffer, so that a client costs less than a server. */
const buffer = Buffer.alloc(65536);

/**
 * Connect one socket. `onBytes` gets the bytes of each read, which are valid until it returns.
 * Without it the socket never reads.
 * @param {string} address
 * @param {(bytes: Buffer) => void} [onBytes]
 * @returns {Promise<import('node:net').Socket>}
 */
export function openSocket(address, onBytes) {
  const onread = onBytes && {
    buffer,
    callback(/** @type {number} */ length) {
      onBytes(buffer.subarray(0, length));
      return true;
    },
  };
  const socket = connect({ ...parse(address), noDelay: true, onread });
  if (onBytes === undefined) socket.pause();
  return new Promise((resolve, reject) => {
    socket.once('error', reject).once('connect', () => resolve(socket.off('error', reject)));
    // A server that ends a session loses messages, and the benchmark counts these.
    socket.on('error', () => {});
  });
}

/**
 * Call `open` for the numbers from 0 to `count` - 1, of which some are under way at a time.
 * @template T
 * @param {number} count
 * @param {(number: number) => Promise<T>} open
 */
export async function openAll(count, open) {
  /** @type {T[]} */
  const opened = [];
  let next = 0;
  const lane = async () => {
    while (next < count) opened.push(await open(next++));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  return opened;
}
