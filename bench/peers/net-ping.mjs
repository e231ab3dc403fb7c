// @ts-check
/**
 * node:net by hand, one message at a time. The client sends the bytes of a call, the server those
 * of its answer. Both only count the received bytes, and the client returns a constant reply.
 */
import { createConnection, createServer } from 'node:net';
import { Output, REPLY_START, REQUEST_START } from '../ceiling.mjs';
import { answer, REQUESTS } from '../message.mjs';

const { A, B, C } = REQUESTS.small;
const REPLY = answer(REQUESTS.small);
const CALL = frame(REQUEST_START, [A, B, C]);
const ANSWER = frame(REPLY_START, [REPLY.A]);

/** @param {Buffer} constant @param {string[]} texts */
function frame(constant, texts) {
  const output = new Output({ write: () => true, writableLength: 0 });
  const at = output.begin(constant);
  const body = output.length;
  for (const [index, text] of texts.entries()) output.text(((index + 1) << 3) | 2, text);
  output.end(at, body);
  return Buffer.from(output.bytes.subarray(0, output.length));
}

/**
 * A listener for 'data' that calls `onMessage` when `length` bytes have arrived.
 * @param {number} length
 * @param {() => void} onMessage
 */
function counter(length, onMessage) {
  let missing = length;
  return (/** @type {Buffer} */ chunk) => {
    missing -= chunk.length;
    if (missing > 0) return;
    missing = length;
    onMessage();
  };
}

/** @returns {Promise<import('../message.mjs').Server>} */
export async function serve() {
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on(
      'data',
      counter(CALL.length, () => socket.write(ANSWER)),
    );
    socket.on('error', () => socket.destroy());
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  return { address: String(port), close: () => server.close() };
}

/** @type {import('../message.mjs').Peer['connect']} */
export async function connect(address, inFlight) {
  if (inFlight !== 1) throw new Error('net-ping has one message under way');
  const socket = createConnection({ port: Number(address), host: '127.0.0.1', noDelay: true });
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  /** @type {(reply: import('../message.mjs').Reply) => void} */
  let settle = () => {};
  socket.on(
    'data',
    counter(ANSWER.length, () => settle(REPLY)),
  );
  const call = () => {
    const answered = new Promise((resolve) => {
      settle = resolve;
    });
    socket.write(CALL);
    return answered;
  };
  return { call, close: () => socket.end() };
}
