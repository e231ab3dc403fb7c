/**
 * A page that uses a service over WebSocket: calls, a stream of a list as it changes, and calls
 * from the server to all pages.
 *
 * Without options, the page and the service use free ports, which the program prints.
 *
 *   npm run example -- rpc-web
 *   npm run example -- rpc-web --port 8080 --address ws://127.0.0.1:8849/rpc
 */
import { parseArgs } from 'node:util';
import { type RpcServer, serve } from 'getty-ts/rpc';
import { openPages } from '../echo-web/pages.js';
import { taskService } from './tasks.js';

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    address: { type: 'string', default: 'ws://127.0.0.1:0/rpc' },
  },
});
const pages = await openPages(Number(values.port));
const server: RpcServer = await serve(values.address, [taskService(() => server.channels)], {
  // Limits for pages: calls in flight, bytes of a message, sessions.
  maxPendingCalls: 100,
  session: { maxMessageBytes: 64 * 1024 },
  maxSessions: 1_000,
  websocket: { allowOrigin: [...pages.origins] },
});
console.log(`tasks at ${server.address}`);
await pages.show(new URL('page/', import.meta.url), server.address);

process.once('SIGINT', () => {
  pages.close();
  void server.close();
});
