/** What only memory:// does. */
import { expect, it } from 'vitest';
import { parseAddress } from '../../src/transport/address.js';
import { connect, lines, SESSION_DEFAULTS, serve } from '../../src/transport/index.js';
import { memory } from '../../src/transport/stream/memory.js';
import type { Connection, ConnectionEvents } from '../../src/transport/types.js';
import { noLeaks } from '../fixtures/leaks.js';
import { turns } from '../fixtures/waiting.js';

noLeaks();

it('delivers the end of the peer to a paused side before it closes', async () => {
  const events: string[] = [];
  const record = (name: string): ConnectionEvents => ({
    onData: (bytes) => void events.push(`${name} data ${bytes}`),
    onEnd: () => void events.push(`${name} end`),
    onClose: () => void events.push(`${name} close`),
    onMessage() {},
    onAlive() {},
    onTaken() {},
  });
  let far!: Connection;
  const address = parseAddress('memory://paused', ['memory']);
  const listener = await memory.listen(address, {} as never, (connection) => {
    far = connection;
  });
  const near = await memory.dial(address, {} as never, new AbortController().signal);
  near.attach(record('near'), SESSION_DEFAULTS);
  far.attach(record('far'), SESSION_DEFAULTS);
  near.write(Buffer.from('last'));
  await turns(2);
  far.pause();
  near.end();
  far.end();
  await turns(5);
  expect(events).toEqual(['far data last', 'near end', 'near close']);
  far.resume();
  await turns(5);
  expect(events).toEqual(['far data last', 'near end', 'near close', 'far end', 'far close']);
  await listener.close();
});

it('gives each address without a name a name of its own', async () => {
  const setup = { codec: lines(), listener: { onMessage: () => {} } };
  await using one = await serve('memory://', setup);
  await using other = await serve('memory://', setup);
  expect(one.address).not.toBe(other.address);
  await using client = await connect(one.address, setup);
  expect((await client.session()).remoteAddress).toBe(one.address);
});
