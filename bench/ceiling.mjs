// @ts-check
/**
 * The ceiling: a client and a server written by hand for the frames of one method. It has a promise
 * per call, deadlines, and one buffer per tick and direction. It has no contracts, interceptors or
 * errors, and supports ASCII only. Its speed is the reference that getty is compared with. getty
 * can be faster, because the two processes of the ceiling work in turns and those of getty at once.
 */
import { createConnection, createServer } from 'node:net';
import { answer, TIMEOUT } from './message.mjs';

/** @typedef {import('./message.mjs').Reply} Reply */

const HEADER = 32;
const MAGIC = 0x20160905;
/** Slots per call in flight, because answers may arrive in another order than their calls. */
const RING_FACTOR = 8;
/** Milliseconds between two checks of the deadlines. */
const SWEEP_PERIOD = 20;
const BUFFER = 64 * 1024;
const NOTHING = Buffer.alloc(0);

/** Frame header, length and bytes of the rpc header, and space for the body's length. */
export const REQUEST_START = start(3, 1, [
  0x0a,
  11,
  ...Buffer.from('TestService'),
  0x12,
  4,
  ...Buffer.from('Test'),
  0x18,
  2,
  0x62,
  4,
  ...Buffer.from('v1.0'),
  0x50,
  0x88,
  0x27,
]);
export const REPLY_START = start(4, 2, [0x0a, 0]);

/**
 * @param {number} command
 * @param {number} serviceId
 * @param {number[]} head
 */
function start(command, serviceId, head) {
  const bytes = Buffer.alloc(HEADER + 2 + head.length + 2);
  bytes.writeInt32LE(MAGIC, 0);
  bytes.writeInt16LE(command, 4);
  bytes.writeInt16LE(serviceId, 6);
  bytes.writeInt16LE(2, 26);
  bytes.writeUInt16LE(head.length, HEADER);
  bytes.set(head, HEADER + 2);
  return bytes;
}

/** One direction of a connection. Frames are collected in one buffer, which flush() writes. */
export class Output {
  bytes = Buffer.allocUnsafeSlow(BUFFER);
  view = new DataView(this.bytes.buffer);
  length = 0;

  /** @param {Pick<import('node:net').Socket, 'write' | 'writableLength'>} socket */
  constructor(socket) {
    this.socket = socket;
  }

  /**
   * Append the constant first bytes of a frame, and return their position.
   * @param {Buffer} constant
   */
  begin(constant) {
    if (this.length > BUFFER - 4096) this.flush();
    const at = this.length;
    this.bytes.set(constant, at);
    this.length = at + constant.length;
    return at;
  }

  /**
   * @param {number} tag
   * @param {string} text
   */
  text(tag, text) {
    const { bytes } = this;
    const { length } = text;
    if (length > 127) throw new Error('the ceiling supports strings of up to 127 bytes');
    let at = this.length;
    bytes[at++] = tag;
    bytes[at++] = length;
    for (let i = 0; i < length; i++) {
      const unit = text.charCodeAt(i);
      if (unit > 127) throw new Error('not ASCII');
      bytes[at++] = unit;
    }
    this.length = at;
  }

  /**
   * Set the lengths of the frame at `at` and of its body at `body`.
   * @param {number} at
   * @param {number} body
   */
  end(at, body) {
    this.view.setUint16(body - 2, this.length - body, true);
    this.view.setInt32(at + 28, this.length - at - HEADER, true);
  }

  flush() {
    if (this.length === 0) return;
    this.socket.write(this.bytes.subarray(0, this.length));
    this.length = 0;
    if (this.socket.writableLength === 0) return;
    this.bytes = Buffer.allocUnsafeSlow(BUFFER);
    this.view = new DataView(this.bytes.buffer);
  }
}

/**
 * @typedef {(bytes: Buffer, view: DataView, at: number, body: number, end: number) => void} OnFrame
 */

/**
 * Splits chunks into frames.
 * @param {OnFrame} onFrame
 */
function reader(onFrame) {
  let rest = NOTHING;
  return (/** @type {Buffer} */ chunk) => {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let at = 0;
    while (bytes.length - at >= HEADER) {
      if (view.getInt32(at, true) !== MAGIC) throw new Error('not a frame');
      const end = at + HEADER + view.getInt32(at + 28, true);
      if (end > bytes.length) break;
      const body = at + HEADER + 4 + view.getUint16(at + HEADER, true);
      onFrame(bytes, view, at, body, end);
      at = end;
    }
    rest = at === bytes.length ? NOTHING : Buffer.from(bytes.subarray(at));
  };
}

/**
 * The string field at `at`.
 * @param {Buffer} bytes
 * @param {number} at
 */
function text(bytes, at) {
  return bytes.toString('latin1', at + 2, at + 2 + /** @type {number} */ (bytes[at + 1]));
}

