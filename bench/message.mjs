// @ts-check
/** The one message that every peer of the rpc bench sends: `Test` of the demo's TestService, in a getty package of 64 bytes. */
import { setTimeout as wait } from 'node:timers/promises';
import { TestReplySchema, TestRequestSchema, TestService } from '../dist/cli/demo/test_service_pb.js';

export { TestReplySchema, TestRequestSchema, TestService };

/** @typedef {{ A: string, B: string, C: string }} Request */
/** @typedef {{ A: string }} Reply */

/**
 * What a file in peers/ exports; the peer is called as the file is.
 * @typedef {object} Peer
 * @property {() => Promise<Server>} serve Listens at a free port of 127.0.0.1.
 * @property {(address: string) => Promise<Client>} connect Opens one connection.
 */
/** @typedef {{ address: string, close: () => unknown }} Server */
/** @typedef {{ call: () => Promise<Reply>, close: () => unknown }} Client */

/** @type {Request} */
export const REQUEST = { A: 'northern', B: 'sidewalk', C: 'umbrella' };
export const ANSWER = answer(REQUEST).A;
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

/**
 * Settles with `closing`, or after a second without it.
 * @param {unknown} closing
 */
export async function atMostASecond(closing) {
  await Promise.race([closing, wait(1_000, undefined, { ref: false })]);
}
