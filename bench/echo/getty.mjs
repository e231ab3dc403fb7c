// @ts-check
/** An echo of framed messages by getty. */
import { connect, lengthPrefixed, serve as listen } from '../../dist/transport/index.js';

/** @param {string} scheme */
export async function serveAt(scheme) {
  const codec = lengthPrefixed();
  // With onCron, because the memory of idle sessions is measured with it: see ../README.md.
  const server = await listen(
    `${scheme}://127.0.0.1:0`,
    {
      codec,
      listener: { onMessage: (session, message) => void session.write(message), onCron() {} },
    },
    { udp: { amplification: Infinity } },
  );
  return server.address;
}

/** @type {import('./echo.mjs').EchoPeer['open']} */
export async function open(address, size, onMessages) {
  const client = await connect(address, {
    codec: lengthPrefixed(),
    listener: { onMessage: () => onMessages(1) },
  });
  const session = await client.session();
  const message = Buffer.alloc(size - 4, 0x78);
  return {
    send(count) {
      for (let i = 0; i < count; i++) session.write(message);
    },
  };
}
