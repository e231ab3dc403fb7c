// @ts-check
/**
 * Many WebSocket sessions that receive broadcasts. They are sockets of node:net that count the
 * bytes of the frames, so that a client costs less than a server.
 */
import { randomBytes } from 'node:crypto';
import { FRAME } from '../rooms/room.mjs';
import { openAll, openSocket } from './sockets.mjs';

/**
 * @typedef {{ kind: 'audience', sessions: number, batch: number }} Audience `batch`: messages that
 *   the server broadcasts for one request, from 1 to 255.
 */

/** How much longer than its seconds a measurement may take, in ms. */
const LIMIT = 30_000;
const HEADER_END = '\r\n\r\n';

/** @param {string} host */
function upgradeRequest(host) {
  return [
    'GET / HTTP/1.1',
    `Host: ${host}`,
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}`,
    'Sec-WebSocket-Version: 13',
    '\r\n',
  ].join('\r\n');
}

/** A binary frame with one byte, and a mask of zeros. @param {number} byte */
const frameOf = (byte) => Buffer.from([0x82, 0x81, 0, 0, 0, 0, byte]);

/**
 * A socket after the handshake.
 * @param {string} address @param {(bytes: Buffer) => void} onBytes
 */
async function openSession(address, onBytes) {
  let header = '';
  let isOpen = false;
  let settle = (/** @type {Error | undefined} */ _error) => {};
  const opened = new Promise((resolve, reject) => {
    settle = (error) => (error === undefined ? resolve(undefined) : reject(error));
  });
  const socket = await openSocket(address, (bytes) => {
    if (isOpen) return onBytes(bytes);
    header += bytes.toString('latin1');
    if (!header.endsWith(HEADER_END)) return;
    isOpen = true;
    const [status = ''] = header.split('\r\n');
    settle(status.includes(' 101 ') ? undefined : new Error(`the handshake failed: ${status}`));
  });
  socket.write(upgradeRequest(new URL(address).host));
  await opened;
  return socket;
}

/** @param {Audience & { address: string }} load @returns {Promise<import('./load.mjs').Measure>} */
export async function open({ address, sessions, batch }) {
  /** Bytes of the batch that have not arrived. */
  let missing = 0;
  let onAll = () => {};
  const sockets = await openAll(sessions, () =>
    openSession(address, ({ length }) => {
      missing -= length;
      if (missing <= 0) onAll();
    }),
  );
  const request = frameOf(batch);
  return (seconds) =>
    new Promise((resolve) => {
      const began = performance.now();
      let messages = 0;
      const end = (/** @type {string | undefined} */ failure) => {
        clearTimeout(limit);
        onAll = () => {};
        const took = (performance.now() - began) / 1_000;
        resolve({ messages, all: messages, took, failure });
      };
      const limit = setTimeout(
        () => end(`${missing / FRAME} of ${batch * sessions} messages of a broadcast are missing`),
        seconds * 1_000 + LIMIT,
      );
      const ask = () => {
        missing = FRAME * batch * sessions;
        sockets[0]?.write(request);
      };
      onAll = () => {
        messages += batch * sessions;
        if (missing < 0) return end('more bytes arrived than expected');
        if (performance.now() - began < seconds * 1_000) return ask();
        end(undefined);
      };
      ask();
    });
}
