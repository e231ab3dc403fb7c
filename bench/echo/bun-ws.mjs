// @ts-check
/** An echo of WebSocket messages by Bun.serve(), without compression. It runs in Bun. */

/** @returns {Promise<string>} */
export async function serve() {
  const { Bun } = /** @type {any} */ (globalThis);
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: (/** @type {Request} */ request, /** @type {any} */ server) =>
      server.upgrade(request) ? undefined : new Response('', { status: 426 }),
    websocket: {
      message: (/** @type {any} */ session, /** @type {Buffer} */ message) => session.send(message),
    },
  });
  return `ws://127.0.0.1:${server.port}`;
}
