/**
 * An rpc server at the path /rpc of an HTTP server, which answers ordinary requests at /.
 *
 *   npm run example -- http-servers --framework express --port 8080
 *   npm run example -- http-servers --framework fastify
 *   npm run example -- http-servers --framework nest
 */
import { flags } from './program.mjs';

const FRAMEWORKS = ['express', 'fastify', 'nest'];
const { framework } = flags();
if (FRAMEWORKS.includes(framework)) await import(`./${framework}.mjs`);
else {
  console.error(`--framework: got "${framework}", expected one of ${FRAMEWORKS.join(', ')}`);
  process.exitCode = 2;
}
