// @ts-check
/** Many sockets that send one message each per period, and count the answers. */
import { setTimeout as wait } from 'node:timers/promises';
import { frame } from '../echo/echo.mjs';
import { openAll, openSocket } from './sockets.mjs';

/**
 * @typedef {{ kind: 'timed', sessions: number, period: number, size: number }} Timed `period`: of
 *   the messages of one session, in ms. 0: the sockets send and read nothing. `size`: bytes of a
 *   message with its length.
 */

/** How often the messages are sent that are due, in ms. */
const TICK = 5;
/** How long the last answers may take, in ms. */
const DRAIN = 5_000;

/**
 * @param {Timed & { addresses: string[] }} load
 * @returns {Promise<import('./load.mjs').Measure>}
 */
export async function open({ addresses, sessions, period, size }) {
  let received = 0;
  const onBytes = (/** @type {Buffer} */ { length }) => {
    received += length;
  };
  const sockets = await openAll(sessions, (number) =>
    openSocket(
      /** @type {string} */ (addresses[number % addresses.length]),
      period > 0 ? onBytes : undefined,
    ),
  );
  const message = frame(size);
  let next = 0;
  return async (seconds) => {
    received = 0;
    let sent = 0;
    const began = performance.now();
    const elapsed = () => performance.now() - began;
    while (elapsed() < seconds * 1_000) {
      await wait(TICK);
      const due = Math.floor((Math.min(elapsed(), seconds * 1_000) * sockets.length) / period);
      for (; sent < due; sent++) sockets[next++ % sockets.length]?.write(message);
    }
    const took = elapsed() / 1_000;
    const end = performance.now() + DRAIN;
    while (received < sent * size && performance.now() < end) await wait(TICK);
    const messages = received / size;
    const failure = messages === sent ? undefined : `${messages} answers to ${sent} messages`;
    return { messages, all: messages, took, failure };
  };
}
