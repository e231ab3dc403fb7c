// @ts-check
/** broadcast() of getty. */
import { broadcast, serve as listen, raw } from '../../dist/transport/index.js';
import { message } from './room.mjs';

export async function serve() {
  const server = await listen('ws://127.0.0.1:0', {
    codec: raw(),
    // The clients count bytes, so the server sends no pings.
    cronPeriod: 3_600_000,
    listener: {
      onMessage(_, [count = 0]) {
        for (let i = 0; i < count; i++) broadcast(server.sessions, message);
      },
    },
  });
  return server.address;
}
