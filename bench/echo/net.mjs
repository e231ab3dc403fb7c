// @ts-check
/** An echo of framed messages, written by hand on node:net. */
import { connect, createServer } from 'node:net';
import { frame, parse } from './echo.mjs';

const EMPTY = Buffer.alloc(0);

/**
 * A listener for 'data' that calls `onMessage` with each message, without its length, and
 * `onChunkEnd` at the end of each chunk.
 * @param {(message: Buffer) => void} onMessage
 * @param {() => void} onChunkEnd
 */
function cutter(onMessage, onChunkEnd) {
  /** @type {Buffer} */
  let rest = EMPTY;
  return (/** @type {Buffer} */ chunk) => {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let at = 0;
    while (bytes.length - at >= 4) {
      const end = at + 4 + bytes.readUInt32BE(at);
      if (end > bytes.length) break;
      onMessage(bytes.subarray(at + 4, end));
      at = end;
    }
    rest = at === bytes.length ? EMPTY : bytes.subarray(at);
    onChunkEnd();
  };
}

/**
 * `size`: bytes of a buffer at first, 64 KiB without it. `recycles`: a buffer is used again when it
 * is written, for sockets that never write at once, as those of TLS.
 * @typedef {{ size?: number, recycles?: boolean }} Buffering
 */

/**
 * Collects framed messages in one buffer, for one write.
 * @param {import('node:net').Socket} socket
 * @param {Buffering} [buffering]
 */
function gatherer(socket, { size = 65536, recycles = false } = {}) {
  /** @type {Buffer} */
  let bytes = Buffer.allocUnsafe(size);
  let length = 0;
  /** @type {Buffer[]} */
  const free = [];
  return {
    /** @param {Buffer} message */
    add(message) {
      if (length + 4 + message.length > bytes.length) {
        const larger = Buffer.allocUnsafe(Math.max(bytes.length * 2, length + 4 + message.length));
        bytes.copy(larger, 0, 0, length);
        bytes = larger;
      }
      bytes.writeUInt32BE(message.length, length);
      bytes.set(message, length + 4);
      length += 4 + message.length;
    },
    flush() {
      if (length === 0) return;
      const written = bytes;
      const part = written.subarray(0, length);
      length = 0;
      if (recycles) {
        socket.write(part, () => free.push(written));
        bytes = free.pop() ?? Buffer.allocUnsafe(size);
        return;
      }
      socket.write(part);
      if (socket.writableLength > 0) bytes = Buffer.allocUnsafe(size);
    },
  };
}

/**
 * @param {string} scheme @param {import('node:net').Server} server without a port
 * @returns {Promise<string>}
 */
export function listenAt(scheme, server) {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
      resolve(`${scheme}://127.0.0.1:${port}`);
    });
  });
}

/** @param {(socket: import('node:net').Socket) => void} onSocket */
export function serveWith(onSocket) {
  return listenAt('tcp', createServer({ noDelay: true }, onSocket));
}

/**
 * Sends the answers to all messages of a chunk in one write.
 * @param {import('node:net').Socket} socket @param {Buffering} [buffering]
 */
export function echoCoalesced(socket, buffering) {
  const answers = gatherer(socket, buffering);
  socket.on('data', cutter(answers.add, answers.flush));
}

export const serveCoalesced = () => serveWith((socket) => echoCoalesced(socket));

/** Sends each answer in a write of its own. */
export function serveEach() {
  return serveWith((socket) => {
    const answer = gatherer(socket);
    const echo = (/** @type {Buffer} */ message) => {
      answer.add(message);
      answer.flush();
    };
    socket.on(
      'data',
      cutter(echo, () => {}),
    );
  });
}

/** @param {boolean} coalesced @returns {import('./echo.mjs').EchoPeer['open']} */
export function opener(coalesced) {
  return (address, size, onMessages) =>
    openOn(connect({ ...parse(address), noDelay: true }), 'connect', size, onMessages, {
      coalesced,
    });
}

/**
 * The lane of a socket, after its event `ready`.
 * @param {import('node:net').Socket} socket
 * @param {string} ready
 * @param {number} size
 * @param {(count: number) => void} onMessages
 * @param {Buffering & { coalesced: boolean }} options
 */
export async function openOn(socket, ready, size, onMessages, { coalesced, recycles }) {
  await new Promise((resolve, reject) => socket.once(ready, resolve).once('error', reject));
  const message = frame(size).subarray(4);
  const output = gatherer(socket, { recycles });
  let reading = false;
  const cut = cutter(
    () => onMessages(1),
    () => output.flush(),
  );
  socket.on('data', (chunk) => {
    reading = true;
    cut(chunk);
    reading = false;
  });
  return {
    send(/** @type {number} */ count) {
      for (let i = 0; i < count; i++) {
        output.add(message);
        if (!coalesced) output.flush();
      }
      // The first messages are not the answer to a chunk, so no chunk end flushes them.
      if (!reading) output.flush();
    },
  };
}
