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
 * Collects framed messages in one buffer, for one write.
 * @param {import('node:net').Socket} socket
 */
function gatherer(socket) {
  let bytes = Buffer.allocUnsafe(65536);
  let length = 0;
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
      socket.write(bytes.subarray(0, length));
      if (socket.writableLength > 0) bytes = Buffer.allocUnsafe(65536);
      length = 0;
    },
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

/** Sends the answers to all messages of a chunk in one write. */
export function serveCoalesced() {
  return serveWith((socket) => {
    const answers = gatherer(socket);
    socket.on('data', cutter(answers.add, answers.flush));
  });
}

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
  return async (address, size, onMessages) => {
    const socket = connect({ ...parse(address), noDelay: true });
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    const message = frame(size).subarray(4);
    const output = gatherer(socket);
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
      send(count) {
        for (let i = 0; i < count; i++) {
          output.add(message);
          if (!coalesced) output.flush();
        }
        // The first messages are not the answer to a chunk, so no chunk end flushes them.
        if (!reading) output.flush();
      },
    };
  };
}
