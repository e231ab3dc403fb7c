// @ts-check
/** An echo of framed messages by getty. */
import { connect, lengthPrefixed, serve as listen } from '../../dist/transport/index.js';

/**
 * @typedef {import('../../dist/transport/index.js').Codec<Uint8Array, Uint8Array>} BytesCodec
 * @typedef {import('../../dist/transport/index.js').TlsOptions} TlsOptions
 */

/**
 * @param {string} scheme
 * @param {{ codec?: BytesCodec, idleTimeout?: number, tls?: TlsOptions }} options
 */
export async function serveAt(scheme, { codec = lengthPrefixed(), idleTimeout, tls } = {}) {
  // With onCron, because the memory of idle sessions is measured with it: see ../README.md.
  const server = await listen(
    `${scheme}://127.0.0.1:0`,
    {
      codec,
      idleTimeout,
      listener: { onMessage: (session, message) => void session.write(message), onCron() {} },
    },
    {
      udp: { amplification: Infinity },
      // The default keeps a part of the open files that the benchmark needs.
      ...(idleTimeout !== undefined && { maxSessions: 2 ** 20 }),
      tls,
    },
  );
  return server.address;
}

/** @param {TlsOptions} [tls] @returns {import('./echo.mjs').EchoPeer['open']} */
export function opener(tls) {
  return async (address, size, onMessages) => {
    const client = await connect(
      address,
      { codec: lengthPrefixed(), listener: { onMessage: () => onMessages(1) } },
      { tls },
    );
    const session = await client.session();
    const message = Buffer.alloc(size - 4, 0x78);
    return {
      send(count) {
        for (let i = 0; i < count; i++) session.write(message);
      },
    };
  };
}

export const open = opener();
