// @ts-check
/** Framed echo by hand on node:net: what arrives is cut into messages, and each is answered. */
import { connect, createServer } from 'node:net';
import { frame, parse } from './echo.mjs';

const EMPTY = Buffer.alloc(0);

/**
 * A function for 'data' that calls back with the bytes of whole messages, and how many there are.
 * @param {(messages: Buffer, count: number) => void} onWhole
 */
function cutter(onWhole) {
  let rest = EMPTY;
  return (/** @type {Buffer} */ chunk) => {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let at = 0;
    let count = 0;
    while (bytes.length - at >= 4) {
      const end = at + 4 + bytes.readUInt32BE(at);
      if (end > bytes.length) break;
      at = end;
      count++;
    }
    rest = at === bytes.length ? EMPTY : bytes.subarray(at);
    if (count > 0) onWhole(bytes.subarray(0, at), count);
  };
}

/** @param {(socket: import('node:net').Socket) => void} onSocket @returns {Promise<string>} */
export function serveWith(onSocket) {
  return new Promise((resolve) => {
    const server = createServer({ noDelay: true }, onSocket).listen(0, '127.0.0.1', () => {
      const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
      resolve(`tcp://127.0.0.1:${port}`);
    });
  });
}

/** One write for all that a chunk brought. */
export const serveCoalesced = () => serveWith((socket) => socket.on('data', cutter((messages) => socket.write(messages))));

/** A write for each message. */
export function serveEach() {
  return serveWith((socket) => {
    socket.on(
      'data',
      cutter((messages) => {
        for (let at = 0; at < messages.length; ) {
          const end = at + 4 + messages.readUInt32BE(at);
          socket.write(messages.subarray(at, end));
          at = end;
        }
      }),
    );
  });
}

/** @param {boolean} coalesced @returns {import('./echo.mjs').EchoPeer['open']} */
export function opener(coalesced) {
  return async (address, size, onMessages) => {
    const socket = connect({ ...parse(address), noDelay: true });
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    const one = frame(size);
    socket.on('data', cutter((_, count) => onMessages(count)));
    return {
      send(count) {
        if (coalesced) socket.write(Buffer.concat(Array(count).fill(one)));
        else for (let i = 0; i < count; i++) socket.write(one);
      },
    };
  };
}
