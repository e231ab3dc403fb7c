// @ts-check
/** Lanes that send a message for each message that they receive. */
import { setTimeout as wait } from 'node:timers/promises';

/**
 * @typedef {{ kind: 'lanes', connections: number, window: number, size: number }} Lanes `window`:
 *   messages in flight on each connection. `size`: bytes of a message with its length.
 */

/** How long the last answers may take, in ms. Datagrams may be lost. */
const DRAIN = 500;

/**
 * @param {Lanes & { side: string, address: string }} load
 * @returns {Promise<import('./load.mjs').Measure>}
 */
export async function open({ side, address, connections, window, size }) {
  /** @type {import('../echo/echo.mjs').EchoPeer} */
  const peer = await import(`../echo/${side}.mjs`);
  let messages = 0;
  let running = false;
  let underWay = 0;
  let idle = () => {};
  const lanes = await Promise.all(
    Array.from({ length: connections }, async () => {
      const lane = await peer.open(address, size, (count) => {
        messages += count;
        if (running) lane.send(count);
        else {
          underWay -= count;
          if (underWay <= 0) idle();
        }
      });
      return lane;
    }),
  );
  return async (seconds) => {
    messages = 0;
    running = true;
    underWay = window * lanes.length;
    const quiet = new Promise((resolve) => {
      idle = () => resolve(undefined);
    });
    const began = performance.now();
    for (const lane of lanes) lane.send(window);
    await wait(seconds * 1000);
    const took = (performance.now() - began) / 1000;
    const counted = messages;
    running = false;
    await Promise.race([quiet, wait(DRAIN)]);
    const failure = counted === 0 ? 'no answer arrived' : undefined;
    return { messages: counted, all: messages, took, failure };
  };
}
