/**
 * An rpc server at a path of an Express application.
 *
 *   npm run example -- http-servers --framework express --port 8080
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import express from 'express';
import { serve } from '../../dist/rpc/index.js';
import { greeter } from './greeter.mjs';
import { flags, untilInterrupted } from './program.mjs';

const app = express();
app.get('/', (_, response) => response.send('hello from Express'));
const http = createServer(app);
const server = await serve({ server: http, path: '/rpc' }, [greeter]);
http.listen(Number(flags().port), '127.0.0.1');
await once(http, 'listening');
console.log(`calls at ${server.address}`);

await untilInterrupted();
// First the sessions: the HTTP server closes when its last connection has ended.
await server.close();
http.close();
