/**
 * A TCP client that dials a port of its own machine may connect to its own socket (simultaneous
 * open, RFC 9293, section 3.5).
 */
import { syncBuiltinESMExports } from 'node:module';
import net from 'node:net';
import tls from 'node:tls';
import { afterEach, expect, it, vi } from 'vitest';
import { connect, lines, serve } from '../../../src/transport/index.js';
import { CLIENT_TLS } from '../../fixtures/certificates.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { rejection } from '../../fixtures/transports.js';
import { turns } from '../../fixtures/waiting.js';

noLeaks();
afterEach(() => {
  vi.restoreAllMocks();
  syncBuiltinESMExports();
});

const SETUP = { codec: lines(), listener: { onMessage() {} } };

/** Gives a client the same local port as the port that it dials. */
function forcePort(module: { connect: unknown }): void {
  const original = module.connect as (options: object) => net.Socket;
  vi.spyOn(module as { connect: typeof original }, 'connect').mockImplementation((options) =>
    original({ ...options, localPort: (options as { port: number }).port }),
  );
  syncBuiltinESMExports();
}

it.each(['tcp', 'ws', 'tls', 'wss'])(
  'a client of %s rejects a connection to itself',
  async (scheme) => {
    const server = await serve('tcp://127.0.0.1:0', SETUP);
    const { address } = server;
    await server.close();
    forcePort(scheme === 'tcp' || scheme === 'ws' ? net : tls);
    const options = {
      reconnect: false,
      connectTimeout: 20_000,
      ...(scheme.endsWith('s') && scheme !== 'ws' && { tls: CLIENT_TLS }),
    };
    const error = await rejection(connect(address.replace('tcp', scheme), SETUP, options));
    expect(error).toMatchObject({
      code: 'CONNECT_FAILED',
      message: expect.stringContaining('connected to itself'),
    });
    await turns(5);
  },
);
