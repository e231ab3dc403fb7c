// @ts-check
/**
 * What every peer of the rpc bench sends and answers: `Test` of the demo's TestService, in two
 * sizes.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { TestReplySchema, TestRequestSchema, TestService } from '../build/demo/test_service_pb.js';

export { TestReplySchema, TestRequestSchema, TestService };

/** @typedef {{ A: string, B: string, C: string }} Request */
/** @typedef {{ A: string }} Reply */

/**
 * What a file in peers/ exports; the peer is called as the file is.
 * @typedef {object} Peer
 * @property {() => Promise<Server>} serve Listens at a free port of 127.0.0.1.
 * @property {(address: string, inFlight: number) => Promise<Client>} connect Opens one connection,
 *   for at most so many calls at a time.
 * @property {(address: string, count: number) => Promise<Client[]>} [connectAll] In its place,
 *   where many connections are one thing.
 */
/** @typedef {{ address: string, close: () => unknown }} Server */
/** @typedef {{ call: (request: Request) => Promise<Reply>, close: () => unknown }} Client */
/** @typedef {'small' | 'large'} Size */

/**
 * In Protobuf 30 bytes, with the headers of getty 96, and its reply 68; and a body of 1,024 bytes,
 * its reply about as large.
 */
export const REQUESTS = {
  /** @type {Request} */
  small: { A: 'northern', B: 'sidewalk', C: 'umbrella' },
  /** @type {Request} */
  large: { A: letters(338), B: letters(338), C: letters(339) },
};
/** Milliseconds, for peers that have to be told; it is getty's default. */
export const TIMEOUT = 5_000;

/**
 * The handler.
 * @param {Request} request
 * @returns {Reply}
 */
export function answer({ A, B, C }) {
  return { A: `${A}, ${B}, ${C}` };
}

/** @param {number} length */
function letters(length) {
  return 'a letter after another '.repeat(Math.ceil(length / 23)).slice(0, length);
}

/**
 * Settles with `closing`, or after a second without it.
 * @param {unknown} closing
 */
export async function atMostASecond(closing) {
  await Promise.race([closing, wait(1_000, undefined, { ref: false })]);
}
