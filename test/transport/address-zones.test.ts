/** IPv6 addresses with a zone on TCP, TLS and WebSocket. UDP has its own test. */
import { networkInterfaces } from 'node:os';
import { describe, expect, it } from 'vitest';
import { connect, lines, type Peer, serve } from '../../src/transport/index.js';
import { CLIENT_TLS, SERVER_TLS } from '../fixtures/certificates.js';
import { noLeaks } from '../fixtures/leaks.js';
import { rejection } from '../fixtures/transports.js';
import { Inbox } from '../fixtures/waiting.js';

noLeaks();

const HAS_IPV6 = Object.values(networkInterfaces()).some((all) =>
  all?.some(({ address }) => address === '::1'),
);

describe.runIf(HAS_IPV6 && process.platform === 'linux')('an address with a zone', () => {
  it.each(
    ['tcp', 'tls', 'ws', 'wss'].flatMap((scheme) => [
      `${scheme}://[::1%lo]:0`,
      `${scheme}://[::1%25lo]:0`,
    ]),
  )('%s accepts a client', async (address) => {
    const isSecure = /^(tls|wss):/.test(address);
    const peers: Peer[] = [];
    const lineInbox = new Inbox<string>('a line for the client');
    await using server = await serve<string>(
      address,
      (peer) => {
        peers.push(peer);
        return { codec: lines(), listener: { onMessage: (session, line) => session.write(line) } };
      },
      isSecure ? { tls: SERVER_TLS } : {},
    );
    const port = /\d+$/.exec(server.address)?.[0];
    expect(server.address).toBe(address.replace('%25', '%').replace(/0$/, String(port)));
    // The certificate is for ::1. The client verifies it without the zone.
    const listener = {
      onOpen: (session: { write(line: string): boolean }) => void session.write('hi'),
      onMessage: (_: unknown, line: string) => lineInbox.push(line),
    };
    await using client = await connect<string>(
      server.address,
      { codec: lines(), listener },
      isSecure ? { tls: CLIENT_TLS } : {},
    );
    expect(await lineInbox.next()).toBe('hi');
    expect(client.address).toBe(server.address);
    // RFC 6874: a client removes the zone from the Host header.
    if (address.startsWith('ws')) expect(peers[0]?.request?.headers.host).toBe(`[::1]:${port}`);
  });

  it('rejects with LISTEN_FAILED if this machine has no such zone', async () => {
    const error = await rejection(
      serve('tcp://[fe80::1%nosuchzone0]:0', { codec: lines(), listener: { onMessage() {} } }),
    );
    expect(error).toMatchObject({
      code: 'LISTEN_FAILED',
      message: expect.stringContaining('tcp://[fe80::1%nosuchzone0]:0'),
    });
  });
});
