// @ts-check
/**
 * One process of a transport measurement. The programs of the measurements control it over the IPC
 * channel. It ends when the channel closes. `server` also runs in Bun.
 *   server FILE PORTS · load LOAD · flood HIGH_WATER_MARK
 * FILE is a peer of echo/ or rooms/. LOAD is JSON, and its `kind` a file of loads/.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { usage } from './usage.mjs';

/** @typedef {'usage' | 'memory' | { seconds: number }} Order */

const [role = '', ...args] = process.argv.slice(2);
process.on('disconnect', () => process.exit());

/** Resident bytes after garbage collections. */
async function residentBytes() {
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.();
    await wait(100);
  }
  return process.memoryUsage.rss();
}

/** A server that broadcasts for some seconds, to sessions that do not read. */
async function startFlood() {
  const { lengthPrefixed, serve } = await import('../dist/transport/index.js');
  const server = await serve('tcp://127.0.0.1:0', {
    codec: lengthPrefixed(),
    highWaterMark: Number(args[0]),
    listener: { onMessage() {} },
  });
  const message = Buffer.alloc(1024);
  const measure = async (/** @type {number} */ seconds) => {
    const end = performance.now() + seconds * 1000;
    /** Sessions whose queue is full. They receive nothing until it has drained. */
    const behind = new Set();
    while (performance.now() < end) {
      for (const session of server.sessions) {
        if (behind.has(session) || session.write(message)) continue;
        behind.add(session);
        session.drained().then(
          () => behind.delete(session),
          () => {},
        );
      }
      await wait(1);
    }
    return residentBytes();
  };
  return { first: server.address, measure };
}

async function startRole() {
  if (role === 'flood') return startFlood();
  if (role === 'load') {
    const load = JSON.parse(args[0] ?? '');
    const { open } = await import(`./loads/${load.kind}.mjs`);
    return { first: '', measure: await open(load) };
  }
  const [file, ports] = args;
  const { serve } = await import(`./${file}.mjs`);
  const addresses = [];
  while (addresses.length < Number(ports)) addresses.push(await serve());
  return { first: addresses.join(' ') };
}

const { first, measure } = await startRole();
process.on('message', async (/** @type {Order} */ order) => {
  if (order === 'usage') process.send?.(usage());
  else if (order === 'memory') process.send?.(await residentBytes());
  else process.send?.(await measure?.(order.seconds));
});
process.send?.(first);
