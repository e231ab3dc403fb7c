/**
 * The echo example in a browser: the same packages, over the browser's WebSocket.
 *
 *   npm run example -- echo-web                  serves the page and the echo on free ports of this machine, and says where
 *   npm run example -- echo-web --port 8080 --address ws://127.0.0.1:8848/echo
 */
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import { serve } from 'getty';
import { answering } from '../echo/answering.js';
import { echoCodec } from '../echo/codec.js';

const { values } = parseArgs({
  options: { port: { type: 'string', default: '0' }, address: { type: 'string', default: 'ws://127.0.0.1:0/echo' } },
});
const here = (name: string): string => fileURLToPath(new URL(`page/${name}`, import.meta.url));

/** What the page loads, as any bundler would make it. */
const { outputFiles } = await build({ entryPoints: [here('page.ts')], bundle: true, format: 'esm', platform: 'browser', minify: true, write: false });
const html = await readFile(here('index.html'), 'utf8');

const pages = createServer();
await new Promise<void>((resolve, reject) => pages.once('error', reject).listen(Number(values.port), '127.0.0.1', resolve));
const { port } = pages.address() as AddressInfo;

// Browsers let any page connect anywhere: an echo for this page takes only this page.
const allowOrigin = [`http://127.0.0.1:${port}`, `http://localhost:${port}`];
const server = await serve(values.address, { codec: echoCodec, listener: answering, maxMessageBytes: 1024 }, { websocket: { allowOrigin } });

const files: Readonly<Record<string, [type: string, content: string | Uint8Array]>> = {
  '/': ['text/html; charset=utf-8', html.replace('ECHO_ADDRESS', server.address)],
  '/page.css': ['text/css; charset=utf-8', await readFile(here('page.css'))],
  '/page.js': ['text/javascript; charset=utf-8', outputFiles[0]?.contents ?? ''],
};
pages.on('request', ({ url = '' }, response) => {
  const file = Object.hasOwn(files, url) ? files[url] : undefined;
  if (file === undefined) return void response.writeHead(404, { 'Content-Type': 'text/plain' }).end('not here\n');
  response.writeHead(200, { 'Content-Type': file[0] }).end(file[1]);
});
console.log(`echo at ${server.address}`);
console.log(`open http://127.0.0.1:${port}/`);

process.once('SIGINT', () => {
  pages.close();
  pages.closeAllConnections();
  void server.close();
});