/** @returns {Promise<import('./message.mjs').Server>} */
export async function serve() {
  const head = REQUEST_START.subarray(HEADER + 2, -2);
  const server = createServer({ noDelay: true }, (socket) => {
    const output = new Output(socket);
    const read = reader((bytes, view, at, body, end) => {
      if (head.compare(bytes, at + HEADER + 2, body - 2) !== 0) throw new Error('not the method');
      const B = body + 2 + /** @type {number} */ (bytes[body + 1]);
      const C = B + 2 + /** @type {number} */ (bytes[B + 1]);
      const all = bytes.toString('latin1', body, end);
      const reply = answer({
        A: all.slice(2, B - body),
        B: all.slice(B - body + 2, C - body),
        C: all.slice(C - body + 2),
      });
      const to = output.begin(REPLY_START);
      const start = output.length;
      for (let i = 8; i < 24; i += 4)
        output.view.setUint32(to + i, view.getUint32(at + i, true), true);
      output.text(0x0a, reply.A);
      output.end(to, start);
    });
    socket.on('data', (chunk) => {
      read(chunk);
      output.flush();
    });
    socket.on('error', () => socket.destroy());
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  return { address: String(port), close: () => server.close() };
}

/** The monotonic time in ms, read once per sweep. */
let clock = performance.now();
/** One timer for the deadlines of all connections. @type {Set<(now: number) => void>} */
const sweeps = new Set();
setInterval(() => {
  clock = performance.now();
  for (const sweep of sweeps) sweep(clock);
}, SWEEP_PERIOD).unref();

/** @type {import('./message.mjs').Peer['connect']} */
export async function connect(address, inFlight) {
  const RING = 2 ** Math.ceil(Math.log2(inFlight * RING_FACTOR));
  const socket = createConnection({ port: Number(address), host: '127.0.0.1', noDelay: true });
  await new Promise((resolve, reject) =>
    socket.once('connect', () => resolve(undefined)).once('error', reject),
  );
  const output = new Output(socket);

  /** @type {(((reply: Reply) => void) | undefined)[]} */
  const resolves = new Array(RING).fill(undefined);
  /** @type {((error: Error) => void)[]} */
  const rejects = new Array(RING);
  const deadlines = new Float64Array(RING);
  const sequences = new Uint32Array(RING);
  let sequence = 1;
  let sequenceHigh = 0;
  let dirty = false;

  const read = reader((bytes, view, at, body) => {
    const low = view.getUint32(at + 8, true);
    const slot = (low >>> 1) & (RING - 1);
    const resolve = resolves[slot];
    if (resolve === undefined || sequences[slot] !== low) return;
    resolves[slot] = undefined;
    if (view.getInt16(at + 24, true) === 0) resolve({ A: text(bytes, body) });
    else rejects[slot]?.(new Error('failed'));
  });
  /** @param {Error} error */
  const failAll = (error, before = Number.POSITIVE_INFINITY) => {
    for (let slot = 0; slot < RING; slot++) {
      if (resolves[slot] === undefined || /** @type {number} */ (deadlines[slot]) > before)
        continue;
      resolves[slot] = undefined;
      rejects[slot]?.(error);
    }
  };
  const sweep = (/** @type {number} */ now) => failAll(new Error('late'), now);
  sweeps.add(sweep);
  socket.on('data', read);
  socket.on('error', () => socket.destroy());
  socket.on('close', () => failAll(new Error('lost')));

  const flush = () => {
    dirty = false;
    output.flush();
  };
  /** @type {any} */
  let resolveNext;
  /** @type {any} */
  let rejectNext;
  /** @type {(resolve: (reply: Reply) => void, reject: (error: Error) => void) => void} */
  const capture = (resolve, reject) => {
    resolveNext = resolve;
    rejectNext = reject;
  };

  const call = (/** @type {import('./message.mjs').Request} */ request) => {
    sequence += 2;
    if (sequence > 0xffff_ffff) {
      sequence = 1;
      sequenceHigh++;
    }
    const slot = (sequence >>> 1) & (RING - 1);
    if (resolves[slot] !== undefined)
      return Promise.reject(new Error(`more than ${RING} calls wait`));
    const at = output.begin(REQUEST_START);
    const body = output.length;
    const { view } = output;
    view.setUint32(at + 8, sequence, true);
    view.setUint32(at + 12, sequenceHigh, true);
    view.setUint32(at + 16, (Math.random() * 0x1_0000_0000) >>> 0, true);
    output.text(0x0a, request.A);
    output.text(0x12, request.B);
    output.text(0x1a, request.C);
    output.end(at, body);
    if (!dirty) {
      dirty = true;
      process.nextTick(flush);
    }
    sequences[slot] = sequence;
    deadlines[slot] = clock + TIMEOUT;
    const promise = /** @type {Promise<Reply>} */ (new Promise(capture));
    resolves[slot] = resolveNext;
    rejects[slot] = rejectNext;
    return promise;
  };
  const close = () => {
    sweeps.delete(sweep);
    socket.end();
  };
  return { call, close };
}
