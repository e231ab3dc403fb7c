/**
 * Calls a child process over its standard input and output, as editors call language servers. The
 * child calls its parent back, and ends when its parent closes the session.
 *
 *   npm run example -- rpc-child
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { connect, implement, RpcError } from 'getty-ts/rpc';
import { Files, Words } from './contract.js';

const FILES: Readonly<Record<string, string>> = {
  'poem.txt': 'so much depends upon a red wheel barrow',
  'empty.txt': '',
};
const files = implement(Files, {
  read(name) {
    if (!Object.hasOwn(FILES, name)) throw new RpcError('NOT_FOUND', `there is no file ${name}`);
    return FILES[name] as string;
  },
});

const child = spawn(process.execPath, [fileURLToPath(new URL('./child.js', import.meta.url))], {
  // The standard error of the child is that of this process.
  stdio: ['pipe', 'pipe', 'inherit'],
});
const exited = once(child, 'exit');
const client = await connect({ stdio: child }, { services: [files], timeout: 30_000 });
const words = client.stub(Words);
for (const name of [...Object.keys(FILES), 'other.txt']) {
  const answer = await words.count(name).catch((error: RpcError) => error.message);
  console.log(`${name}: ${answer}`);
}

await client.close();
const [code] = await exited;
console.log(`the child ended with ${code}`);
