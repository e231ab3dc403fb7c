// @ts-check
/**
 * One process of a transport measurement. transport.mjs controls it over the IPC channel. It ends
 * when the channel closes.
 *   server SIDE · client SIDE ADDRESS SHAPE · idle ADDRESS COUNT · broadcast HIGH_WATER_MARK
 */
import { connect } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';

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

/** @param {string} side @param {string} address @param {import('./echo/echo.mjs').Shape} shape */
async function client(side, address, { connections, window, size }) {
  /** @type {import('./echo/echo.mjs').EchoPeer} */
  const peer = await import(`./echo/${side}.mjs`);
  let messages = 0;
  let failures = 0;
  let running = false;
  let underWay = 0;
  let idle = () => {};
  const lanes = await Promise.all(
    Array.from({ length: connections }, async () => {
      const lane = await peer.open(address, size, (count) => {
        messages += count;
        if (running) lane.send(count);
        else {
          underWay -= count;
          if (underWay <= 0) idle();
        }
      });
      return lane;
    }),
  );
  process.on('message', async ({ seconds }) => {
    messages = 0;
    running = true;
    underWay = window * lanes.length;
    const quiet = new Promise((resolve) => {
      idle = () => resolve(undefined);
    });
    const began = performance.now();
    for (const lane of lanes) lane.send(window);
    await wait(seconds * 1000);
    const took = (performance.now() - began) / 1000;
    const counted = messages;
    running = false;
    // Some answers never arrive if datagrams were lost.
    await Promise.race([quiet, wait(500)]);
    if (counted === 0) failures++;
    process.send?.({ messages: counted, took, failures });
  });
  process.send?.('');
}

if (role === 'server') {
  const [side = ''] = args;
  /** @type {import('./echo/echo.mjs').EchoPeer} */
  const peer = await import(`./echo/${side}.mjs`);
  const address = await peer.serve();
  process.on('message', async () => process.send?.(await residentBytes()));
  process.send?.(address);
} else if (role === 'client') {
  const [side = '', address = '', shape = '{}'] = args;
  await client(side, address, JSON.parse(shape));
} else if (role === 'idle') {
  const [address = '', count = '0'] = args;
  const { hostname, port } = new URL(address);
  for (let i = 0; i < Number(count); i++) {
    // The socket never reads, so the server cannot send what it broadcasts.
    const socket = connect({ host: hostname, port: Number(port) }).pause();
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  }
  process.send?.('');
} else if (role === 'broadcast') {
  const { lengthPrefixed, serve } = await import('../dist/transport/index.js');
  const server = await serve('tcp://127.0.0.1:0', {
    codec: lengthPrefixed(),
    highWaterMark: Number(args[0]),
    listener: { onMessage() {} },
  });
  const message = Buffer.alloc(1024);
  process.on('message', async (order) => {
    if (order === 'rss') return process.send?.(await residentBytes());
    const end = performance.now() + order.seconds * 1000;
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
    process.send?.(await residentBytes());
  });
  process.send?.(server.address);
}
