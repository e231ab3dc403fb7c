/**
 * The echo example in a browser: the same messages over the browser's WebSocket.
 *
 * Without options, the page and the echo server use free ports, which the program prints.
 *
 *   npm run example -- echo-web
 *   npm run example -- echo-web --port 8080 --address ws://127.0.0.1:8848/echo
 */
import { parseArgs } from 'node:util';
import { serve } from 'getty-ts';
import { echoCodec } from '../echo/codec.js';
import { echoListener } from '../echo/echo-listener.js';
import { openPages } from './pages.js';

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    address: { type: 'string', default: 'ws://127.0.0.1:0/echo' },
  },
});
const pages = await openPages(Number(values.port));
const websocket = { allowOrigin: [...pages.origins] };
const server = await serve(
  values.address,
  { codec: echoCodec, listener: echoListener, maxMessageBytes: 1024 },
  { websocket },
);
console.log(`echo at ${server.address}`);
await pages.show(new URL('page/', import.meta.url), server.address);

process.once('SIGINT', () => {
  pages.close();
  void server.close();
});
