// @ts-check
/**
 * The request and the reply of every peer of the rpc benchmark: the method `Test` of the demo's
 * TestService, in two sizes.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { TestReplySchema, TestRequestSchema, TestService } from '../build/demo/test_service_pb.js';

export { TestReplySchema, TestRequestSchema, TestService };

/** @typedef {{ A: string, B: string, C: string }} Request */
/** @typedef {{ A: string }} Reply */
/** @typedef {{ A: string }} Item */

/**
 * What a file in peers/ exports. The name of the peer is that of the file.
 * @typedef {object} Peer
 * @property {() => Promise<Server>} serve Listens on a free port of 127.0.0.1.
 * @property {(address: string, inFlight: number) => Promise<Client>} connect Opens one connection,
 *   for at most `inFlight` concurrent calls.
 * @property {(address: string, count: number) => Promise<Client[]>} [connectAll] Used instead of
 *   connect, where one object has many connections.
 */
/** @typedef {{ address: string, close: () => unknown }} Server */
/**
 * @typedef {object} Client
 * @property {(request: Request) => Promise<Reply>} call
 * @property {() => unknown} close
 * @property {(seconds: number, onItem: (item: Item) => void) => Promise<void>} [download] Reads the
 *   items of ItemSource.all() to the end.
 * @property {(source: import('./items.mjs').ItemSource) => Promise<Reply>} [upload] Sends the items
 *   of a source. The reply is that of ItemCount.
 */
/** @typedef {'small' | 'large'} Size */

/**
 * `small` has 30 bytes in Protobuf and 96 with getty's headers; its reply has 68. `large` has a
 * body of 1,024 bytes and a reply of about the same size.
 */
export const REQUESTS = {
  /** @type {Request} */
  small: { A: 'northern', B: 'sidewalk', C: 'umbrella' },
  /** @type {Request} */
  large: { A: letters(338), B: letters(338), C: letters(339) },
};
/** The deadline of a call in ms, for peers that need one. It is getty's default. */
export const TIMEOUT = 5_000;

/**
 * The handler of every peer.
 * @param {Request} request
 * @returns {Reply}
 */
export function answer({ A, B, C }) {
  return { A: `${A}, ${B}, ${C}` };
}

/** @param {number} length */
export function letters(length) {
  return 'a letter after another '.repeat(Math.ceil(length / 23)).slice(0, length);
}

/**
 * Settles when `closing` settles, or after one second.
 * @param {unknown} closing
 */
export async function atMostASecond(closing) {
  await Promise.race([closing, wait(1_000, undefined, { ref: false })]);
}
