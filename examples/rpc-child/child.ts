/**
 * The child process: it counts the words of files, which it gets from its parent. Its standard
 * output belongs to the session, so it prints to the standard error.
 */
import { implement, serve } from 'getty-ts/rpc';
import { Files, Words } from './contract.js';

const words = implement(Words, {
  async count(name, context) {
    const text = await context.channel.stub(Files).read(name, { parent: context });
    console.error(`counting ${name}`);
    return text.split(/\s+/).filter((word) => word !== '').length;
  },
});
await serve({ stdio: process }, [words]);
