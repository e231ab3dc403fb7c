/** permessage-deflate with the `ws` package as the peer, with all parameters. */
import { expect, test } from 'vitest';
import { noLeaks } from '../../../fixtures/leaks.js';
import { ourClient, wsClient, wsServer } from '../../../fixtures/websocket.js';
import { echoServer } from '../echo-server.js';

noLeaks();

const SIZES = [16, 64, 256, 1_024, 4_096, 8_192, 16_384, 32_768, 65_536, 131_072];
/** Text that repeats itself at all distances. */
const content = (size: number): string =>
  Array.from({ length: size / 8 }, (_, i) => String((i * i) % 9_973).padEnd(8)).join('');
const PARAMETERS = [
  {},
  { serverNoContextTakeover: true },
  { clientNoContextTakeover: true },
  { serverNoContextTakeover: true, clientNoContextTakeover: true },
  ...[9, 12, 15].flatMap((bits) => [
    { serverMaxWindowBits: bits },
    { clientMaxWindowBits: bits },
    { serverMaxWindowBits: bits, serverNoContextTakeover: true },
    { clientMaxWindowBits: bits, clientNoContextTakeover: true },
    { serverMaxWindowBits: bits, clientMaxWindowBits: bits },
  ]),
];

test.each([...PARAMETERS, { serverMaxWindowBits: 8 }])(
  'a server exchanges messages with a client that offers %o',
  async (offer) => {
    await using server = await echoServer({ compression: 'deflate' });
    using peer = wsClient(server.address, { perMessageDeflate: { threshold: 0, ...offer } });
    await peer.opened;
    expect(peer.socket.extensions).toBe('permessage-deflate');
    for (const size of [...SIZES, ...SIZES]) {
      peer.socket.send(content(size));
      expect(await peer.messages.next()).toBe(`text ${content(size)}`);
    }
  },
);

test.each(PARAMETERS)(
  'a client exchanges messages with a server that answers %o',
  async (answer) => {
    await using server = await wsServer({ perMessageDeflate: { threshold: 0, ...answer } });
    await using ours = await ourClient(server.address, { compression: 'deflate' });
    const peer = await server.peers.next();
    expect(peer.socket.extensions).toBe('permessage-deflate');
    for (const size of [...SIZES, ...SIZES]) {
      ours.session.write(Buffer.from(content(size)));
      expect(await peer.messages.next()).toBe(
        `binary ${Buffer.from(content(size)).toString('hex')}`,
      );
      peer.socket.send(content(size));
      expect(String(await ours.events.messages.next())).toBe(content(size));
    }
  },
);
