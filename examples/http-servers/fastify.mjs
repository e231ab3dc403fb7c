/**
 * An rpc server at a path of a Fastify application.
 *
 *   npm run example -- http-servers --framework fastify --port 8080
 */
import Fastify from 'fastify';
import { serve } from '../../dist/rpc/index.js';
import { greeter } from './greeter.mjs';
import { flags, untilInterrupted } from './program.mjs';

const app = Fastify();
app.get('/', () => 'hello from Fastify');
const server = await serve({ server: app.server, path: '/rpc' }, [greeter]);
// The sessions end first: app.close() waits for the last connection of its HTTP server.
app.addHook('preClose', () => server.close());
await app.listen({ port: Number(flags().port), host: '127.0.0.1' });
console.log(`calls at ${server.address}`);

await untilInterrupted();
await app.close();
