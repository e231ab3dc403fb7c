// @ts-check
/** Publishing to a topic of Bun.serve(), without compression. It runs in Bun. */
import { message } from './room.mjs';

const NAME = 'all';

/** @returns {Promise<string>} */
export async function serve() {
  const { Bun } = /** @type {any} */ (globalThis);
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: (/** @type {Request} */ request, /** @type {any} */ server) =>
      server.upgrade(request) ? undefined : new Response('', { status: 426 }),
    websocket: {
      // The clients count bytes, so the server sends no pings.
      idleTimeout: 0,
      sendPings: false,
      open: (/** @type {any} */ session) => session.subscribe(NAME),
      message(/** @type {unknown} */ _, /** @type {Buffer} */ [count = 0]) {
        for (let i = 0; i < count; i++) server.publish(NAME, message);
      },
    },
  });
  return `ws://127.0.0.1:${server.port}`;
}
